"""UPDATE on receive, NOTIFY both ways."""

from __future__ import annotations

import pytest

from hipgw.proto import EndpointConfig, Failed, NotifyReceived, State
from hipgw.values import DhGroup, NotifyType
from hipgw.wire import (
    Ack,
    EchoRequestSigned,
    EchoResponseSigned,
    EspInfo,
    HipMac,
    Notification,
    PacketType,
    Parameter,
    Seq,
)
from tests.engine.forge import bare, checksummed, sealed, signed
from tests.engine.network import Network, Node, Weather, assert_joined, exchange, parse_packet

pytestmark = pytest.mark.usefixtures("hip_version")


FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))


def joined() -> tuple[Network, Node, Node]:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    exchange(one, other)
    return network, one, other


def update(sender: Node, receiver: Node, *parameters: Parameter) -> None:
    receiver.receive(*sealed(sender, receiver, PacketType.UPDATE, *parameters))


def answers(network: Network) -> list[tuple[int, ...]]:
    sent = network.sent(PacketType.UPDATE)
    return [parse_packet(datagram.payload).require(Ack).update_ids for datagram in sent]


def test_each_new_seq_is_acknowledged_once() -> None:
    network, one, other = joined()
    for update_id in (0, 1, 2):
        update(one, other, Seq(update_id))
    assert answers(network) == [(0,), (1,), (2,)]
    assert not other.dropped()
    network.run(0.1)
    assert one.dropped() == {"state_unexpected": 3}, "our ACKs name no SEQ of the peer's engine"


def test_repeated_seq_is_acknowledged_again_and_not_processed_again() -> None:
    network, one, other = joined()
    for _ in range(3):
        update(one, other, EspInfo(128, 3, 4), Seq(0))
    assert answers(network) == [(0,)] * 3
    assert len({datagram.payload for datagram in network.sent(PacketType.UPDATE)}) == 1
    assert other.dropped() == {"replayed": 2}
    assert other.endpoint.activity["update_esp_info_ignored"] == 1


def test_repeated_acknowledgements_are_limited() -> None:
    network, one, other = joined()
    for _ in range(50):
        update(one, other, Seq(0))
    assert len(answers(network)) <= 7
    assert other.dropped() == {"replayed": 49}


@pytest.mark.parametrize("update_id", [32, 1000, 0xFFFFFFFF])
def test_seq_out_of_the_window(update_id: int) -> None:
    network, one, other = joined()
    update(one, other, Seq(update_id))
    assert other.dropped() == {"replayed": 1}
    assert not answers(network)


def test_seqs_may_overtake_each_other_within_the_window_and_count_once() -> None:
    network, one, other = joined()
    for update_id in (3, 1, 4, 0, 2):
        update(one, other, Seq(update_id))
    assert answers(network) == [(3,), (1,), (4,), (0,), (2,)]
    assert not other.dropped()
    for update_id in (33, 2, 35, 3):
        update(one, other, Seq(update_id))
    assert answers(network)[5:] == [(33,), (2,), (35,)], "2 is a repetition, 3 is too old"
    assert other.dropped() == {"replayed": 2}


def test_echo_request_is_answered_in_the_acknowledgement() -> None:
    network, one, other = joined()
    update(one, other, Seq(0), EchoRequestSigned(b"nonce"))
    answer = parse_packet(network.sent(PacketType.UPDATE)[0].payload)
    assert answer.require(EchoResponseSigned).data == b"nonce"


def test_update_ends_r2_sent() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    one.want(other)
    network.run(0.1)
    assert other.state(one) is State.R2_SENT
    update(one, other, Seq(0))
    assert other.state(one) is State.ESTABLISHED
    assert_joined(one, other)


def test_update_without_seq_and_ack_is_told_invalid_syntax() -> None:
    network, one, other = joined()
    update(one, other, EspInfo(128, 3, 4))
    network.run(0.1)
    assert other.dropped() == {"hip_missing": 1}
    assert [event.notify_type for event in one.saw(NotifyReceived)] == [NotifyType.INVALID_SYNTAX]


def test_update_that_acknowledges_nothing_of_ours() -> None:
    network, one, other = joined()
    update(one, other, Ack((5,)))
    assert other.dropped() == {"state_unexpected": 1}
    assert not answers(network)


def test_update_with_a_stale_ack_is_still_acknowledged() -> None:
    network, one, other = joined()
    update(one, other, Seq(0), Ack((5,)))
    assert answers(network) == [(0,)]


def test_update_of_a_stranger() -> None:
    _, one, other = joined()
    path = other.path_to(one)
    other.receive(bare(PacketType.UPDATE, one.hit, other.hit, path, Seq(0)), path)
    other.receive(
        bare(PacketType.UPDATE, one.hit, other.hit, path, Seq(0), HipMac(bytes(48))), path
    )
    assert other.dropped() == {"hip_missing": 2}


def test_two_updates_at_once_are_verified_once_each() -> None:
    network = Network(weather=Weather(job_s=0.01))
    one, other = network.node(config=FAST), network.node(config=FAST)
    network.run(0.1)
    exchange(one, other)
    for update_id in (0, 0, 1):
        update(one, other, Seq(update_id))
    network.run(0.1)
    assert sorted(answers(network)) == [(0,), (1,)]
    assert other.dropped() == {"replayed": 1}


def test_notify_is_shown_and_changes_nothing() -> None:
    _, one, other = joined()
    other.receive(*signed(one, other, PacketType.NOTIFY, Notification(16385, b"hello")))
    assert other.saw(NotifyReceived) == [NotifyReceived(other.hit, one.hit, 16385, b"hello")]
    assert other.dropped() == {"notify_received": 1}
    assert_joined(one, other)


def test_notify_with_a_wrong_signature_is_not_shown() -> None:
    network, one, other = joined()
    third = network.node(config=FAST)
    third_as_one = signed(third, other, PacketType.NOTIFY, Notification(24))
    payload = bytearray(third_as_one[0])
    payload[8:24] = one.hit.packed
    path = third_as_one[1]
    other.receive(checksummed(bytes(payload), path), path)
    assert other.dropped() == {"signature_wrong": 1}
    assert not other.saw(NotifyReceived)


def test_flood_of_notifies_costs_few_signatures() -> None:
    _, one, other = joined()
    payload, path = signed(one, other, PacketType.NOTIFY, Notification(24))
    for _ in range(100):
        other.receive(payload, path)
    assert len(other.saw(NotifyReceived)) <= 5
    assert other.dropped()["busy"] >= 95


def test_flood_of_bad_i2s_gets_few_notifies() -> None:
    network = Network()
    one = network.node(config=FAST)
    forbidding = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), permits=lambda _: False)
    other = network.node(config=forbidding)
    one.want(other)
    network.run(0.1)
    i2 = network.sent(PacketType.I2)[0]
    for _ in range(100):
        other.receive(i2.payload, i2.path)
    assert other.dropped() == {"policy": 101}
    assert len(network.sent(PacketType.NOTIFY)) <= 5


def test_failure_names_the_last_notify() -> None:
    network = Network()
    one = network.node(config=FAST)
    forbidding = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), permits=lambda _: False)
    other = network.node(config=forbidding)
    one.want(other)
    network.run(40.0, until=lambda: one.state(other) is State.E_FAILED)
    assert one.saw(Failed) == [
        Failed(one.hit, other.hit, "no_answer", NotifyType.BLOCKED_BY_POLICY)
    ]
