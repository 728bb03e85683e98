"""The operator's configuration in the engine's terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hipgw.daemon.compatible import CompatiblePeers
from hipgw.daemon.config import Config, HipOptions
from hipgw.daemon.legacy import LegacyPeers, carried
from hipgw.errors import ConfigError
from hipgw.proto import (
    NO_CERTIFICATES,
    CertificatePolicy,
    EndpointConfig,
    IcmpReplies,
    IdentityTraits,
)
from hipgw.proto.config import rendezvous_of_nobody
from hipgw.values import FULL_ICV_OF, Address, EspSuite, Hit, Quirk

DI_NONE = 0
DI_FQDN = 1
DI_NAI = 2
ASSOCIATION_OCTETS = 8192
"""Memory of one association in this process, all included: a bound, see docs/bench.md."""


def endpoint_config(
    config: Config,
    r1_counter: int,
    certificates: CertificatePolicy = NO_CERTIFICATES,
    rendezvous_of: Callable[[Hit], Sequence[Address]] = rendezvous_of_nobody,
    *,
    legacy_peers: LegacyPeers | None = None,
    compatible_peers: CompatiblePeers | None = None,
    puzzle_ks: Mapping[Hit, int] | None = None,
) -> EndpointConfig:
    """Options of `[hip]` and `[identity]` for `Endpoint`.

    Args:
        config: as read.
        r1_counter: the last one that was stored.
        certificates: what the files of `[certificates]` hold.
        rendezvous_of: the rendezvous servers of a peer.
        legacy_peers: who may use what is of old; by default as `config` says, for ever.
        compatible_peers: who leaves the RFCs where; by default likewise.
        puzzle_ks: difficulty for single peers; by default likewise.

    Raises:
        ConfigError: a domain identifier that cannot be sent, or no ESP suite of `[legacy]` that
            this host has.
    """
    hip, legacy_peers = config.hip, legacy_peers or LegacyPeers(config)
    v1_esp_suites = carried(config.legacy.esp_suites)
    if not v1_esp_suites:
        raise ConfigError(
            "libcrypto of this host has none of these: expected one that it has, such as "
            "aes-128-cbc-hmac-sha1",
            key="legacy.esp_suites",
        )
    kind, octets = domain_identifier(config.identity.domain_identifier)
    return EndpointConfig(
        dh_groups=hip.dh_groups,
        hip_ciphers=hip.ciphers,
        esp_suites=hip.esp_suites,
        rendezvous_of=rendezvous_of,
        is_legacy=legacy_peers.is_legacy,
        speaks_v1=legacy_peers.speaks_v1,
        v1_dh_groups=config.legacy.dh_groups,
        v1_transforms=config.legacy.transforms,
        v1_esp_suites=v1_esp_suites,
        compatibility=(compatible_peers or CompatiblePeers(config)).quirks_of,
        extended_peers=config.extended_peers(),
        answer_opportunistic=config.opportunistic.answer,
        accept_anonymous=hip.accept_anonymous,
        domain_identifier_type=kind,
        domain_identifier=octets,
        puzzle_k=hip.puzzle_k,
        puzzle_auto=hip.puzzle == "auto",
        puzzle_k_ceiling=max(hip.puzzle_k, hip.puzzle_k_ceiling),
        puzzle_k_most=hip.puzzle_k_limit,
        puzzle_ks=config.puzzle_ks() if puzzle_ks is None else puzzle_ks,
        r1_counter=r1_counter,
        ual_s=hip.unused_association_lifetime_s,
        rekey_s=hip.rekey_s,
        rekey_octets=hip.rekey_octets,
        heartbeat_s=hip.heartbeat_s,
        announce_locators=hip.announce_locators,
        shotgun=hip.shotgun,
        certificates=certificates,
        associations_most=associations_most(hip),
        icmp_replies=IcmpReplies(hip.icmp_replies),
        half_open_most=hip.half_open_limit,
        r1_rate=hip.r1_per_second,
        r1_burst=hip.r1_per_second,
        r1_source_rate=hip.r1_per_source_per_second,
        r1_source_burst=2 * hip.r1_per_source_per_second,
    )


def traits_for(text: str | None, general: str, *, is_anonymous: bool = False) -> IdentityTraits:
    """What `[[host_identity]]` says of one identity, in the engine's terms.

    Args:
        text: its domain identifier; None: the general one, but none for an anonymous identity.
        general: that of `[identity]`.
        is_anonymous: whether it has the A bit.

    Raises:
        ConfigError: a domain identifier that cannot be sent.
    """
    if text is None:
        text = "" if is_anonymous else general
    kind, octets = domain_identifier(text)
    return IdentityTraits(is_anonymous=is_anonymous, di_type=kind, di=octets)


def associations_most(hip: HipOptions) -> int:
    """The ceiling by number, or by memory where that is lower."""
    if not hip.associations_memory_octets:
        return hip.associations_limit
    by_memory = hip.associations_memory_octets // ASSOCIATION_OCTETS
    return min(hip.associations_limit, max(by_memory, 1))


def carried_suites(config: Config) -> tuple[EspSuite, ...]:
    """ESP suites as the data plane may come to carry them: with whole ICVs if a peer wants them."""
    suites = (*config.hip.esp_suites, *config.legacy.esp_suites)
    if not any(Quirk.FULL_LENGTH_ICV in peer.compatibility for peer in config.peers):
        return suites
    return (*suites, *(FULL_ICV_OF[suite] for suite in suites if suite in FULL_ICV_OF))


def domain_identifier(text: str) -> tuple[int, bytes]:
    """DI type and octets of a host name or NAI (RFC 7401 section 5.2.9).

    An FQDN goes in the form of RFC 1035 section 3.1: labels with their lengths, a zero at the end.
    """
    if not text:
        return DI_NONE, b""
    if "@" in text:
        return DI_NAI, text.encode("ascii")
    labels = text.rstrip(".").encode("ascii").split(b".")
    if any(not 1 <= len(label) <= 63 for label in labels):
        raise ConfigError(
            f"expected a host name with labels of 1 to 63 letters, found {text!r}",
            key="identity.domain_identifier",
        )
    return DI_FQDN, b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
