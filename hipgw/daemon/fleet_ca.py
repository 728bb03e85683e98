"""The files of a fleet's certification authority: one directory, one writer at a time.

ca-key.pem        private key, a host identity like any other, mode 0600
ca-cert.pem       its certificate, for every verifier (HIPL: /etc/hip/ca-root-cert.pem)
ca-chain.pem      below another authority only: its certificate and those below the root
ca-crl.pem, .der  serial numbers taken back
index.json        what was issued and what was taken back
issued/SERIAL.pem the certificate and the chain that its host presents; SERIAL.der: it alone
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hipgw.crypto import HostIdentity, PrivateHostIdentity
from hipgw.crypto.certificates import HostCertificate, certificates_from, serial_text
from hipgw.crypto.certificates_chain import RevocationList
from hipgw.crypto.certificates_issuing import (
    NO_EXTRAS,
    Authority,
    Extras,
    Validity,
    issue_authority,
    issue_certificate,
    issue_revocation_list,
    new_root,
)
from hipgw.daemon.keys import DIRECTORY_MODE, PRIVATE_MODE, PUBLIC_MODE, load_identity
from hipgw.daemon.state_files import make_directory, write_atomically
from hipgw.errors import CryptoError, HostError, LocalProtocolError
from hipgw.values import Hit

KEY_FILE: Final = "ca-key.pem"
CERTIFICATE_FILE: Final = "ca-cert.pem"
CHAIN_FILE: Final = "ca-chain.pem"
LIST_FILE: Final = "ca-crl.pem"
LIST_DER_FILE: Final = "ca-crl.der"
INDEX_FILE: Final = "index.json"
LOCK_FILE: Final = ".lock"
ISSUED: Final = "issued"
FILE_OCTETS_MOST: Final = 8 * 1024 * 1024
BACKDATED_S: Final = 300
"""How far a certificate begins in the past, for hosts whose clocks are behind."""
DAY_S: Final = 86400
LIST_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Issued:
    """One row of the index; times in Unix seconds."""

    serial: int
    hit: Hit
    not_before_s: int
    not_after_s: int
    is_authority: bool = False
    revoked_s: int | None = None

    @property
    def name(self) -> str:
        """Its file in `issued`, without suffix."""
        return serial_text(self.serial)

    def status(self, now_s: int) -> str:
        """One of "revoked", "expired" and "valid"."""
        if self.revoked_s is not None:
            return "revoked"
        return "expired" if now_s > self.not_after_s else "valid"

    def as_json(self) -> dict[str, Any]:
        """JSON values: the serial number in hexadecimal."""
        return {
            "serial": self.name,
            "hit": str(self.hit),
            "not_before": self.not_before_s,
            "not_after": self.not_after_s,
            "authority": self.is_authority,
            "revoked": self.revoked_s,
        }

    @classmethod
    def from_json(cls, row: Any) -> Issued:
        """Read a row; KeyError, TypeError or ValueError when it is none."""
        revoked = row["revoked"]
        return cls(
            int(row["serial"], 16),
            Hit.parse(row["hit"]),
            int(row["not_before"]),
            int(row["not_after"]),
            bool(row["authority"]),
            None if revoked is None else int(revoked),
        )


def read_file(path: Path) -> bytes:
    """A file of reasonable size; HostError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_OCTETS_MOST + 1)
    except OSError as error:
        raise HostError(f"cannot read {path} ({error.strerror}): check its name") from error
    if len(content) > FILE_OCTETS_MOST:
        raise HostError(f"{path} has more than {FILE_OCTETS_MOST} octets: check its name")
    return content


