"""The configuration: one frozen dataclass per TOML table, one field per key.

`conf/hipgw.toml` documents every key and holds every default; a test keeps the two equal.
`hipgw.daemon.config_file` reads it.
"""

# ruff: noqa: RUF009 - option() and required() are dataclasses.field() with metadata
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path as FilePath
from typing import Final

from hipgw.crypto import KEY_KINDS
from hipgw.daemon import config_readers as read
from hipgw.daemon.certificate_config import CertificateOptions
from hipgw.daemon.strict_toml import option, required
from hipgw.dataplane.ciphers import CipherBackend
from hipgw.dataplane.interface import Preference
from hipgw.drivers.nfqueue import Intercept
from hipgw.drivers.offload import Offload, RawSending
from hipgw.drivers.scheduling import SLICE_US_MOST
from hipgw.resolve import Peer
from hipgw.values import (
    HIP_UDP_PORT,
    NO_QUIRKS,
    Address,
    DhGroup,
    Encapsulation,
    EspSuite,
    HipCipher,
    HipTransform,
    Hit,
    Lsi,
    Quirks,
)

USER_NAME: Final = read.matching(read.HOST_NAME, "a user or group name", may_be_empty=True)
SUITES_MOST: Final = 6
"""RFC 7401 section 5.2.8, RFC 7402 section 5.1.2."""
INTERCEPTS: Final = {way.value: way for way in Intercept}
OFFLOADS: Final = {switch.value: switch for switch in Offload}
RAW_SENDING: Final = {way.value: way for way in RawSending}
BACKENDS: Final = {preference.value: preference for preference in Preference}
CIPHER_BACKENDS: Final = {backend.value: backend for backend in CipherBackend}
PUZZLE_K: Final = read.whole_number(0, 28, "bits")
PORT: Final = read.whole_number(1, 65535)


@dataclass(frozen=True, slots=True)
class HostOptions:
    """`[host]`: this machine."""

    name: str = option("", read.matching(read.HOST_NAME, "a host name", may_be_empty=True))
    user: str = option("", USER_NAME)


