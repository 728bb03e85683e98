"""What an authentic NOTIFY of each type leads to while our I2 waits (RFC 7401 5.2.19, 6.13)."""

from __future__ import annotations

import pytest

from hipgw.proto import EndpointConfig, Failed, NotifyReceived, State
from hipgw.proto.notify_reactions import REACTIONS, Reaction, reaction_to
from hipgw.values import DhGroup, NotifyType
from hipgw.wire import Notification, PacketType, Puzzle, parse_packet
from tests.engine.forge import signed
from tests.engine.hostile import notified
from tests.engine.network import Datagram, Network, Node, assert_joined, exchange

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
OF_CERTIFICATES = {NotifyType.CREDENTIALS_REQUIRED, NotifyType.INVALID_CERTIFICATE}
"""What they lead to is the business of RFC 8002 and of other tests."""
KINDS = [kind for kind in NotifyType if kind not in OF_CERTIFICATES]
BY_REACTION = {
    reaction: [kind for kind in KINDS if REACTIONS[kind] is reaction] for reaction in Reaction
}


def waiting() -> tuple[Network, Node, Node]:
    """The I2 of `one` does not arrive."""
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    network.wire = without(PacketType.I2)
    one.want(other)
    network.run(0.1)
    assert one.state(other) is State.I2_SENT
    return network, one, other


def without(kind: PacketType):  # type: ignore[no-untyped-def]
    def wire(datagram: Datagram) -> list[Datagram]:
        return [] if datagram.kind is kind else [datagram]

    return wire


def notify(sender: Node, receiver: Node, kind: int) -> None:
    receiver.receive(*signed(sender, receiver, PacketType.NOTIFY, Notification(kind)))


def test_every_type_has_a_row() -> None:
    assert set(REACTIONS) == set(NotifyType)
    assert reaction_to(8191) is reaction_to(40000) is Reaction.SHOW


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_notify_never_changes_a_state_by_itself(kind: NotifyType) -> None:
    network, one, other = waiting()
    notify(other, one, kind)
    assert one.state(other) is State.I2_SENT
    assert notified(one) == [kind]
    network.wire = lambda datagram: [datagram]
    network.run(10.0)
    assert one.state(other) is State.ESTABLISHED, "the peer answers after all"
    notify(other, one, kind)
    assert one.send_esp(other)
    assert_joined(one, other)


@pytest.mark.parametrize("kind", BY_REACTION[Reaction.GIVE_UP], ids=lambda kind: kind.name)
def test_an_error_ends_the_exchange_after_one_more_i2(kind: NotifyType) -> None:
    network, one, other = waiting()
    notify(other, one, kind)
    network.run(3.0)
    assert len(network.sent(PacketType.I2)) == 2
    assert one.saw(Failed) == [Failed(one.hit, other.hit, "no_answer", kind)]
    assert one.state(other) is State.E_FAILED


@pytest.mark.parametrize("kind", BY_REACTION[Reaction.SHOW], ids=lambda kind: kind.name)
def test_what_is_only_shown_leaves_retransmission_alone(kind: NotifyType) -> None:
    network, one, other = waiting()
    notify(other, one, kind)
    network.run(3.0)
    assert one.state(other) is State.I2_SENT
    assert len(network.sent(PacketType.I2)) == 3


@pytest.mark.parametrize("kind", BY_REACTION[Reaction.NEW_PUZZLE], ids=lambda kind: kind.name)
def test_a_refused_solution_is_followed_by_another_puzzle(kind: NotifyType) -> None:
    network, one, other = waiting()
    notify(other, one, kind)
    notify(other, one, kind)  # the copy of the I2 was refused as well
    sent = len(network.sent(PacketType.I2))
    network.run(0.7)
    assert len(network.sent(PacketType.I2)) == sent, "the old one is not sent again"
    network.wire = lambda datagram: [datagram]
    network.run(3.0)
    assert len(network.sent(PacketType.I1)) == 2
    puzzles = [parse_packet(r1.payload).require(Puzzle).i for r1 in network.sent(PacketType.R1)]
    assert len(set(puzzles)) == 2
    assert one.state(other) is State.ESTABLISHED
    assert one.send_esp(other)
    assert_joined(one, other)


def test_a_peer_that_is_always_busy_ends_in_failure() -> None:
    network, one, other = waiting()
    for _ in range(60):
        if one.state(other) is State.I2_SENT:
            notify(other, one, NotifyType.RESPONDER_BUSY_PLEASE_RETRY)
        network.run(2.0)
        if one.saw(Failed):
            break
    assert [event.notify_type for event in one.saw(Failed)] == [44]
    assert 3 <= len(network.sent(PacketType.I1)) <= 8


def test_an_acknowledged_i2_is_not_sent_again_for_a_while() -> None:
    network, one, other = waiting()
    notify(other, one, NotifyType.I2_ACKNOWLEDGEMENT)
    network.run(3.5)
    assert len(network.sent(PacketType.I2)) == 1
    network.run(1.1)
    assert len(network.sent(PacketType.I2)) == 2


def test_acknowledgements_without_end_do_not_hold_an_exchange_for_ever() -> None:
    network, one, other = waiting()
    for _ in range(30):
        if one.state(other) is State.I2_SENT:
            notify(other, one, NotifyType.I2_ACKNOWLEDGEMENT)
        network.run(3.0)
    assert one.saw(Failed)


def test_a_responder_whose_job_takes_long_acknowledges_the_second_i2() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    network.hold_jobs(other)
    one.want(other)
    network.run(0.8)
    assert len(network.sent(PacketType.I2)) == 2
    network.finish_job(other, "SignPacket")
    network.run(2.0)
    assert notified(one) == [NotifyType.I2_ACKNOWLEDGEMENT]
    assert len(network.sent(PacketType.I2)) == 2, "one waits"
    network.finish_job(other, "AcceptI2")
    network.run(0.1)
    assert one.state(other) is State.ESTABLISHED


def test_notifies_without_an_exchange_under_way_are_shown() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    exchange(one, other)
    notify(other, one, NotifyType.RESPONDER_BUSY_PLEASE_RETRY)
    assert [event.notify_type for event in one.saw(NotifyReceived)] == [44]
    network.run(5.0)
    assert_joined(one, other)
