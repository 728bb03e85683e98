"""The operator's configuration in the engine's terms."""

from __future__ import annotations

from hipgw.daemon.compatible import CompatiblePeers
from hipgw.daemon.config import Config
from hipgw.daemon.legacy import LegacyPeers, carried
from hipgw.errors import ConfigError
from hipgw.proto import EndpointConfig, IdentityTraits
from hipgw.values import FULL_ICV_OF, EspSuite, Quirk

DI_NONE = 0
DI_FQDN = 1
DI_NAI = 2
DI_OCTETS_LIMIT = 4095
"""The DI-Length field has 12 bits (RFC 7401 section 5.2.9)."""


def endpoint_config(
    config: Config,
    r1_counter: int,
    legacy_peers: LegacyPeers | None = None,
    compatible_peers: CompatiblePeers | None = None,
) -> EndpointConfig:
    """Options of `[hip]` and `[identity]` for `Endpoint`.

    Args:
        config: as read.
        r1_counter: the last one that was stored.
        legacy_peers: who may use what is of old; by default as `config` says, for ever.
        compatible_peers: who leaves the RFCs where; by default likewise.

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
        is_legacy=legacy_peers.is_legacy,
        speaks_v1=legacy_peers.speaks_v1,
        v1_dh_groups=config.legacy.dh_groups,
        v1_transforms=config.legacy.transforms,
        v1_esp_suites=v1_esp_suites,
        compatibility=(compatible_peers or CompatiblePeers(config)).quirks_of,
        answer_opportunistic=config.opportunistic.answer,
        accept_anonymous=hip.accept_anonymous,
        domain_identifier_type=kind,
        domain_identifier=octets,
        puzzle_k=hip.puzzle_k,
        puzzle_k_most=hip.puzzle_k_limit,
        r1_counter=r1_counter,
        ual_s=hip.unused_association_lifetime_s,
        rekey_s=hip.rekey_s,
        rekey_octets=hip.rekey_octets,
        heartbeat_s=hip.heartbeat_s,
        announce_locators=hip.announce_locators,
        shotgun=hip.shotgun,
        associations_most=hip.associations_limit,
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
