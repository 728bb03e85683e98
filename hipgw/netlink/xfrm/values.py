"""XFRM states (security associations) and policies as values.

Keys are bytearrays: they never appear in `repr`, and `XfrmState.wipe` overwrites them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hipgw.netlink.xfrm.octets import Address
from hipgw.netlink.xfrm.uapi import (
    IPPROTO_ESP,
    UDP_ENCAP_ESPINUDP,
    UNLIMITED,
    Mode,
    PolicyAction,
    PolicyDirection,
    PolicyFlag,
    StateExtraFlag,
    StateFlag,
)

NO_STATE_FLAGS: Final = StateFlag(0)
NO_STATE_EXTRA_FLAGS: Final = StateExtraFlag(0)
NO_POLICY_FLAGS: Final = PolicyFlag(0)


@dataclass(frozen=True, slots=True)
class Selector:
    """xfrm_selector: which packets. Addresses with prefix lengths; a port of 0 means any."""

    source: Address
    source_bits: int
    destination: Address
    destination_bits: int
    protocol: int = 0
    source_port: int = 0
    source_port_mask: int = 0
    destination_port: int = 0
    destination_port_mask: int = 0
    interface_index: int = 0
    user: int = 0

    def __post_init__(self) -> None:
        if self.source.version != self.destination.version:
            raise ValueError(f"selector of two families: {self.source} and {self.destination}")
        for bits in (self.source_bits, self.destination_bits):
            if not 0 <= bits <= self.source.max_prefixlen:
                raise ValueError(f"prefix length {bits} of {self.source.max_prefixlen} bits")

    @classmethod
    def between(cls, source: Address, destination: Address) -> Selector:
        """Exactly one pair of addresses, which is all that a BEET state can carry."""
        return cls(source, source.max_prefixlen, destination, destination.max_prefixlen)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """xfrm_lifetime_cfg: a soft limit raises an event, a hard one ends the state as well."""

    soft_octets: int = UNLIMITED
    hard_octets: int = UNLIMITED
    soft_packets: int = UNLIMITED
    hard_packets: int = UNLIMITED
    soft_added_s: int = 0
    """Seconds since it was added; 0 is no limit."""
    hard_added_s: int = 0
    soft_used_s: int = 0
    """Seconds since its first packet; 0 is no limit."""
    hard_used_s: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """xfrm_lifetime_cur: what went through so far."""

    octets: int = 0
    """Of whole outer packets out, and of decapsulated ones in, as the kernel counts."""
    packets: int = 0
    added_s: int = 0
    """Wall clock, seconds since 1970."""
    used_s: int = 0
    """Wall clock of the first packet; 0 before it."""


@dataclass(frozen=True, slots=True)
class Failures:
    """xfrm_stats: inbound packets that this state refused."""

    replay_window: int = 0
    """Older than the window."""
    replay: int = 0
    """Seen before."""
    integrity: int = 0


@dataclass(frozen=True, slots=True)
class Aead:
    """A combined algorithm; for RFC 4106 the key ends in four octets of salt."""

    name: str
    key: bytearray = field(repr=False, hash=False)
    icv_bits: int = 128


@dataclass(frozen=True, slots=True)
class Cipher:
    """An encryption algorithm without integrity."""

    name: str
    key: bytearray = field(repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Authentication:
    """An integrity algorithm and how much of its result goes on the wire."""

    name: str
    key: bytearray = field(repr=False, hash=False)
    icv_bits: int = 128


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """ESP in UDP (RFC 3948): ports of the outer UDP header."""

    source_port: int
    destination_port: int
    kind: int = UDP_ENCAP_ESPINUDP
    original: Address | None = None
    """NAT-OA; None is the all-zero address."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A packet mark: `value` in the bits of `mask`."""

    value: int
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Replay:
    """xfrm_replay_state: 32-bit sequence numbers and a window of 32 packets."""

    outbound: int = 0
    """Last number sent."""
    inbound: int = 0
    """Highest number accepted."""
    bitmap: int = 0


