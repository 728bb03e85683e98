"""What the kernel tells about states and policies, from the multicast groups of NETLINK_XFRM."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hipgw.netlink.xfrm.octets import (
    WORD,
    Address,
    RawMessage,
    family_of,
    parse_address,
    read_attributes,
    take,
)
from hipgw.netlink.xfrm.parts import parse_mark, parse_selector
from hipgw.netlink.xfrm.policies import (
    POLICY_ID_OCTETS,
    POLICY_OCTETS,
    parse_policy,
    parse_policy_id,
    parse_policy_info,
    parse_templates,
)
from hipgw.netlink.xfrm.states import (
    INFO_OCTETS,
    STATE_ID_OCTETS,
    parse_state,
    parse_state_id,
    parse_state_info,
)
from hipgw.netlink.xfrm.uapi import Attribute, MessageType
from hipgw.netlink.xfrm.values import (
    Mark,
    PolicyId,
    Selector,
    StateId,
    StateReport,
    Template,
    XfrmPolicy,
)

ACQUIRE_OCTETS: Final = 280
EXPIRE_OCTETS: Final = 232
MAPPING_OCTETS: Final = 64
MAPPING_PORTS: Final = struct.Struct("!HH")


@dataclass(frozen=True, slots=True)
class Acquired:
    """Traffic met a policy without a state (ACQUIRE); a larval state holds the place."""

    selector: Selector | None
    """The exact pair of inner addresses, protocol and ports of the packet."""
    policy: XfrmPolicy
    templates: tuple[Template, ...]
    """What the state must fit; outer addresses may be unspecified."""
    sequence: int
    """For `XfrmState.acquire_sequence` of the answer."""
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class Expired:
    """A state reached a limit (EXPIRE)."""

    report: StateReport
    is_hard: bool
    """The state is gone; otherwise it works on."""


@dataclass(frozen=True, slots=True)
class MappingChanged:
    """Authentic ESP in UDP came from another address or port (MAPPING): a NAT moved.

    The kernel goes on sending to the old one.
    """

    state: StateId
    reqid: int
    old_source: Address
    old_port: int
    new_source: Address
    new_port: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Somebody, we or another, added (NEWSA) or updated (UPDSA) a state."""

    report: StateReport
    is_new: bool


@dataclass(frozen=True, slots=True)
class StateRemoved:
    """Somebody removed a state (DELSA)."""

    state: StateId


@dataclass(frozen=True, slots=True)
class StatesFlushed:
    """Somebody removed all states of a protocol, 0 for all (FLUSHSA)."""

    protocol: int


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """Somebody added (NEWPOLICY) or replaced (UPDPOLICY) a policy."""

    policy: XfrmPolicy
    is_new: bool


@dataclass(frozen=True, slots=True)
class PolicyRemoved:
    """Somebody removed a policy (DELPOLICY)."""

    name: PolicyId
    policy: XfrmPolicy | None


@dataclass(frozen=True, slots=True)
class PoliciesFlushed:
    """Somebody removed all policies (FLUSHPOLICY)."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """States and policy of a selector moved to new addresses (MIGRATE)."""

    name: PolicyId


@dataclass(frozen=True, slots=True)
class Overrun:
    """Events were lost: whoever keeps a picture of the tables must dump them again.

    Not before the queue is empty (`XfrmMonitor.is_drained`): what is lost until then is not told.
    """


Event = (
    Acquired
    | Expired
    | MappingChanged
    | StateChanged
    | StateRemoved
    | StatesFlushed
    | PolicyChanged
    | PolicyRemoved
    | PoliciesFlushed
    | Migrated
    | Overrun
)


def parse_event(message: RawMessage) -> Event | None:
    """An event, or None for a message that is none of ours.

    Raises:
        XfrmFormatError: whatever is wrong with it; no key is ever copied out of it.
    """
    parse = _PARSERS.get(message.kind)
    return None if parse is None else parse(message.body)


def _acquired(body: memoryview) -> Acquired:
    take(body, ACQUIRE_OCTETS, "acquire")
    attributes = read_attributes(body[ACQUIRE_OCTETS:])
    (sequence,) = WORD.unpack_from(body, 276)
    return Acquired(
        selector=parse_selector(body[40:96]),
        policy=parse_policy_info(body[96 : 96 + POLICY_OCTETS], {}),
        templates=parse_templates(attributes.get(Attribute.TMPL)),
        sequence=sequence,
        mark=parse_mark(attributes),
    )


def _expired(body: memoryview) -> Expired:
    take(body, EXPIRE_OCTETS, "expire")
    report = parse_state_info(body[:INFO_OCTETS], read_attributes(body[EXPIRE_OCTETS:]))
    return Expired(report, is_hard=bool(body[INFO_OCTETS]))


def _mapping_changed(body: memoryview) -> MappingChanged:
    take(body, MAPPING_OCTETS, "mapping")
    state = parse_state_id(body[:STATE_ID_OCTETS])
    family = family_of(state.destination)
    (reqid,) = WORD.unpack_from(body, 24)
    old_port, new_port = MAPPING_PORTS.unpack_from(body, 60)
    old, new = parse_address(body[28:44], family), parse_address(body[44:60], family)
    return MappingChanged(state, reqid, old, old_port, new, new_port)


def _state_removed(body: memoryview) -> StateRemoved:
    name = parse_state_id(body)
    mark = parse_mark(read_attributes(body[STATE_ID_OCTETS:]))
    return StateRemoved(StateId(name.destination, name.spi, name.protocol, mark))


def _policy_removed(body: memoryview) -> PolicyRemoved:
    name = parse_policy_id(body)
    attributes = read_attributes(body[POLICY_ID_OCTETS:])
    whole = attributes.get(Attribute.POLICY)
    policy = None if whole is None else parse_policy_info(whole, attributes)
    selector = name.selector if policy is None else policy.selector
    named = PolicyId(selector, name.direction, name.index, parse_mark(attributes))
    return PolicyRemoved(named, policy)


def _states_flushed(body: memoryview) -> StatesFlushed:
    return StatesFlushed(take(body, 1, "flush")[0])


_PARSERS: Final[Mapping[int, Callable[[memoryview], Event]]] = {
    MessageType.ACQUIRE: _acquired,
    MessageType.EXPIRE: _expired,
    MessageType.MAPPING: _mapping_changed,
    MessageType.NEWSA: lambda body: StateChanged(parse_state(body), is_new=True),
    MessageType.UPDSA: lambda body: StateChanged(parse_state(body), is_new=False),
    MessageType.DELSA: _state_removed,
    MessageType.FLUSHSA: _states_flushed,
    MessageType.NEWPOLICY: lambda body: PolicyChanged(parse_policy(body), is_new=True),
    MessageType.UPDPOLICY: lambda body: PolicyChanged(parse_policy(body), is_new=False),
    MessageType.DELPOLICY: _policy_removed,
    MessageType.FLUSHPOLICY: lambda _: PoliciesFlushed(),
    MessageType.MIGRATE: lambda body: Migrated(parse_policy_id(body)),
}
