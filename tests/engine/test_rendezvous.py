"""Peers behind rendezvous servers, seen from the hosts (RFC 8004; RFC 8046 section 3.2.3).

    one 192.0.2.1 ---- server 203.0.113.9 ---- other 192.0.2.2
              `---------------------------------'

A server forwards I1 and UPDATE to where the receiver's HIT is registered, with the source that they
came from.  Everything else goes directly.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import pytest

from hipgw.errors import LocalProtocolError
from hipgw.proto import EndpointConfig, HandedOver, State
from hipgw.values import Address, DhGroup, Encapsulation, Hit, Path
from hipgw.wire import (
    EchoRequestSigned,
    PacketType,
    ViaRvs,
    append_parameter,
    with_checksum,
)
from tests.engine.network import Datagram, Network, Node, assert_joined, parse_packet, readdressed
from tests.engine.traffic import Traffic

pytestmark = pytest.mark.usefixtures("hip_version")

SERVER, SECOND, DEAD = (ip_address(f"203.0.113.{last}") for last in (9, 10, 66))
FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), shotgun_pace_s=0.02)
FORWARDED = {PacketType.I1, PacketType.UPDATE}


@dataclass
class Servers:
    """Rewrites the destination of what it forwards; as a wire it sits in every link."""

    addresses: set[Address]
    registered: dict[Hit, Address] = field(default_factory=dict)
    forwarded: list[Datagram] = field(default_factory=list)
    names_itself: bool = False

    def __call__(self, datagram: Datagram) -> list[Datagram]:
        if datagram.kind is PacketType.R1 and self.names_itself:
            via = append_parameter(datagram.payload, ViaRvs((SERVER,)))
            return [self._to(replace(datagram, payload=via), datagram.path.local)]
        if datagram.path.local not in self.addresses:
            return [datagram]
        home = self.registered.get(Hit(datagram.payload[24:40]))
        if home is None or datagram.kind not in FORWARDED:
            return []
        self.forwarded.append(datagram)
        return [self._to(datagram, home)]

    @staticmethod
    def _to(datagram: Datagram, home: Address) -> Datagram:
        payload = datagram.payload
        if datagram.path.encapsulation is Encapsulation.RAW:
            payload = with_checksum(payload, datagram.path.peer, home)
        return readdressed(replace(datagram, payload=payload), replace(datagram.path, local=home))


def pair(config: EndpointConfig = FAST) -> tuple[Network, Node, Node, Servers]:
    network = Network()
    servers = Servers({SERVER, SECOND})
    network.wire = servers
    config = replace(config, rendezvous_of=lambda _: (SERVER,))
    one = network.node(config=config, addresses=("192.0.2.1",))
    other = network.node(config=config, addresses=("192.0.2.2",))
    for node in (one, other):
        servers.registered[node.hit] = node.address
        node.tell_addresses()
    return network, one, other, servers


def want(one: Node, other: Node, direct: list[Path], via: list[Path]) -> None:
    one.endpoint.want_association(other.hit, direct, one.network.now, via=via)
    one.settle()


def path(node: Node, address: Address, encapsulation: Encapsulation = Encapsulation.RAW) -> Path:
    ports = (10500, 10500) if encapsulation is Encapsulation.UDP else (0, 0)
    return Path(node.address, address, encapsulation, *ports)


@pytest.mark.parametrize("encapsulation", list(Encapsulation))
@pytest.mark.parametrize("names_itself", [False, True])
def test_peer_known_by_its_server_alone(names_itself: bool, encapsulation: Encapsulation) -> None:
    network, one, other, servers = pair()
    servers.names_itself = names_itself
    want(one, other, [], [path(one, SERVER, encapsulation)])
    network.run(1.0)
    assert one.send_esp(other)
    assert [datagram.kind for datagram in servers.forwarded] == [PacketType.I1]
    view = one.view(other)
    assert view is not None
    assert view.path.peer == other.address, "I2 and data go to where the R1 came from"
    assert [locator.address for locator in view.locators] in ([], [other.address])
    assert_joined(one, other)


def test_the_server_never_becomes_a_locator() -> None:
    network, one, other, _ = pair()
    want(one, other, [], [path(one, SERVER)])
    network.run(1.0)
    assert one.send_esp(other)
    other.move("192.0.2.2", "198.51.100.2")
    network.run(2.0)
    network.dead.add(ip_address("192.0.2.2"))
    one.endpoint.path_failed(path(one, other.address), network.now)
    one.settle()
    network.run(2.0)
    view = one.view(other)
    assert view is not None
    assert view.path.peer == ip_address("198.51.100.2")
    assert SERVER not in {locator.address for locator in view.locators}


def test_the_round_trip_time_is_not_that_of_the_detour() -> None:
    network, one, other, _ = pair()
    want(one, other, [path(one, DEAD)], [path(one, SERVER)])
    network.run(1.0)
    view = one.view(other)
    assert view is not None
    assert view.state is State.ESTABLISHED
    assert view.rtt_s is None


def test_several_servers_are_asked_in_turn_and_the_first_answer_wins() -> None:
    network, one, other, servers = pair()
    ways = [path(one, ip_address(f"203.0.113.{n}")) for n in (66, 67)]
    want(one, other, [], [*ways, path(one, SERVER), path(one, SECOND)])
    assert len(network.sent(PacketType.I1)) == 1, "the others wait for their turn"
    network.run(1.0)
    targets = [datagram.path.local for datagram in network.sent(PacketType.I1)]
    assert targets[:3] == [ways[0].peer, ways[1].peer, SERVER]
    assert one.state(other) is State.ESTABLISHED
    assert len(network.sent(PacketType.I2)) == 1
    assert len(servers.forwarded) in {1, 2}


def test_the_direct_way_comes_first() -> None:
    network, one, other, servers = pair(replace(FAST, shotgun_pace_s=0.05))
    want(one, other, [path(one, other.address)], [path(one, SERVER)])
    network.run(1.0)
    assert one.state(other) is State.ESTABLISHED
    assert servers.forwarded == [], "the R1 was there before its turn"


def test_servers_are_asked_again_until_the_tries_are_over() -> None:
    network, one, other, servers = pair(replace(FAST, tries=3))
    servers.registered.clear()
    want(one, other, [], [path(one, SERVER), path(one, SECOND)])
    assert network.run(60.0, until=lambda: one.state(other) is State.E_FAILED)
    targets = [datagram.path.local for datagram in network.sent(PacketType.I1)]
    assert targets == [SERVER, SECOND] * 3


def test_no_way_at_all_is_refused() -> None:
    _, one, other, _ = pair()
    with pytest.raises(LocalProtocolError, match="no path"):
        want(one, other, [], [])


@pytest.mark.parametrize("late_s", [0.0, 0.005, 0.3])
@pytest.mark.parametrize("shotgun", [False, True])
def test_both_move_at_once_and_neither_is_where_the_other_looks(
    shotgun: bool, late_s: float
) -> None:
    """The double jump: only the servers, told by each host on its own, know both new addresses."""
    network, one, other, servers = pair(replace(FAST, shotgun=shotgun))
    want(one, other, [path(one, other.address)], [])
    network.run(0.5)
    assert one.send_esp(other)
    traffic = Traffic(network, one, other)
    network.run(0.5)
    servers.registered = {
        one.hit: ip_address("198.51.100.1"),
        other.hit: ip_address("198.51.100.2"),
    }
    one.addresses, other.addresses = [ip_address("198.51.100.1")], [ip_address("198.51.100.2")]
    one.tell_addresses()
    network.run(late_s)
    other.tell_addresses()
    since = network.now
    network.run(8.0)
    assert servers.forwarded
    gap_s = max(flow.longest_gap_s(since, network.now) for flow in traffic.flows)
    assert gap_s < 2.0
    traffic.stop()
    network.run(1.0)
    for here, there in ((one, other), (other, one)):
        view = here.view(there)
        assert view is not None
        assert (view.path.local, view.path.peer) == (here.address, there.address)
        assert here.saw(HandedOver)
    assert_joined(one, other)


def test_without_a_server_a_double_jump_ends_the_association() -> None:
    network, one, other, servers = pair()
    want(one, other, [path(one, other.address)], [])
    network.run(0.5)
    assert one.send_esp(other)
    servers.addresses.clear()
    one.move("198.51.100.1")
    other.move("198.51.100.2")
    assert network.run(120.0, until=lambda: one.state(other) is not State.ESTABLISHED)
    assert one.state(other) is State.CLOSING


def test_echo_requests_never_take_the_detour() -> None:
    """A nonce proves the one address that it was sent to."""
    network, one, other, servers = pair()
    want(one, other, [path(one, other.address)], [])
    network.run(0.5)
    assert one.send_esp(other)
    one.move("198.51.100.1")
    network.dead.add(ip_address("198.51.100.1"))  # announced, and cannot be reached
    network.run(20.0)
    from_other = [one for one in servers.forwarded if one.source == other.name]
    assert from_other
    assert all(parse_packet(each.payload).get(EchoRequestSigned) is None for each in from_other)
