"""A difficulty of its own for one peer: K is signed, so it gets other R1s than strangers do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hipgw.errors import LocalProtocolError
from hipgw.proto import EndpointConfig
from hipgw.proto.config import PUZZLE_PEERS_MOST
from hipgw.values import DhGroup, Hit
from hipgw.wire import PacketType, Puzzle, Solution, parse_packet, puzzle_opaque_at, with_checksum
from tests.engine import network as networks
from tests.engine.network import FAST_V1, Network, Node, assert_joined, exchange

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), puzzle_k=3, rekey_s=0.0)


def hosts(count: int = 3) -> tuple[Network, list[Node]]:
    network = Network()
    return network, [network.node(config=FAST) for _ in range(count)]


def set_ks(node: Node, ks: dict[Hit, int], **keys: object) -> None:
    config = replace(node.endpoint.config, puzzle_ks=ks, **keys)  # type: ignore[arg-type]
    node.endpoint.reconfigure(config, node.network.now)
    node.settle()


def ks_sent(network: Network) -> list[tuple[Hit, int]]:
    """Who was sent which K."""
    r1s = [networks.parse_packet(one.payload) for one in network.sent(PacketType.R1)]
    return [(r1.receiver, r1.require(Puzzle).k) for r1 in r1s]


def test_only_r1s_to_that_hit_have_the_value() -> None:
    network, (node, one, other) = hosts()
    set_ks(node, {one.hit: 7})
    exchange(one, node)
    exchange(other, node)
    assert ks_sent(network) == [(one.hit, 7), (other.hit, 3)]
    assert_joined(one, node)
    assert_joined(other, node)


def test_the_data_path_has_the_r1s_of_strangers_and_leaves_the_peer_to_the_engine() -> None:
    _, (node, one, _) = hosts()
    set_ks(node, {one.hit: 7})
    assert node.published is not None
    assert node.published.apart == {one.hit}
    (template,) = node.published.r1s
    at = puzzle_opaque_at(template.octets) - 2
    assert template.octets[at : at + 2] == bytes((3, FAST.puzzle_lifetime))
    set_ks(node, {})
    assert node.published.apart == frozenset()


def test_the_load_does_not_move_it() -> None:
    network, (node, one, other) = hosts()
    set_ks(node, {one.hit: 2})
    set_ks(node, {one.hit: 2}, puzzle_k=6)
    exchange(one, node)
    exchange(other, node)
    assert ks_sent(network) == [(one.hit, 2), (other.hit, 6)]


def test_a_solution_of_the_puzzle_of_others_is_refused() -> None:
    network, (node, one, _) = hosts()
    one.want(node)
    network.run(0.015)  # an R1 with K = 3 is under way
    honest = network.wire

    def cheapen(datagram: networks.Datagram) -> list[networks.Datagram]:
        if datagram.kind is PacketType.I2:
            octets = bytearray(datagram.payload)
            solution = parse_packet(datagram.payload).require(Solution)
            octets[datagram.payload.index(solution.i + solution.j) - 4] = 9
            path = datagram.path
            datagram.payload = with_checksum(bytes(octets), path.peer, path.local)
        return list(honest(datagram))

    set_ks(node, {one.hit: 9})
    network.wire = cheapen
    network.run(0.1)
    assert node.dropped() == {"puzzle_wrong": 1}, "the R1 that was sent says 3, not 9"
    network.wire = honest
    network.run(5.0)
    assert one.send_esp(node)
    assert_joined(one, node)


def test_an_r1_from_before_the_change_counts() -> None:
    network, (node, one, _) = hosts()
    one.want(node)
    network.run(0.015)
    set_ks(node, {one.hit: 9})
    network.run(1.0)
    assert ks_sent(network) == [(one.hit, 3)]
    assert one.send_esp(node)
    assert_joined(one, node)


@pytest.mark.parametrize("ks", [{}, {"one": 5}], ids=["reset", "changed"])
def test_the_value_goes_as_it_came(ks: dict[str, int]) -> None:
    network, (node, one, _) = hosts()
    set_ks(node, {one.hit: 7})
    set_ks(node, {one.hit: ks["one"]} if ks else {})
    exchange(one, node)
    assert ks_sent(network) == [(one.hit, ks.get("one", 3))]


def test_peers_of_one_difficulty_share_their_r1s() -> None:
    _, (node, one, other) = hosts()
    jobs = len([effect for effect in node.log if type(effect).__name__ == "Compute"])
    set_ks(node, {one.hit: 7, other.hit: 7, node.hit: 3})
    after = len([effect for effect in node.log if type(effect).__name__ == "Compute"])
    assert (jobs, after - jobs) == (1, 2)


def test_hipv1_has_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks.Speech, "version", 1)
    network = Network()
    config = replace(FAST_V1, puzzle_k=3)
    node, one, other = (network.node(config=config) for _ in range(3))
    set_ks(node, {one.hit: 6})
    exchange(one, node)
    exchange(other, node)
    assert ks_sent(network) == [(one.hit, 6), (other.hit, 3)]


def test_how_many_there_may_be() -> None:
    hits = [Hit(bytes.fromhex("20010022") + n.to_bytes(12, "big")) for n in range(65)]
    assert len(EndpointConfig(puzzle_ks=dict.fromkeys(hits[:64], 1)).puzzle_ks) == PUZZLE_PEERS_MOST
    with pytest.raises(LocalProtocolError, match="65 peers"):
        EndpointConfig(puzzle_ks=dict.fromkeys(hits, 1))
    with pytest.raises(LocalProtocolError, match="0 to 255"):
        EndpointConfig(puzzle_ks={hits[0]: 256})