@dataclass(frozen=True, slots=True)
class ReplayEsn:
    """xfrm_replay_state_esn: any window up to 4096 packets, 64-bit numbers with StateFlag.ESN."""

    window_packets: int
    outbound: int = 0
    """Last number sent, with its high half."""
    inbound: int = 0
    """Highest number accepted, with its high half."""
    bitmap: tuple[int, ...] = ()
    """Words of 32 packets; empty means none seen."""

    def __post_init__(self) -> None:
        if not 0 <= self.window_packets <= 4096:
            raise ValueError(f"replay window of {self.window_packets} packets, 0 to 4096 work")
        if self.bitmap and len(self.bitmap) * 32 < self.window_packets:
            raise ValueError(f"bitmap of {len(self.bitmap)} words for {self.window_packets} bits")


@dataclass(frozen=True, slots=True)
class XfrmState:
    """One security association, as NEWSA and UPDSA ask for it.

    A BEET state takes the inner addresses from `selector`, which must then be exact.
    `replay_window` 0 without `replay_esn` means no protection against replay: that is the kernel's
    default, not ours.
    """

    source: Address
    destination: Address
    spi: int
    mode: Mode = Mode.BEET
    selector: Selector | None = None
    aead: Aead | None = None
    cipher: Cipher | None = None
    authentication: Authentication | None = None
    protocol: int = IPPROTO_ESP
    reqid: int = 0
    replay_window: int = 32
    """Packets, up to 32; larger windows need `replay_esn`."""
    replay: Replay | None = None
    replay_esn: ReplayEsn | None = None
    flags: StateFlag = NO_STATE_FLAGS
    extra_flags: StateExtraFlag = NO_STATE_EXTRA_FLAGS
    encapsulation: Encapsulation | None = None
    lifetime: Lifetime = Lifetime()
    mark: Mark | None = None
    """Packets must carry it for this state to be found."""
    output_mark: Mark | None = None
    """Set on packets that leave."""
    if_id: int | None = None
    acquire_sequence: int = 0
    """`Acquired.sequence` of the event that this state answers."""
    mapping_interval_s: int | None = None
    """Least seconds between two `MappingChanged` of an encapsulated inbound state (Linux 5.17)."""

    def wipe(self) -> None:
        """Overwrite the keys with zeros; the state cannot be installed any more."""
        for algorithm in (self.aead, self.cipher, self.authentication):
            if algorithm is not None:
                algorithm.key[:] = bytes(len(algorithm.key))


@dataclass(frozen=True, slots=True)
class StateReport:
    """A state as the kernel shows it: sequence numbers and counters are those of the moment."""

    state: XfrmState
    """Keys are empty unless they were asked for."""
    usage: Usage
    failures: Failures
    last_used_s: int | None
    """Wall clock, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class StateId:
    """What names a state: destination, SPI and protocol, and its mark if it has one."""

    destination: Address
    spi: int
    protocol: int = IPPROTO_ESP
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """xfrm_user_tmpl: which state a policy wants; `source` and `destination` are outer ones."""

    source: Address
    destination: Address
    mode: Mode = Mode.BEET
    reqid: int = 0
    spi: int = 0
    """0 is any."""
    protocol: int = IPPROTO_ESP
    optional: bool = False


@dataclass(frozen=True, slots=True)
class XfrmPolicy:
    """Which packets need which states."""

    selector: Selector
    direction: PolicyDirection
    templates: tuple[Template, ...] = ()
    priority: int = 0
    """The smallest number wins."""
    action: PolicyAction = PolicyAction.ALLOW
    index: int = 0
    """The kernel's name for it; 0 in a request lets the kernel choose."""
    flags: PolicyFlag = NO_POLICY_FLAGS
    lifetime: Lifetime = Lifetime()
    mark: Mark | None = None
    if_id: int | None = None


@dataclass(frozen=True, slots=True)
class PolicyId:
    """What names a policy: its index, or else its selector."""

    selector: Selector | None
    direction: PolicyDirection
    index: int = 0
    mark: Mark | None = None
    if_id: int | None = None


@dataclass(frozen=True, slots=True)
class Migration:
    """New outer addresses for the states behind one policy; keys and numbers stay (MIGRATE)."""

    old_source: Address
    old_destination: Address
    new_source: Address
    new_destination: Address
    mode: Mode = Mode.BEET
    reqid: int = 0
    protocol: int = IPPROTO_ESP
