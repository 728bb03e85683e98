"""`[certificates]`: own chains, trusted authorities and their files, as the engine's policy.

A file or directory that is not there is passed over: HIPL switches its certificates on by putting
`/etc/hip/host-cert.der` there (F101).  A file that is there and cannot be used is a mistake.
"""

# ruff: noqa: RUF009 - option() is dataclasses.field() with metadata
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Final, TypeVar

from hipgw.crypto import HostIdentity
from hipgw.crypto.certificates import CertificateError, HostCertificate, certificates_from
from hipgw.crypto.certificates_chain import (
    RevocationList,
    TrustStore,
    revocation_lists_from,
)
from hipgw.daemon import config_readers as read
from hipgw.daemon.fleet_ca import DAY_S, read_file
from hipgw.daemon.strict_toml import option
from hipgw.errors import ConfigError, HostError
from hipgw.proto import CertificatePolicy
from hipgw.values import Hit
from hipgw.wire import PacketType

T = TypeVar("T")

PACKETS: Final = {
    "r1": PacketType.R1,
    "i2": PacketType.I2,
    "r2": PacketType.R2,
    "update": PacketType.UPDATE,
    "close": PacketType.CLOSE,
    "notify": PacketType.NOTIFY,
}
SUFFIXES: Final = frozenset({".pem", ".der", ".crt", ".cer", ".crl"})
"""Files of a directory that are looked at."""
ANCHORS_MOST: Final = 1000
SOON_S: Final = 14 * DAY_S
"""How long before its end a certificate of ours is a matter for the health check."""


@dataclass(frozen=True, slots=True)
class CertificateOptions:
    """`[certificates]`: RFC 8002."""

    chains: tuple[FilePath, ...] = option(
        (FilePath("/etc/hip/host-cert.der"),), read.several(read.absolute_path), reloadable=True
    )
    anchors: tuple[FilePath, ...] = option(
        (FilePath("/etc/hip/anchors"),), read.several(read.absolute_path), reloadable=True
    )
    send_in: tuple[PacketType, ...] = option(
        (PacketType.R2, PacketType.UPDATE), read.several(read.one_of(PACKETS)), reloadable=True
    )
    policy: bool = option(False, read.one_of(read.REQUIREMENTS), reloadable=True)
    """Whether every peer needs one."""
    lists_required: bool = option(False, read.flag, reloadable=True)
    authority: FilePath = option(FilePath("/etc/hip/ca"), read.absolute_path, reloadable=True)
    issuing: FilePath = option(
        FilePath("/etc/hip/hip_cert.cnf"), read.absolute_path, reloadable=True
    )


@dataclass(frozen=True, slots=True)
class LoadedCertificates:
    """What the files hold.

    Attributes:
        policy: for the engine.
        unused: chain files whose certificate is of no identity of this host.
    """

    policy: CertificatePolicy
    unused: tuple[FilePath, ...] = ()

    def problems(self) -> list[dict[str, str]]:
        """What an operator should know, each with a remedy."""
        now_s = self.policy.wall_s()
        found = [
            {
                "problem": f"the certificate in {file} is of no identity of this host",
                "remedy": "have one issued for a HIT of `hipconf get hi all`",
            }
            for file in self.unused
        ]
        for hit, chain in self.policy.chains.items():
            until_s = min(entry.not_after_s for entry in chain)
            if until_s - now_s < SOON_S:
                left = f"ends in {(until_s - now_s) / DAY_S:.1f} days"
                state = "has ended" if until_s < now_s else left
                found.append(
                    {
                        "problem": f"the certificate of {hit} {state}",
                        "remedy": "have it issued again, and reload",
                    }
                )
        trust = self.policy.trust
        lists = () if trust is None else trust.revocation_lists
        if any(one.next_update_s is not None and one.next_update_s < now_s for one in lists):
            found.append(
                {
                    "problem": "a revocation list is outdated",
                    "remedy": "copy a new one from the authority (`hipgw cert crl`), and reload",
                }
            )
        return found


def load_certificates(
    options: CertificateOptions,
    requirements: Mapping[Hit, bool],
    identities: Sequence[HostIdentity],
) -> LoadedCertificates:
    """Read the files of `[certificates]`.

    Args:
        options: as configured.
        requirements: `[[peer]] certificate` of those that have it.
        identities: public halves of this host's identities.

    Raises:
        ConfigError: a file that cannot be used, or a requirement that nobody could meet.
    """
    chains: dict[Hit, tuple[HostCertificate, ...]] = {}
    unused: list[FilePath] = []
    for file in _files(options.chains):
        chain = _certificates(file)
        owner = next((one for one in identities if one == chain[0].public), None)
        if owner is None:
            unused.append(file)
        else:
            chains[owner.hit] = chain
    trust = load_trust(options.anchors, lists_required=options.lists_required)
    if trust is None and (options.policy or any(requirements.values())):
        raise ConfigError(
            "certificates are required, but no authority is trusted: put its ca-cert.pem into "
            + (str(options.anchors[0]) if options.anchors else "a file named in anchors"),
            key="certificates.anchors",
        )
    default = options.policy

    def requires(peer: Hit) -> bool:
        return requirements.get(peer, default)

    policy = CertificatePolicy(chains, frozenset(options.send_in), trust, requires, time.time)
    return LoadedCertificates(policy, tuple(unused))


def load_trust(places: Sequence[FilePath], *, lists_required: bool = False) -> TrustStore | None:
    """Trusted certificates and revocation lists of files and directories; None without any.

    Raises:
        ConfigError: a file that cannot be used.
    """
    authorities: list[HostCertificate] = []
    lists: list[RevocationList] = []
    for file in _files(places):
        octets = _octets(file)
        if b"-----BEGIN X509 CRL-----" in octets or file.name.endswith((".crl", "crl.der")):
            lists += _read(file, revocation_lists_from, octets)
        else:
            authorities += _read(file, certificates_from, octets)
        if len(authorities) + len(lists) > ANCHORS_MOST:
            raise ConfigError(f"more than {ANCHORS_MOST} certificates", key="certificates.anchors")
    return TrustStore(tuple(authorities), tuple(lists), lists_required) if authorities else None


def _files(places: Sequence[FilePath]) -> Iterator[FilePath]:
    """The files of these places that are there, in the order of their names.

    Raises:
        ConfigError: a place that this process may not look at.
    """
    for place in places:
        try:
            if place.is_dir():
                names = sorted(place.iterdir())
                yield from (
                    file
                    for file in names
                    if file.suffix in SUFFIXES and not file.name.startswith(".")
                )
            elif place.exists():
                yield place
        except OSError as error:
            raise ConfigError(
                f"{error.strerror}: expected what this process may read", file=str(place)
            ) from error


def _octets(file: FilePath) -> bytes:
    try:
        return read_file(file)
    except HostError as error:
        raise ConfigError(str(error), key="certificates") from error


def _certificates(file: FilePath) -> tuple[HostCertificate, ...]:
    return _read(file, certificates_from, _octets(file))


def _read(file: FilePath, reader: Callable[[bytes], tuple[T, ...]], octets: bytes) -> tuple[T, ...]:
    try:
        return reader(octets)
    except CertificateError as error:
        raise ConfigError(f"{error}: expected PEM or DER", file=str(file)) from error
