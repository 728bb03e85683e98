"""CLOSE and CLOSE_ACK, idle associations, and what follows."""

from __future__ import annotations

import pytest

from hipgw.proto import Closed, EndpointConfig, Failed, State
from hipgw.values import DhGroup
from hipgw.wire import EchoRequestSigned, EchoResponseSigned, HipMac, HipSignature, PacketType, Seq
from tests.engine.forge import changed, sealed, swap, without
from tests.engine.network import Network, Node, assert_joined, drop_first, exchange, identity

pytestmark = pytest.mark.usefixtures("hip_version")


FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), ual_s=60.0, msl_s=10.0)


def joined() -> tuple[Network, Node, Node]:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    exchange(one, other)
    return network, one, other


def test_close_ends_both_sides_and_their_sas() -> None:
    network, one, other = joined()
    one.close(other)
    assert one.state(other) is State.CLOSING
    assert not one.sas, "no data in CLOSING"
    network.run(0.1)
    assert (one.state(other), other.state(one)) == (State.UNASSOCIATED, State.CLOSED)
    assert not other.sas
    assert one.saw(Closed) == [Closed(one.hit, other.hit, "operator")]
    assert other.saw(Closed) == [Closed(other.hit, one.hit, "peer")]
    network.run(60.0 + 2 * 10.0)
    assert other.state(one) is State.UNASSOCIATED
    assert not one.dropped()
    assert not other.dropped()


def test_both_sides_close_at_once() -> None:
    network, one, other = joined()
    one.close(other)
    other.close(one)
    network.run(1.0)
    assert {one.state(other), other.state(one)} <= {State.CLOSED, State.UNASSOCIATED}
    assert not one.sas
    assert not other.sas
    assert len(one.saw(Closed)) == len(other.saw(Closed)) == 1


@pytest.mark.parametrize("kind", [PacketType.CLOSE, PacketType.CLOSE_ACK])
def test_lost_close_is_sent_again(kind: PacketType) -> None:
    network, one, other = joined()
    network.wire = drop_first(kind)
    one.close(other)
    network.run(1.0)
    assert one.state(other) is State.UNASSOCIATED
    assert len(network.sent(PacketType.CLOSE)) == 2
    assert len({datagram.payload for datagram in network.sent(PacketType.CLOSE)}) == 1
    assert len(other.saw(Closed)) == 1


def test_close_that_nobody_answers_ends_after_ual_and_msl() -> None:
    network, one, other = joined()
    network.wire = lambda _: []
    one.close(other)
    network.run(69.0)
    assert one.state(other) is State.CLOSING
    network.run(2.0)
    assert one.state(other) is State.UNASSOCIATED
    assert len(one.saw(Closed)) == 1


def test_idle_association_is_closed_after_ual() -> None:
    network, one, other = joined()
    network.run(50.0)
    assert one.send_esp(other)
    assert other.send_esp(one)
    network.run(50.0)
    assert (one.state(other), other.state(one)) == (State.ESTABLISHED, State.ESTABLISHED)
    network.run(15.0)
    assert State.ESTABLISHED not in {one.state(other), other.state(one)}
    reasons = [event.reason for event in one.saw(Closed) + other.saw(Closed)]
    assert sorted(reasons) == ["idle", "idle"]
    assert not one.sas
    assert not other.sas


def test_idle_associations_stay_for_ever_when_told_so() -> None:
    network = Network()
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), ual_s=0.0)
    one, other = network.node(config=config), network.node(config=config)
    exchange(one, other)
    network.run(5000.0)
    assert_joined(one, other)


def test_data_in_closing_begins_a_new_incarnation() -> None:
    network, one, other = joined()
    network.wire = lambda datagram: [] if datagram.kind is PacketType.CLOSE else [datagram]
    one.close(other)
    one.want(other)
    assert one.state(other) is State.I1_SENT
    network.run(0.2)
    assert one.send_esp(other)
    assert_joined(one, other)


def test_data_in_closed_sends_i1_and_stays_until_the_r1() -> None:
    network, one, other = joined()
    other.close(one)
    network.run(0.1)
    assert one.state(other) is State.CLOSED
    network.wire = drop_first(PacketType.I1)
    one.want(other)
    assert one.state(other) is State.CLOSED
    network.run(1.0)
    assert one.send_esp(other)
    assert_joined(one, other)


def test_data_in_closed_without_answer_fails() -> None:
    network, one, other = joined()
    other.close(one)
    network.run(0.1)
    network.wire = lambda _: []
    one.want(other)
    network.run(40.0, until=lambda: one.state(other) is State.E_FAILED)
    assert one.state(other) is State.E_FAILED
    assert one.saw(Failed) == [Failed(one.hit, other.hit, "no_answer")]


