"""The engine against anything: every packet is a move of the table or a refusal with one counter.

Keys are drawn once per run; everything else of an example repeats from what Hypothesis chose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from ipaddress import ip_address

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hipgw.proto import TRANSITIONS, EndpointConfig, State, Trigger
from hipgw.values import DhGroup, Encapsulation, Path
from hipgw.wire import (
    LIFETIME_UNBOUNDED_S,
    Ack,
    AddressLocator,
    DhGroupList,
    DiffieHellman,
    EchoRequestSigned,
    EchoResponseSigned,
    EspInfo,
    HipPacket,
    LocatorRecord,
    LocatorSet,
    Notification,
    PacketType,
    Parameter,
    Seq,
    SpiLocator,
    TransportLocator,
    UnknownLocator,
    UnknownParameter,
    emit_packet,
    parse_packet,
)
from tests.engine.forge import bare, checksummed, sealed, signed
from tests.engine.network import Datagram, Network, Node, exchange, low_and_high

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), ual_s=60.0, msl_s=10.0)
MODERATE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
TRIGGERS = {
    PacketType.I1: {Trigger.I1_RECEIVED},
    PacketType.R1: {Trigger.R1_VALID, Trigger.R1_OTHER_SUITE, Trigger.R1_UNACCEPTABLE},
    PacketType.I2: {Trigger.I2_VALID},
    PacketType.R2: {Trigger.R2_VALID},
    PacketType.UPDATE: {Trigger.UPDATE_VALID},
    PacketType.NOTIFY: {Trigger.NOTIFY_VALID},
    PacketType.CLOSE: {Trigger.CLOSE_VALID},
    PacketType.CLOSE_ACK: {Trigger.CLOSE_ACK_VALID},
}


def reach(state: State, *, is_low: bool) -> tuple[Network, Node, Node]:
    """A node in `state` towards a peer, with nothing under way."""
    network = Network(seed=3)
    low, high = low_and_high()
    mine, theirs = (low, high) if is_low else (high, low)
    node, peer = network.node(mine, config=FAST), network.node(theirs, config=FAST)
    lost = {
        State.I1_SENT: {PacketType.R1},
        State.I2_SENT: {PacketType.R2},
        State.E_FAILED: {PacketType.I1},
    }.get(state, set())
    network.wire = lambda datagram: [] if datagram.kind in lost else [datagram]
    match state:
        case State.UNASSOCIATED:
            exchange(peer, node)
            node.close(peer)
            network.run(0.1)
        case State.I1_SENT | State.I2_SENT:
            node.want(peer)
            network.run(0.1)
        case State.E_FAILED:
            node.want(peer)
            network.run(40.0, until=lambda: node.state(peer) is state)
        case State.R2_SENT:
            peer.want(node)
            network.run(0.1)
        case State.ESTABLISHED:
            exchange(node, peer)
        case State.CLOSING:
            exchange(peer, node)
            network.wire = lambda _: []
            node.close(peer)
        case State.CLOSED:
            exchange(peer, node)
            peer.close(node)
            network.run(0.1)
    assert node.state(peer) is state
    network.wire = lambda _: []
    return network, node, peer


def packets_for(network: Network, node: Node, peer: Node) -> list[tuple[bytes, Path]]:
    """What a peer might send: everything it did send, and packets with its present keys."""
    here = set(node.addresses)
    found = [(one.payload, one.path) for one in network.carried if one.path.local in here]
    path = node.path_to(peer)
    found.append((bare(PacketType.I1, peer.hit, node.hit, path, DhGroupList((7, 8))), path))
    found.append(signed(peer, node, PacketType.NOTIFY, Notification(24, b"why")))
    if peer.keying is not None:
        updates: tuple[tuple[Parameter, ...], ...] = (
            (),
            (Seq(0),),
            (Ack((0,)),),
            (Seq(0), EchoRequestSigned(b"e")),
            *rekeys_and_moves(node, peer),
        )
        found += [sealed(peer, node, PacketType.UPDATE, *one) for one in updates]
        found.append(sealed(peer, node, PacketType.UPDATE, UnknownParameter(1001, b"?")))
        found.append(sealed(peer, node, PacketType.CLOSE, EchoRequestSigned(b"bye")))
        found.append(sealed(peer, node, PacketType.CLOSE_ACK, EchoResponseSigned(b"bye")))
        found += [
            sealed(peer, node, PacketType.CLOSE_ACK, EchoResponseSigned(request.data))
            for one in network.carried
            if one.kind is PacketType.CLOSE
            for request in parse_packet(one.payload).all(EchoRequestSigned)
        ]
    return found


def rekeys_and_moves(node: Node, peer: Node) -> list[tuple[Parameter, ...]]:
    """What UPDATEs may ask for, with SPIs that are in use and some that are not."""
    view = node.view(peer)
    spis = {0, 4711, view.spi_out or 1, view.spi_in or 2} if view else {0, 4711}
    public = DiffieHellman(7, peer.keying.dh.public if peer.keying else bytes(64))
    found: list[tuple[Parameter, ...]] = []
    for number, old in enumerate(sorted(spis)):
        for new in (old, 0, 0x1000 + number):
            found.append((EspInfo(0, old, new), Seq(number)))
            found.append((EspInfo(300, old, new), Seq(number), Ack((0,))))
            found.append((EspInfo(0, old, new), Seq(1), public))
    for lifetime_s, locator in (
        (LIFETIME_UNBOUNDED_S, AddressLocator(ip_address("198.51.100.7"))),
        (1, SpiLocator(4711, peer.address)),
        (30, AddressLocator(ip_address("2001:db8:7::7"))),
        (30, UnknownLocator(7, b"what")),
        (30, TransportLocator(1, 17, 0, 1, 4711, peer.address)),
    ):
        records = LocatorSet((LocatorRecord(locator, lifetime_s, 0, preferred=True),))
        found += [
            (records, Seq(2)),
            (records, Seq(3), EchoRequestSigned(b"e")),
            (records, Ack((0,))),
        ]
    found.append((LocatorSet(()), Seq(4)))
    found += [(Ack((number,)), EchoResponseSigned(b"e" * 16)) for number in range(3)]
    return found


def check_one_packet(node: Node, peer: Node, payload: bytes, path: Path) -> None:
    """Deliver, and hold what happened against the table and the counters."""
    before, counted = node.state(peer), node.endpoint.counters
    node.receive(payload, path)
    after, recounted = node.state(peer), node.endpoint.counters
    rises = {name: n - counted[name] for name, n in recounted.items() if n != counted[name]}
    assert sum(rises.values()) <= 1, rises
    kind = _kind(payload)
    triggers = set() if kind is None else TRIGGERS.get(kind, set())
    moves = {TRANSITIONS.get((before, trigger)) for trigger in triggers}
    if before is State.E_FAILED and after is State.R2_SENT:
        assert _kind(payload) is PacketType.I2  # the hold ends early, then UNASSOCIATED -> R2-SENT
    elif rises:
        assert after is before or TRANSITIONS.get((before, Trigger.R1_UNACCEPTABLE)) is after
    else:
        assert after in moves, (before, after, _kind(payload))


def _kind(payload: bytes) -> PacketType | None:
    number = payload[2] & 0x7F if len(payload) > 2 else 0
    return PacketType(number) if number in set(PacketType) else None


@MODERATE
@given(state=st.sampled_from(State), is_low=st.booleans(), data=st.data())
def test_any_state_and_any_packet_of_the_peer(
    state: State, is_low: bool, data: st.DataObject
) -> None:
    network, node, peer = reach(state, is_low=is_low)
    packets = packets_for(network, node, peer)
    for number in data.draw(st.lists(st.integers(0, len(packets) - 1), min_size=1, max_size=6)):
        check_one_packet(node, peer, *packets[number])


Mutation = Callable[[bytes], bytes]


def flipped(position: int, bit: int) -> Mutation:
    def mutate(octets: bytes) -> bytes:
        at = position % len(octets)
        return octets[:at] + bytes([octets[at] ^ 1 << bit]) + octets[at + 1 :]

    return mutate


def cut(position: int) -> Mutation:
    def mutate(octets: bytes) -> bytes:
        at = position % len(octets) // 8 * 8
        return octets[:1] + bytes([max(at // 8 - 1, 0)]) + octets[2:at]

    return mutate


mutations = st.one_of(
    st.builds(flipped, st.integers(0, 2047), st.integers(0, 7)),
    st.builds(cut, st.integers(0, 2047)),
    st.builds(lambda tail: lambda octets: octets + tail, st.binary(max_size=16)),
)


@MODERATE
@given(
    state=st.sampled_from(State),
    is_low=st.booleans(),
    changes=st.lists(mutations, min_size=1, max_size=3),
    with_checksum=st.booleans(),
    data=st.data(),
)
def test_any_state_and_mutated_packets(
    state: State,
    is_low: bool,
    changes: list[Mutation],
    with_checksum: bool,
    data: st.DataObject,
) -> None:
    network, node, peer = reach(state, is_low=is_low)
    packets = packets_for(network, node, peer)
    payload, path = packets[data.draw(st.integers(0, len(packets) - 1))]
    for change in changes:
        payload = change(payload) if payload else payload
    if with_checksum:  # over UDP no checksum stands in the way
        path = replace(path, encapsulation=Encapsulation.UDP, local_port=10500, peer_port=10500)
    check_one_packet(node, peer, payload, path)


@cache
def established() -> tuple[Network, Node, Node]:
    return reach(State.ESTABLISHED, is_low=True)


@settings(MODERATE, max_examples=300)
@given(octets=st.binary(max_size=2100), has_header=st.booleans())
def test_arbitrary_octets_never_raise(octets: bytes, has_header: bool) -> None:
    _, node, peer = established()
    if has_header and len(octets) >= 40:
        octets = (
            octets[:3] + b"\x21" + octets[4:8] + peer.hit.packed + node.hit.packed + octets[40:]
        )
        octets = octets[: len(octets) // 8 * 8]
        octets = octets[:1] + bytes([min(len(octets) // 8 - 1, 255)]) + octets[2:]
    path = replace(
        node.path_to(peer), encapsulation=Encapsulation.UDP, local_port=10500, peer_port=10500
    )
    before = sum(node.endpoint.counters.values())
    node.receive(octets, path)
    assert sum(node.endpoint.counters.values()) == before + 1
    assert node.state(peer) is State.ESTABLISHED


@cache
def known_parameters() -> list[Parameter]:
    """Every parameter of a whole life: base exchange, UPDATE, CLOSE, NOTIFY."""
    network, node, peer = reach(State.CLOSED, is_low=True)
    found = [payload for payload, _ in packets_for(network, node, peer)]
    parameters: list[Parameter] = []
    for payload in found:
        if int.from_bytes(payload[40:42], "big") != 1001:
            parameters += parse_packet(payload).parameters
    return parameters


@MODERATE
@given(
    kind=st.sampled_from(PacketType),
    state=st.sampled_from(State),
    numbers=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_any_set_of_real_parameters_in_any_packet_type(
    kind: PacketType, state: State, numbers: list[int]
) -> None:
    known = known_parameters()
    chosen = {
        known[number % len(known)].wire_type: known[number % len(known)] for number in numbers
    }
    _, node, peer = reach(state, is_low=True)
    parameters = tuple(chosen[key] for key in sorted(chosen))
    octets = emit_packet(HipPacket(kind, peer.hit, node.hit, parameters))
    path = node.path_to(peer)
    check_one_packet(node, peer, checksummed(octets, path), path)


def assert_sane(one: Node, other: Node) -> None:
    """What must hold at any time, whatever the network does."""
    mine, theirs = one.view(other), other.view(one)
    for node, view in ((one, mine), (other, theirs)):
        has_out = (node.hit, view.peer) in node.current_out if view else bool(node.current_out)
        if view is None or view.state in {State.CLOSING, State.CLOSED, State.E_FAILED}:
            assert not node.sas
        elif view.state in {State.ESTABLISHED, State.R2_SENT}:
            assert len(node.sas) == 2
            assert has_out
        else:
            assert not has_out
    if mine is None or theirs is None:
        return
    if mine.state is theirs.state is State.ESTABLISHED:
        assert (mine.spi_in, mine.spi_out) == (theirs.spi_out, theirs.spi_in)
        for sender, receiver in ((one, other), (other, one)):
            spi = sender.current_out[sender.hit, receiver.hit]
            out = next(sa for sa in sender.sas.values() if sa.spi == spi and sa.direction)
            into = next(sa for sa in receiver.sas.values() if sa.spi == spi and not sa.direction)
            assert out.encryption_key == into.encryption_key
            assert out.authentication_key == into.authentication_key


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["deliver", "deliver", "deliver", "copy", "lose", "time", "ask", "close"]),
        st.integers(0, 7),
    ),
    max_size=60,
)


@settings(MODERATE, max_examples=120)
@given(steps=STEPS, both=st.booleans())
def test_any_interleaving_of_two_engines(steps: list[tuple[str, int]], both: bool) -> None:
    network = Network(seed=4)
    low, high = low_and_high()
    one, other = network.node(low, config=FAST), network.node(high, config=FAST)
    under_way: list[Datagram] = []

    def hold(datagram: Datagram) -> list[Datagram]:
        under_way.append(datagram)
        return []

    def arrive(datagram: Datagram) -> None:
        node = next(node for node in network.nodes if datagram.path.local in node.addresses)
        node.receive(datagram.payload, datagram.path)

    network.wire = hold
    one.want(other)
    if both:
        other.want(one)
    for step, number in steps:
        match step:
            case "time":
                network.run(0.3 * (number + 1))
            case "ask":
                (one, other)[number % 2].want((other, one)[number % 2])
            case "close" if number == 0:
                one.close(other)
            case "lose" if under_way:
                under_way.pop(number % len(under_way))
            case "copy" if under_way:
                arrive(under_way[number % len(under_way)])
            case "deliver" if under_way:
                arrive(under_way.pop(number % len(under_way)))
        assert_sane(one, other)
    # Fair weather from here on, and data to send: the two always come together.
    network.wire = lambda datagram: [datagram]

    def joined() -> bool:
        if one.state(other) in {State.UNASSOCIATED, State.CLOSED, State.CLOSING}:
            one.want(other)
        assert_sane(one, other)
        return one.send_esp(other) and other.send_esp(one)

    assert network.run(200.0, until=joined), (one.state(other), other.state(one))
