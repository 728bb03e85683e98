"""I1s of strangers answered by a data path: what the engine publishes, claims and recognises."""

from __future__ import annotations

from dataclasses import replace

from hipgw._fastpath.answer_i1 import I1Desk
from hipgw._fastpath.tables import SaTables
from hipgw.daemon.strangers import Strangers
from hipgw.proto import EndpointConfig, State
from hipgw.values import DhGroup, Encapsulation
from hipgw.wire import PacketType, Puzzle, parse_packet
from tests.engine.network import Datagram, Network, Node, exchange, low_and_high
from tests.engine.test_limits import FAST


class Front:
    """A data path in front of a node: it sees I1s first."""

    def __init__(self, network: Network, node: Node) -> None:
        self.network, self.node = network, node
        self.answered = 0
        network.wire = self.wire

    def wire(self, datagram: Datagram) -> list[Datagram]:
        path = datagram.path
        if datagram.kind is not PacketType.I1 or path.local not in self.node.addresses:
            return [datagram]
        desk = I1Desk(SaTables())
        host = Strangers(desk)
        assert self.node.published is not None
        host.publish(self.node.published)
        for local, peer in self.node.claimed:
            desk.claim(local.packed, peer.packed, True)
        r1 = desk.answer(
            datagram.payload,
            path.peer.packed,
            path.local.packed,
            path.encapsulation is Encapsulation.RAW,
            int(self.network.now * 1e9),
        )
        if r1 is None:
            return [datagram]
        self.answered += 1
        self.network.carry(self.node, r1, path)
        return []


def pair() -> tuple[Network, Node, Node, Front]:
    network = Network()
    low, high = low_and_high()
    config = replace(FAST, puzzle_k=4)
    one, other = network.node(low, config=config), network.node(high, config=config)
    return network, one, other, Front(network, other)


def test_the_engine_knows_the_puzzle_that_the_data_path_set() -> None:
    _, one, other, front = pair()
    exchange(one, other)
    assert front.answered == 1
    assert "i1_received" not in other.endpoint.activity
    assert other.dropped() == {}


def test_the_same_over_udp() -> None:
    network, one, other, front = pair()
    one.want(other, one.path_to(other, Encapsulation.UDP))
    network.run(1.0)
    assert (one.state(other), front.answered) == (State.ESTABLISHED, 1)


def test_pairs_are_claimed_while_there_is_an_association() -> None:
    network, one, other, front = pair()
    exchange(one, other)
    assert (other.hit, one.hit) in other.claimed
    other.close(one)
    network.run(400.0)
    assert other.claimed == set()
    exchange(one, other)
    assert front.answered == 2


def test_a_peer_that_lost_its_state_begins_again_through_the_engine() -> None:
    network, one, other, front = pair()
    exchange(one, other)
    network.restart(one, FAST)
    exchange(one, other)
    assert front.answered == 1
    assert other.endpoint.activity["i1_received"] == 1


def test_an_i2_that_answers_an_r1_of_before_is_late() -> None:
    """The data path's R1 and the engine's are told apart by their time alone."""
    network, one, other, _ = pair()
    held: list[Datagram] = []
    inner = network.wire

    def keep_i2(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is PacketType.I2 and not held:
            held.append(datagram)
            return []
        return list(inner(datagram))

    network.wire = keep_i2
    one.want(other)
    network.run(0.1)
    assert len(held) == 1
    network.restart(one, FAST)
    exchange(one, other)
    spis = set(other.sas)
    network.deliver(held[0])
    network.run(0.1)
    assert other.dropped() == {"replayed": 1}
    assert set(other.sas) == spis


def test_a_replayed_i2_is_refused() -> None:
    network, one, other, _ = pair()
    exchange(one, other)
    i2 = network.sent(PacketType.I2)[0]
    other.send_esp(one)
    one.send_esp(other)
    network.run(40.0)
    network.deliver(i2)
    network.run(0.1)
    assert other.dropped() == {"replayed": 1}


def test_exchanges_that_cross_agree_on_one() -> None:
    """Both begin at once: the data path of one has answered before its engine began."""
    network, one, other, front = pair()
    network.watched.append((one, other))
    one.want(other)
    network.run(0.012)  # the I1 is answered, the R1 is under way
    assert front.answered == 1
    other.want(one)
    assert (other.hit, one.hit) in other.claimed
    network.run(5.0)
    assert one.send_esp(other)
    assert other.send_esp(one)
    assert (one.state(other), other.state(one)) == (State.ESTABLISHED, State.ESTABLISHED)


def test_a_flood_between_two_r1s_does_not_blur_which_came_first() -> None:
    network, one, other, _ = pair()
    exchange(one, other)
    late = network.sent(PacketType.I2)[0]
    stranger = network.node(config=FAST)
    for _ in range(5000):  # more than any counter of 12 bits
        i1 = replace(network.sent(PacketType.I1)[0])
        other.receive(i1.payload, i1.path)
    network.restart(one, FAST)
    exchange(one, other)
    exchange(stranger, other)
    network.deliver(late)
    network.run(0.1)
    assert other.dropped().get("replayed") == 1


def test_a_generation_is_published_once_all_its_r1s_are_there() -> None:
    network = Network()
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256, DhGroup.NIST_P384))
    node = network.node(config=config)
    first = node.published
    assert first is not None
    assert [one.group for one in first.r1s] == list(config.dh_groups)
    assert first.secret.hex() not in repr(first)
    network.hold_jobs(node)
    network.run(config.r1_period_s + 1)
    node.settle()
    assert node.published is first
    for _ in config.dh_groups:
        node_published = node.published
        assert node_published is first
        network.finish_job(node, "MakeR1")
    assert node.published is not first
    assert node.published.opaque != first.opaque


def test_i1s_to_the_engine_and_to_the_data_path_share_no_nonce() -> None:
    network, one, other, _ = pair()
    one.want(other)
    network.run(0.011)
    i1 = network.sent(PacketType.I1)[0]
    for _ in range(3):
        other.receive(i1.payload, i1.path)
    nonces = [parse_packet(r1.payload).require(Puzzle).i for r1 in network.sent(PacketType.R1)]
    assert len(nonces) == 4
    assert len(set(nonces)) == 4


def test_a_retired_identity_is_offered_no_more() -> None:
    network = Network()
    keep, leave = low_and_high()
    node = network.node(keep, leave, config=FAST)
    assert node.published is not None
    assert {one.local for one in node.published.r1s} == {keep.hit, leave.hit}
    node.endpoint.retire_identity(leave.hit)
    node.settle()
    assert {one.local for one in node.published.r1s} == {keep.hit}
    node.endpoint.add_identity(leave, network.now)
    node.settle()
    assert {one.local for one in node.published.r1s} == {keep.hit, leave.hit}


def test_an_identity_that_goes_while_its_r1s_are_signed_is_left_out() -> None:
    network = Network()
    keep, leave = low_and_high()
    node = network.node(keep, leave, config=FAST)
    network.hold_jobs(node)
    network.run(FAST.r1_period_s + 1)
    node.endpoint.retire_identity(leave.hit)
    for _ in range(2):
        network.finish_job(node, "MakeR1")
    assert node.published is not None
    assert {one.local for one in node.published.r1s} == {keep.hit}