def test_peer_calls_again_after_closing() -> None:
    network, one, other = joined()
    one.close(other)
    network.run(0.1)
    exchange(one, other)
    assert_joined(one, other)
    other.close(one)
    network.run(0.1)
    exchange(other, one)
    assert_joined(one, other)


def test_close_is_acknowledged_again_in_closed() -> None:
    network, one, other = joined()
    payload, path = sealed(one, other, PacketType.CLOSE, EchoRequestSigned(b"again"))
    for _ in range(3):
        other.receive(payload, path)
    assert other.state(one) is State.CLOSED
    assert len(network.sent(PacketType.CLOSE_ACK)) == 3
    assert len(other.saw(Closed)) == 1


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("mac_wrong", swap(HipMac(bytes(48)))),
        ("mac_wrong", swap(EchoRequestSigned(b"else"))),
        ("signature_wrong", swap(HipSignature(7, bytes(64)))),
        ("hip_missing", without(HipMac)),
        ("hip_missing", without(HipSignature)),
    ],
)
def test_faulty_close_changes_nothing(reason: str, change: object) -> None:
    network, one, other = joined()
    network.wire = lambda datagram: [changed(datagram, change)]  # type: ignore[arg-type]
    one.close(other)
    network.run(0.1)
    assert other.dropped() == {reason: 1}
    assert other.state(one) is State.ESTABLISHED
    assert len(other.sas) == 2


def test_close_without_echo_is_refused() -> None:
    _, one, other = joined()
    other.receive(*sealed(one, other, PacketType.CLOSE))
    assert other.dropped() == {"hip_missing": 1}
    assert other.state(one) is State.ESTABLISHED


@pytest.mark.parametrize("kind", [PacketType.CLOSE, PacketType.UPDATE])
def test_echo_that_leaves_no_room_for_our_signature(kind: PacketType) -> None:
    network = Network()
    one = network.node(config=FAST)
    other = network.node(identity("rsa-3072", 50), config=FAST)
    exchange(one, other)
    other.receive(*sealed(one, other, kind, Seq(0), EchoRequestSigned(bytes(1800))))
    assert other.dropped() == {"hip_long": 1}


def test_close_ack_must_echo_our_close() -> None:
    network, one, other = joined()
    network.wire = lambda _: []
    one.close(other)
    one.receive(*sealed(other, one, PacketType.CLOSE_ACK, EchoResponseSigned(b"wrong")))
    assert one.dropped() == {"echo_wrong": 1}
    assert one.state(other) is State.CLOSING


def test_close_reaches_a_responder_that_still_waits_in_r2_sent() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    one.want(other)
    network.run(0.1)
    assert other.state(one) is State.R2_SENT
    one.close(other)
    network.run(0.1)
    assert (one.state(other), other.state(one)) == (State.UNASSOCIATED, State.CLOSED)


def test_close_reaches_an_initiator_that_still_waits_in_i2_sent() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    network.wire = lambda datagram: [] if datagram.kind is PacketType.R2 else [datagram]
    one.want(other)
    network.run(0.1)
    other.close(one)
    network.run(0.1)
    assert (one.state(other), other.state(one)) == (State.CLOSED, State.UNASSOCIATED)
    assert not one.sas


def test_operator_ends_an_exchange_in_i1_sent() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    network.wire = lambda _: []
    one.want(other)
    network.run(0.1)
    one.close(other)
    assert one.state(other) is State.UNASSOCIATED
    assert one.saw(Failed) == [Failed(one.hit, other.hit, "operator")]
    assert not one.sas
    before = len(network.carried)
    network.run(30.0)
    assert len(network.carried) == before


def test_operator_ends_an_exchange_in_i2_sent_once_it_is_answered() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    network.wire = drop_first(PacketType.R2)
    one.want(other)
    network.run(0.1)
    one.close(other)
    assert one.state(other) is State.I2_SENT
    network.run(1.0)
    assert (one.state(other), other.state(one)) == (State.UNASSOCIATED, State.CLOSED)
    assert one.saw(Closed) == [Closed(one.hit, other.hit, "operator")]
    assert not one.sas
    assert not other.sas


def test_operator_changes_his_mind_in_i2_sent() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    network.wire = drop_first(PacketType.R2)
    one.want(other)
    network.run(0.1)
    one.close(other)
    one.want(other)
    network.run(1.0)
    assert one.send_esp(other)
    assert_joined(one, other)


def test_closing_what_is_not_there_is_no_harm() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    one.close(other)
    network.run(1.0)
    assert not network.carried
