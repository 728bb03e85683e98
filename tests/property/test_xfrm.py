"""XFRM messages: round trips of any value, and any octets are refused with one kind of error."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from hipgw.netlink.xfrm import (
    Address,
    Aead,
    Authentication,
    Cipher,
    Encapsulation,
    Lifetime,
    Mark,
    Mode,
    PolicyAction,
    PolicyDirection,
    PolicyFlag,
    Replay,
    ReplayEsn,
    Selector,
    StateExtraFlag,
    StateFlag,
    Template,
    XfrmPolicy,
    XfrmState,
)
from hipgw.netlink.xfrm.events import parse_event
from hipgw.netlink.xfrm.octets import RawMessage, XfrmFormatError, read_messages
from hipgw.netlink.xfrm.policies import new_policy, parse_policy
from hipgw.netlink.xfrm.states import new_state, parse_state
from hipgw.netlink.xfrm.uapi import MessageType

words = st.integers(0, 0xFFFFFFFF)
shorts = st.integers(0, 0xFFFF)
longs = st.integers(0, 2**64 - 1)
octet = st.integers(0, 255)
names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=63)
keys = st.binary(max_size=64).map(bytearray)
families = st.sampled_from([IPv4Address, IPv6Address])
marks = st.builds(Mark, words, st.integers(1, 0xFFFFFFFF))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Address, Address]:
    family = draw(families)
    size = 4 if family is IPv4Address else 16
    return tuple(family(draw(st.binary(min_size=size, max_size=size))) for _ in "12")


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    source, destination = draw(pairs())
    bits = st.integers(0, source.max_prefixlen)
    return Selector(
        source, draw(bits), destination, draw(bits), draw(octet), *(draw(shorts) for _ in range(4)),
        interface_index=draw(st.integers(-(2**31), 2**31 - 1)), user=draw(words),
    )  # fmt: skip


lifetimes = st.builds(Lifetime, *[longs] * 8)


@st.composite
def esns(draw: st.DrawFn) -> ReplayEsn:
    window = draw(st.integers(0, 4096))
    count = (window + 31) // 32
    bitmap = draw(st.lists(words, min_size=count, max_size=count))
    return ReplayEsn(window, draw(longs), draw(longs), tuple(bitmap))


@st.composite
def states(draw: st.DrawFn) -> XfrmState:
    source, destination = draw(pairs())
    esn = draw(st.none() | esns())
    flags = StateFlag(draw(st.integers(0, 127))) | (StateFlag.ESN if esn else StateFlag(0))
    original = draw(st.none() | st.just(IPv4Address("192.0.2.1")))
    encapsulation = st.builds(Encapsulation, shorts, shorts, shorts, st.just(original))
    return XfrmState(
        source, destination, draw(st.integers(0x100, 0xFFFFFFFF)), draw(st.sampled_from(Mode)),
        draw(st.none() | selectors()),
        draw(st.none() | st.builds(Aead, names, keys, words)),
        draw(st.none() | st.builds(Cipher, names, keys)),
        draw(st.none() | st.builds(Authentication, names, keys, words)),
        protocol=draw(octet), reqid=draw(words),
        replay_window=0 if esn else draw(st.integers(0, 32)),
        replay=draw(st.none() | st.builds(Replay, words, words, words)), replay_esn=esn,
        flags=flags, extra_flags=StateExtraFlag(draw(st.integers(0, 3))),
        encapsulation=draw(st.none() | encapsulation), lifetime=draw(lifetimes),
        mark=draw(st.none() | marks), output_mark=draw(st.none() | marks),
        if_id=draw(st.none() | words), acquire_sequence=draw(words),
        mapping_interval_s=draw(st.none() | words),
    )  # fmt: skip


templates = pairs().flatmap(
    lambda pair: st.builds(
        Template, st.just(pair[0]), st.just(pair[1]), st.sampled_from(Mode), words, words, octet,
        st.booleans(),
    )
)  # fmt: skip
policies = st.builds(
    XfrmPolicy, selectors(), st.sampled_from(PolicyDirection),
    st.lists(templates, max_size=6).map(tuple), words, st.sampled_from(PolicyAction), words,
    st.integers(0, 3).map(PolicyFlag), lifetimes, st.none() | marks, st.none() | words,
)  # fmt: skip


@given(states())
def test_any_state_comes_back(state: XfrmState) -> None:
    assert parse_state(memoryview(new_state(state).body()), with_keys=True).state == state


@given(policies)
def test_any_policy_comes_back(policy: XfrmPolicy) -> None:
    assert parse_policy(memoryview(new_policy(policy).body())) == policy


def parsed(kind: int, body: bytes) -> None:
    try:
        parse_event(RawMessage(kind, 0, 0, memoryview(body)))
    except XfrmFormatError:
        return


@given(st.sampled_from(MessageType), st.binary(max_size=600))
def test_any_octets_are_an_event_or_refused(kind: MessageType, body: bytes) -> None:
    parsed(kind, body)


@given(st.sampled_from(MessageType), states() | policies, st.data())
def test_any_change_to_an_event_is_an_event_or_refused(
    kind: MessageType, value: XfrmState | XfrmPolicy, data: st.DataObject
) -> None:
    writer = new_state(value) if isinstance(value, XfrmState) else new_policy(value)
    body = bytearray(writer.body())
    for _ in range(data.draw(st.integers(0, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(octet)
    parsed(kind, bytes(body[: data.draw(st.integers(0, len(body)))]))


@given(st.binary(max_size=200))
def test_any_datagram_is_messages_or_refused(octets: bytes) -> None:
    try:
        found = list(read_messages(memoryview(octets)))
    except XfrmFormatError:
        return
    assert sum(16 + len(message.body) for message in found) <= len(octets)


@given(st.integers(0, 400), st.integers(0, 0xFFFF))
def test_a_state_cut_short_is_refused(length: int, kind: int) -> None:
    body = bytes(224) + struct.pack("=HH", 68, kind) + bytes(64)
    try:
        parse_state(memoryview(body[:length]))
    except XfrmFormatError:
        return
    raise AssertionError("a state of family 0 was understood")