@dataclass(frozen=True, slots=True)
class IdentityOptions:
    """`[identity]`: who this host is."""

    directory: FilePath = option(FilePath("/etc/hip/keys"), read.absolute_path)
    default: str = option(
        "ecdsa-p256", read.matching(read.FILE_NAME, "the name of a key file without .pem")
    )
    domain_identifier: str = option(
        "",
        read.matching(read.HOST_NAME, "a host name (FQDN) or user@realm", may_be_empty=True),
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """`[network]`: interface and transport."""

    interface: str = option(
        "hip0", read.matching(read.INTERFACE_NAME, "an interface name of 1 to 15 letters")
    )
    mtu: int | None = option(None, read.mtu)
    """None: computed from the underlay."""
    encapsulation: Encapsulation = option(Encapsulation.RAW, read.one_of(read.ENCAPSULATIONS))
    udp_port: int = option(HIP_UDP_PORT, PORT)
    interfaces: tuple[str, ...] = option(
        (),
        read.several(read.matching(read.INTERFACE_NAME, "an interface name of 1 to 15 letters")),
    )
    lsi_prefix: IPv4Network = option(IPv4Network("1.0.0.0/8"), read.lsi_prefix)
    path_mtu_discovery: bool = option(True, read.flag)
    traffic_class: int = option(0xFF, read.one_of(read.TRAFFIC_CLASSES))
    queue_packets: int = option(64, read.whole_number(1, 4096, "packets"))
    queue_octets: int = option(262_144, read.whole_number(2048, 64 * 1024 * 1024, "octets"))
    queue_total_octets: int = option(
        8 * 1024 * 1024, read.whole_number(2048, 1024 * 1024 * 1024, "octets")
    )


@dataclass(frozen=True, slots=True)
class DatapathOptions:
    """`[datapath]`: how packets to HITs and LSIs come to hipgw."""

    intercept: Intercept = option(Intercept.TUN, read.one_of(INTERCEPTS))
    queue_first: int = option(10500, read.whole_number(0, 65535))
    queue_count: int = option(1, read.whole_number(1, 16, "queues"))
    backend: Preference = option(Preference.USER, read.one_of(BACKENDS))
    workers: int | None = option(None, read.workers)
    """Pairs; None: by the number of cores."""
    pin: bool = option(False, read.flag)
    busy_poll_us: int = option(0, read.whole_number(0, 1_000_000, "microseconds"))
    slice_us: int = option(1000, read.whole_number(0, SLICE_US_MOST, "microseconds"))


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """`[gateway]`: hosts behind this one that know no HIP; peers name theirs in `subnets`."""

    local_subnets: tuple[IPv4Network | IPv6Network, ...] = option(
        (), read.several(read.subnet), reloadable=True
    )
    clamp_mss: bool = option(True, read.flag, reloadable=True)


@dataclass(frozen=True, slots=True)
class OffloadOptions:
    """`[offload]`: work that kernel and hipgw do once for many packets."""

    tun: Offload = option(Offload.AUTO, read.one_of(OFFLOADS))
    udp: Offload = option(Offload.AUTO, read.one_of(OFFLOADS))
    raw: RawSending = option(RawSending.AUTO, read.one_of(RAW_SENDING))
    crypto: CipherBackend = option(CipherBackend.AUTO, read.one_of(CIPHER_BACKENDS))


@dataclass(frozen=True, slots=True)
class HipOptions:
    """`[hip]`: what the base exchange offers and accepts."""

    dh_groups: tuple[DhGroup, ...] = option(
        (
            DhGroup.NIST_P256,
            DhGroup.NIST_P384,
            DhGroup.NIST_P521,
            DhGroup.MODP_3072,
            DhGroup.MODP_1536,
        ),
        read.several(read.one_of(read.DH_GROUPS), least=1),
        reloadable=True,
    )
    ciphers: tuple[HipCipher, ...] = option(
        (HipCipher.AES_128_CBC, HipCipher.AES_256_CBC),
        read.several(read.one_of(read.CIPHERS), least=1, most=SUITES_MOST),
        reloadable=True,
    )
    esp_suites: tuple[EspSuite, ...] = option(
        (
            EspSuite.AES_GCM_16,
            EspSuite.AES_128_CBC_HMAC_SHA256,
            EspSuite.AES_256_CBC_HMAC_SHA256,
        ),
        read.several(read.one_of(read.ESP_SUITES), least=1, most=SUITES_MOST),
    )
    puzzle: str = option("auto", read.one_of(("auto", "fixed")), reloadable=True)
    puzzle_k: int = option(0, PUZZLE_K, reloadable=True)
    puzzle_k_ceiling: int = option(16, PUZZLE_K, reloadable=True)
    puzzle_k_limit: int = option(22, PUZZLE_K, reloadable=True)
    default_version: int = option(2, read.whole_number(1, 2))
    accept_anonymous: bool = option(True, read.flag, reloadable=True)
    unused_association_lifetime_s: float = option(
        900.0, read.number(0, 7 * 86400, "seconds, 0 for ever"), reloadable=True
    )
    rekey_s: float = option(
        3600.0, read.number(0, 7 * 86400, "seconds, 0 for never"), reloadable=True
    )
    rekey_octets: int = option(
        0, read.whole_number(0, 1 << 62, "octets, 0 for no limit"), reloadable=True
    )
    heartbeat_s: float = option(0.0, read.number(0, 86400, "seconds, 0 for off"), reloadable=True)
    announce_locators: bool = option(False, read.flag, reloadable=True)
    shotgun: bool = option(False, read.flag, reloadable=True)
    associations_limit: int = option(
        100_000, read.whole_number(1, 10_000_000, "associations"), reloadable=True
    )
    associations_memory_octets: int = option(
        0, read.whole_number(0, 1 << 62, "octets, 0 for no limit"), reloadable=True
    )
    half_open_limit: int = option(
        256, read.whole_number(1, 1_000_000, "exchanges"), reloadable=True
    )
    r1_per_second: float = option(
        5000.0, read.number(1, 1e7, "packets per second"), reloadable=True
    )
    r1_per_source_per_second: float = option(
        20.0, read.number(1, 1e7, "packets per second"), reloadable=True
    )
    icmp_replies: str = option("should", read.one_of(("off", "should", "may")), reloadable=True)


@dataclass(frozen=True, slots=True)
class LegacyOptions:
    """`[legacy]`: what peers may use that speak HIPv1 or have weak keys."""

    every_peer: bool = option(False, read.flag, reloadable=True)
    dh_groups: tuple[DhGroup, ...] = option(
        (DhGroup.MODP_3072, DhGroup.MODP_1536),
        read.several(read.one_of(read.DH_GROUPS_V1), least=1, most=2),
        reloadable=True,
    )
    transforms: tuple[HipTransform, ...] = option(
        (HipTransform.AES_128_CBC_HMAC_SHA1, HipTransform.TRIPLE_DES_CBC_HMAC_SHA1),
        read.several(read.one_of(read.TRANSFORMS_V1), least=1, most=SUITES_MOST),
        reloadable=True,
    )
    esp_suites: tuple[EspSuite, ...] = option(
        (EspSuite.V1_AES_128_CBC_HMAC_SHA1, EspSuite.V1_TRIPLE_DES_CBC_HMAC_SHA1),
        read.several(read.one_of(read.ESP_SUITES_V1), least=1, most=SUITES_MOST),
    )


@dataclass(frozen=True, slots=True)
class OpportunisticOptions:
    """`[opportunistic]`: associations with whoever is at an address (RFC 7401 section 4.1.8)."""

    answer: bool = option(False, read.flag, reloadable=True)
    initiate: bool = option(False, read.flag, reloadable=True)
    pin: bool = option(True, read.flag, reloadable=True)


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """`[control]`: the socket that `hipgw status` and the others ask."""

    socket: FilePath = option(FilePath("/run/hipgw/hipgw.sock"), read.absolute_path)
    group: str = option("", USER_NAME)


@dataclass(frozen=True, slots=True)
class HostsOptions:
    """`[hosts]`: where names, HITs, LSIs and IP addresses are looked up."""

    files: tuple[FilePath, ...] = option(
        (FilePath("/etc/hip/hosts"), FilePath("/etc/hosts")), read.several(read.absolute_path)
    )


@dataclass(frozen=True, slots=True)
class StateOptions:
    """`[state]`: what outlives the daemon."""

    directory: FilePath = option(FilePath("/var/lib/hipgw"), read.absolute_path)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`[log]`: to standard error."""

    level: str = option("info", read.one_of(read.LOG_LEVELS), reloadable=True)


@dataclass(frozen=True, slots=True)
class LabOptions:
    """`[lab]`: for test networks only."""

    enabled: bool = option(False, read.flag)
    export_keys: FilePath | None = option(None, read.optional_path)


@dataclass(frozen=True, slots=True)
class HostIdentityOptions:
    """One `[[host_identity]]`: what is special about one of our identities."""

    name: str = required(read.matching(read.FILE_NAME, "the name of a key file without .pem"))
    kind: str = option("ecdsa-p256", read.one_of(KEY_KINDS))
    anonymous: bool = option(False, read.flag)
    keep: bool = option(False, read.flag)
    rotate_s: float = option(0.0, read.number(0, 365 * 86400, "seconds, 0 for never"))
    domain_identifier: str | None = option(
        None, read.matching(read.HOST_NAME, "a host name (FQDN) or user@realm", may_be_empty=True)
    )
    """None: that of `[identity]`, but none for an anonymous identity."""


@dataclass(frozen=True, slots=True)
class PeerOptions:
    """One `[[peer]]`."""

    hit: Hit = required(read.hit)
    name: str = option(
        "", read.matching(read.HOST_NAME, "a host name", may_be_empty=True), reloadable=True
    )
    lsi: Lsi | None = option(None, read.lsi, reloadable=True)
    addresses: tuple[Address, ...] = option((), read.several(read.locator), reloadable=True)
    encapsulation: Encapsulation | None = option(
        None, read.one_of(read.ENCAPSULATIONS), reloadable=True
    )
    identity: str = option(
        "",
        read.matching(read.FILE_NAME, "the name of one of our identities", may_be_empty=True),
        reloadable=True,
    )
    certificates: bool | None = option(None, read.one_of(read.REQUIREMENTS), reloadable=True)
    """Whether it needs one; None: as `[certificates] policy` says."""
    via: tuple[Address, ...] = option((), read.several(read.locator), reloadable=True)
    legacy: bool = option(False, read.flag, reloadable=True)
    compatibility: Quirks = option(NO_QUIRKS, read.compatibility, reloadable=True)
    subnets: tuple[IPv4Network | IPv6Network, ...] = option(
        (), read.several(read.subnet), reloadable=True
    )
    extended_sequence_numbers: bool = option(False, read.flag, reloadable=True)
    """Whether ESP with it counts to 2^64, from its next keys on; both ends must say the same."""
    puzzle_k: int | None = option(None, PUZZLE_K, reloadable=True)
    """Of our puzzles for it; None: as everybody's."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the operator can say; every field has a default that works."""

    host: HostOptions = field(default_factory=HostOptions)
    identity: IdentityOptions = field(default_factory=IdentityOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    datapath: DatapathOptions = field(default_factory=DatapathOptions)
    gateway: GatewayOptions = field(default_factory=GatewayOptions)
    offload: OffloadOptions = field(default_factory=OffloadOptions)
    hip: HipOptions = field(default_factory=HipOptions)
    legacy: LegacyOptions = field(default_factory=LegacyOptions)
    opportunistic: OpportunisticOptions = field(default_factory=OpportunisticOptions)
    certificates: CertificateOptions = field(default_factory=CertificateOptions)
    control: ControlOptions = field(default_factory=ControlOptions)
    hosts: HostsOptions = field(default_factory=HostsOptions)
    state: StateOptions = field(default_factory=StateOptions)
    log: LogOptions = field(default_factory=LogOptions)
    lab: LabOptions = field(default_factory=LabOptions)
    host_identities: tuple[HostIdentityOptions, ...] = ()
    peers: tuple[PeerOptions, ...] = ()

    def known_peers(self) -> tuple[Peer, ...]:
        """The `[[peer]]` tables as the resolver takes them."""
        return tuple(
            Peer(peer.hit, peer.name, peer.lsi, peer.addresses, peer.encapsulation, peer.via)
            for peer in self.peers
        )

    def certificate_requirements(self) -> dict[Hit, bool]:
        """Whether a certificate is required of the peers that have a say of their own."""
        said = {peer.hit: peer.certificates for peer in self.peers}
        return {hit: required for hit, required in said.items() if required is not None}

    def compatibility(self) -> dict[Hit, Quirks]:
        """The compatibility switches of the peers that have any."""
        return {peer.hit: peer.compatibility for peer in self.peers if peer.compatibility}

    def extended_peers(self) -> frozenset[Hit]:
        """The peers whose sequence numbers have 64 bits."""
        return frozenset(peer.hit for peer in self.peers if peer.extended_sequence_numbers)

    def puzzle_ks(self) -> dict[Hit, int]:
        """The puzzle difficulties of the peers that have one of their own."""
        said = {peer.hit: peer.puzzle_k for peer in self.peers}
        return {hit: k for hit, k in said.items() if k is not None}


TABLES: Final[Mapping[str, type]] = {
    "host": HostOptions,
    "identity": IdentityOptions,
    "network": NetworkOptions,
    "datapath": DatapathOptions,
    "gateway": GatewayOptions,
    "offload": OffloadOptions,
    "hip": HipOptions,
    "legacy": LegacyOptions,
    "opportunistic": OpportunisticOptions,
    "certificates": CertificateOptions,
    "control": ControlOptions,
    "hosts": HostsOptions,
    "state": StateOptions,
    "log": LogOptions,
    "lab": LabOptions,
}


def changed_keys(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """What differs between two configurations.

    Returns:
        (keys that a reload takes over, keys that need a restart), as "table.key"; all of
        `[[peer]]` is one reloadable key.
    """
    live: list[str] = ["peer"] if old.peers != new.peers else []
    fixed: list[str] = []
    if old.host_identities != new.host_identities:
        fixed.append("host_identity")
    for table, kind in TABLES.items():
        for key in fields(kind):
            if getattr(getattr(old, table), key.name) != getattr(getattr(new, table), key.name):
                (live if key.metadata["reloadable"] else fixed).append(f"{table}.{key.name}")
    return live, fixed