class AuthorityFiles:
    """The authority in one directory; open it with `locked`."""

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory
        self._crl_number = 0
        self._rows: list[Issued] = []

    @property
    def exists(self) -> bool:
        """Whether there is an authority."""
        return (self.directory / CERTIFICATE_FILE).exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for one command, and read the index.

        Raises:
            HostError: no authority here, or its files cannot be used.
        """
        if not self.exists:
            raise HostError(f"no authority in {self.directory}: make one with `hipgw cert ca new`")
        with self._lock():
            self._read_index()
            yield

    @property
    def rows(self) -> tuple[Issued, ...]:
        """What was issued, in this order."""
        return tuple(self._rows)

    def create(
        self,
        identity: PrivateHostIdentity,
        days: int,
        now_s: int,
        *,
        organization: str = "",
        parent: AuthorityFiles | None = None,
    ) -> HostCertificate:
        """Make an authority, below `parent` (whose lock is held) or as a root.

        Raises:
            HostError: there is one already, or the directory cannot be written.
            LocalProtocolError: the parent does not issue it.
        """
        make_directory(self.directory, DIRECTORY_MODE, "--directory")
        with self._lock():
            for name in (KEY_FILE, CERTIFICATE_FILE):
                if (self.directory / name).exists():
                    raise HostError(
                        f"{self.directory / name} exists and is never overwritten: "
                        "choose another --directory"
                    )
            validity = Validity(now_s - BACKDATED_S, now_s + days * DAY_S)
            if parent is None:
                authority = new_root(identity, validity, organization=organization)
            else:
                above = parent.authority()
                ends_s = min(validity.not_after_s, above.certificate.not_after_s)
                validity = Validity(validity.not_before_s, ends_s)
                authority = issue_authority(above, identity, validity, organization=organization)
                self._write(
                    CHAIN_FILE, authority.certificate.to_pem() + parent.chain_pem(), PUBLIC_MODE
                )
                parent.record(authority.certificate)
            self._write(KEY_FILE, identity.to_pem(), PRIVATE_MODE)
            self._write_list(authority, now_s, LIST_DAYS)
            self._write(CERTIFICATE_FILE, authority.certificate.to_pem(), PUBLIC_MODE)
        return authority.certificate

    def authority(self) -> Authority:
        """Key and certificate.

        Raises:
            HostError, ConfigError, CryptoError, LocalProtocolError: they cannot be used.
        """
        identity = load_identity(self.directory / KEY_FILE)
        return Authority(identity, self.certificate())

    def certificate(self) -> HostCertificate:
        """The authority's own certificate."""
        return certificates_from(read_file(self.directory / CERTIFICATE_FILE))[0]

    def chain_pem(self) -> bytes:
        """What a host presents after its own certificate: b"" below a root."""
        path = self.directory / CHAIN_FILE
        return read_file(path) if path.exists() else b""

    def issue(
        self, subject: HostIdentity, not_after_s: int, now_s: int, extras: Extras = NO_EXTRAS
    ) -> Issued:
        """Certify a host and write its files.

        Raises:
            LocalProtocolError: not possible with this key, authority or end.
        """
        validity = Validity(now_s - BACKDATED_S, not_after_s)
        return self.record(issue_certificate(self.authority(), subject, validity, extras))

    def record(self, certificate: HostCertificate) -> Issued:
        """Write a certificate and its row in the index; CryptoError when it is not of a host."""
        if certificate.hit is None:
            raise CryptoError("certificate of a key that cannot be a Host Identity")
        row = Issued(
            certificate.serial,
            certificate.hit,
            certificate.not_before_s,
            certificate.not_after_s,
            certificate.rights.is_authority,
        )
        make_directory(self.directory / ISSUED, DIRECTORY_MODE, "--directory")
        pem = certificate.to_pem() + self.chain_pem()
        self._rows.append(row)
        self._write_index()  # first: what is not in it cannot be taken back
        self._write(f"{ISSUED}/{row.name}.pem", pem, PUBLIC_MODE)
        self._write(f"{ISSUED}/{row.name}.der", certificate.der, PUBLIC_MODE)
        return row

    def file_of(self, row: Issued, suffix: str = ".pem") -> Path:
        """The file of an issued certificate."""
        return self.directory / ISSUED / f"{row.name}{suffix}"

    def revoke(self, serials: set[int], now_s: int, list_days: int) -> list[Issued]:
        """Take certificates back and write the list; returns those that were not taken back yet."""
        changed: list[Issued] = []
        for place, row in enumerate(self._rows):
            if row.serial in serials and row.revoked_s is None:
                self._rows[place] = replace(row, revoked_s=now_s)
                changed.append(self._rows[place])
        self.write_list(now_s, list_days)
        return changed

    def write_list(self, now_s: int, list_days: int) -> RevocationList:
        """Write the revocation list anew."""
        return self._write_list(self.authority(), now_s, list_days)

    def _write_list(self, authority: Authority, now_s: int, list_days: int) -> RevocationList:
        revoked = {row.serial: row.revoked_s for row in self._rows if row.revoked_s is not None}
        self._crl_number += 1
        made = issue_revocation_list(
            authority,
            revoked,
            number=self._crl_number,
            this_update_s=now_s,
            next_update_s=now_s + list_days * DAY_S,
        )
        # The index first: a number is never used for two lists.
        self._write_index()
        self._write(LIST_FILE, made.to_pem(), PUBLIC_MODE)
        self._write(LIST_DER_FILE, made.der, PUBLIC_MODE)
        return made

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        path = self.directory / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise HostError(
                f"cannot use {self.directory} ({error.strerror}): run as root, or name another"
                " --directory"
            ) from error
        with os.fdopen(descriptor, "rb"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    def _write(self, name: str, content: bytes, mode: int) -> None:
        try:
            write_atomically(self.directory / name, content, mode)
        except OSError as error:
            raise HostError(
                f"cannot write {self.directory / name} ({error.strerror}): run as root, or name"
                " another --directory"
            ) from error

    def _read_index(self) -> None:
        path = self.directory / INDEX_FILE
        content = read_file(path)
        try:
            document = json.loads(content)
            self._rows = [Issued.from_json(row) for row in document["issued"]]
            self._crl_number = int(document["crl_number"])
        except (ValueError, KeyError, TypeError) as error:
            raise HostError(f"{path} is damaged: restore it from a backup") from error

    def _write_index(self) -> None:
        rows = [row.as_json() for row in self._rows]
        document = {"crl_number": self._crl_number, "issued": rows}
        self._write(INDEX_FILE, json.dumps(document, indent=1).encode() + b"\n", PRIVATE_MODE)


def rows_named(rows: tuple[Issued, ...], text: str) -> list[Issued]:
    """The rows that a HIT or a serial number in hexadecimal names.

    Raises:
        LocalProtocolError: `text` is neither.
    """
    try:
        hit = Hit.parse(text)
    except ValueError:
        pass
    else:
        return [row for row in rows if row.hit == hit]
    try:
        serial = int(text.removeprefix("0x").replace(":", ""), 16)
    except ValueError as error:
        raise LocalProtocolError(f"{text!r} is neither a HIT nor a serial number") from error
    return [row for row in rows if row.serial == serial]
