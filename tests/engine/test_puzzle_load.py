"""K follows the load: up at once, down after a calm while, seldom enough, within its bounds."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from hipgw.proto import EndpointConfig
from hipgw.values import DhGroup, Hit, Path
from hipgw.wire import DhGroupList, PacketType, Puzzle, parse_packet
from tests.engine.forge import bare
from tests.engine.network import Network, Node, assert_joined, exchange

AUTO = EndpointConfig(
    dh_groups=(DhGroup.NIST_P256,),
    puzzle_auto=True,
    puzzle_i1_rate=100.0,
    puzzle_i2_rate=5.0,
    puzzle_k_ceiling=12,
)


def flood(node: Node, a_second: int, for_s: int) -> None:
    """I1s of ever other hosts and addresses."""
    network, path = node.network, Path(node.address, ip_address("198.51.100.1"))
    i1 = bare(
        PacketType.I1, Hit(bytes.fromhex("20010022") + bytes(12)), node.hit, path, DhGroupList((7,))
    )
    for _ in range(for_s):
        for _ in range(a_second):
            node.receive(i1, path)
        network.run(1.0)


def test_a_quiet_host_asks_for_nothing() -> None:
    network = Network()
    one, other = network.node(config=AUTO), network.node(config=AUTO)
    exchange(one, other)
    flood(other, 50, 30)
    assert other.endpoint.puzzle_k == 0
    assert other.endpoint.activity["r1_generations"] == 1


def test_k_rises_with_i1s_up_to_the_ceiling_and_falls_back() -> None:
    node = Network().node(config=AUTO)
    flood(node, 150, 3)
    assert node.endpoint.puzzle_k == 4
    flood(node, 250, 6)
    assert node.endpoint.puzzle_k == 8
    flood(node, 5000, 6)
    assert node.endpoint.puzzle_k == 12
    node.network.run(20.0)
    assert node.endpoint.puzzle_k == 12, "not calm for long enough"
    node.network.run(30.0)
    assert node.endpoint.puzzle_k == 0
    assert node.endpoint.activity["puzzle_lowered"] == 1


def test_generations_are_limited_however_the_load_swings() -> None:
    node = Network().node(config=replace(AUTO, puzzle_calm_s=1.0))
    for _ in range(10):
        flood(node, 1000, 2)
        flood(node, 0, 2)
    assert node.endpoint.activity["r1_generations"] <= 1 + 40 / 5 + 1


def test_a_load_just_below_does_not_let_k_fall() -> None:
    node = Network().node(config=AUTO)
    flood(node, 120, 3)
    assert node.endpoint.puzzle_k == 4
    flood(node, 60, 60)
    assert node.endpoint.puzzle_k == 4, "half of what raised it: hysteresis"
    flood(node, 40, 40)
    assert node.endpoint.puzzle_k == 0


def test_solved_i2s_raise_it_too() -> None:
    network = Network()
    other = network.node(config=AUTO)
    for _ in range(20):
        network.node(config=AUTO).want(other)
    network.run(3.0)
    late = network.node(config=AUTO)
    late.want(other)
    network.run(3.0)
    assert other.endpoint.puzzle_k > 0


def test_half_open_slots_raise_it_too() -> None:
    network = Network()
    config = replace(AUTO, half_open_most=4, puzzle_i2_rate=1e9, puzzle_i1_rate=1e9)
    other = network.node(config=config)
    network.hold_jobs(other)
    for _ in range(3):
        network.node(config=AUTO).want(other)
        network.run(1.1)
    assert other.endpoint.puzzle_k > 0


def test_puzzles_of_the_flood_are_solved_and_old_ones_still_count() -> None:
    network = Network()
    one, other = network.node(config=AUTO), network.node(config=AUTO)
    held = []
    network.wire = lambda datagram: (
        [] if datagram.kind is PacketType.I2 and (held.append(datagram) or True) else [datagram]
    )
    one.want(other)
    network.run(0.2)
    network.wire = lambda datagram: [datagram]
    for rate in (150, 300, 600):
        flood(other, rate, 6)
    assert other.endpoint.puzzle_k == 12
    assert other.endpoint.activity["r1_generations"] == 4
    other.receive(held[0].payload, held[0].path)
    assert "puzzle_expired" not in other.dropped()
    third = network.node(config=AUTO)
    exchange(third, other)
    assert_joined(third, other)
    assert parse_packet(network.sent(PacketType.R1)[-1].payload).require(Puzzle).k == 12


def test_i1s_that_the_data_path_answers_count() -> None:
    node = Network().node(config=AUTO)
    for _ in range(3):
        node.endpoint.i1s_answered(400, node.network.now)
        node.network.run(1.0)
    node.endpoint.i1s_answered(400, node.network.now)
    assert node.endpoint.puzzle_k == 12


def test_fixed_is_fixed_and_a_change_of_bounds_acts_at_once() -> None:
    node = Network().node(config=replace(AUTO, puzzle_auto=False, puzzle_k=2))
    flood(node, 1000, 5)
    assert node.endpoint.puzzle_k == 2
    now = node.network.now
    node.endpoint.reconfigure(replace(AUTO, puzzle_k=1), now)
    assert node.endpoint.puzzle_k == 2, "within the new bounds"
    node.settle()
    flood(node, 1000, 3)
    assert node.endpoint.puzzle_k == 12
    node.endpoint.reconfigure(replace(AUTO, puzzle_k=1, puzzle_k_ceiling=6), node.network.now)
    assert node.endpoint.puzzle_k == 6
    node.endpoint.reconfigure(replace(AUTO, puzzle_auto=False, puzzle_k=3), node.network.now)
    assert node.endpoint.puzzle_k == 3
