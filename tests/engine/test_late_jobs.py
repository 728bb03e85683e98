"""Results of jobs that come back when the world has moved on, and packets that come too late."""

from __future__ import annotations

import pytest

from hipgw.proto import EndpointConfig, State
from hipgw.values import DhGroup
from hipgw.wire import EchoRequestSigned, Notification, PacketType, Seq
from tests.engine.forge import sealed, signed
from tests.engine.network import (
    Datagram,
    Network,
    Node,
    assert_joined,
    exchange,
    low_and_high,
)

pytestmark = pytest.mark.usefixtures("hip_version")


FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))


def low_high() -> tuple[Network, Node, Node]:
    network = Network()
    low, high = low_and_high()
    return network, network.node(low, config=FAST), network.node(high, config=FAST)


def test_i2_of_an_overtaken_exchange_is_refused_when_it_comes_late() -> None:
    network, one, other = low_high()
    late: list[Datagram] = []

    def hold(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is PacketType.I2 and datagram.source == other.name:
            late.append(datagram)
            return []
        return [datagram]

    network.wire = hold
    other.want(one)
    network.run(0.1)
    assert other.state(one) is State.I2_SENT
    one.want(other)  # the greater HIT yields: its own I2 is overtaken
    network.run(0.1)
    assert one.state(other) is State.ESTABLISHED
    network.deliver(late[0])
    network.run(0.1)
    assert one.dropped() == {"replayed": 1}
    assert one.send_esp(other)
    assert_joined(one, other)


def test_r1_verified_after_the_operator_gave_up() -> None:
    network, one, other = low_high()
    network.hold_jobs(one)
    one.want(other)
    network.run(0.1)
    one.close(other)
    network.finish_job(one, "VerifyR1")
    assert one.dropped() == {"state_unexpected": 1}
    assert one.state(other) is State.UNASSOCIATED
    assert not network.sent(PacketType.I2)


def test_answer_to_r1_done_after_the_peer_took_over() -> None:
    network, one, other = low_high()
    network.hold_jobs(other)
    other.want(one)
    network.run(0.1)
    network.finish_job(other, "VerifyR1")  # AnswerR1 begins
    one.want(other)
    network.run(0.05)  # I1 of the peer, R1, I2
    network.finish_job(other, "AcceptI2")
    assert other.state(one) is State.R2_SENT
    network.finish_job(other, "AnswerR1")
    assert other.dropped() == {"state_unexpected": 1}
    network.run(0.1)
    assert one.send_esp(other)
    assert_joined(one, other)


def test_i2_proven_after_we_sent_our_own() -> None:
    network, one, other = low_high()
    network.hold_jobs(one)
    other.want(one)
    network.run(0.05)  # its I2 is being looked at
    one.want(other)
    network.run(0.05)
    network.finish_job(one, "VerifyR1")
    network.finish_job(one, "AnswerR1")
    assert one.state(other) is State.I2_SENT
    network.finish_job(one, "AcceptI2")
    assert one.dropped() == {"hit_race_lost": 1}
    network.run(0.05)
    network.finish_job(one, "VerifySignature")
    assert one.send_esp(other)
    assert_joined(one, other)


def test_update_verified_after_the_association_was_closed() -> None:
    network, one, other = low_high()
    exchange(one, other)
    network.hold_jobs(other)
    other.receive(*sealed(one, other, PacketType.UPDATE, Seq(0)))
    other.receive(*signed(one, other, PacketType.NOTIFY, Notification(24)))
    other.receive(*sealed(one, other, PacketType.CLOSE, EchoRequestSigned(b"bye")))
    network.held_jobs[other.name].sort(key=lambda held: -held[0].job_id)
    for _ in range(3):
        network.finish_job(other, "VerifySignature")
    assert other.state(one) is State.CLOSED
    assert other.dropped() == {"state_unexpected": 2}
    assert not other.sas


def test_r2_verified_after_a_newer_r1_was_answered() -> None:
    network, one, other = low_high()
    network.hold_jobs(one)
    one.want(other)
    network.run(0.05)
    network.finish_job(one, "VerifyR1")
    network.finish_job(one, "AnswerR1")
    network.run(0.05)  # the R2 is here and waits for its signature check
    other.endpoint.handle_deadline(network.now + 301.0)
    other.settle()
    network.deliver(network.sent(PacketType.I1)[0])
    network.run(0.05)
    network.finish_job(one, "VerifyR1")
    network.finish_job(one, "AnswerR1")
    network.finish_job(one, "VerifySignature")
    assert one.dropped() == {"state_unexpected": 1}
    assert one.state(other) is State.I2_SENT
    network.run(0.05)
    network.finish_job(one, "VerifySignature")
    assert one.send_esp(other)
    assert_joined(one, other)


@pytest.mark.parametrize("result", [None, 7, b"", RuntimeError("worker died")])
def test_a_worker_that_dies_costs_one_counter(result: object) -> None:
    for kind, waits in (("VerifyR1", "one"), ("AnswerR1", "one"), ("AcceptI2", "other")):
        network, one, other = low_high()
        node = {"one": one, "other": other}[waits]
        network.hold_jobs(node)
        one.want(other)
        network.run(0.05)
        if kind == "AnswerR1":
            network.finish_job(one, "VerifyR1")
        ((effect, _),) = network.held_jobs[node.name]
        assert type(effect.job).__name__ == kind
        node.endpoint.job_done(effect.job_id, result, network.now)
        node.settle()
        del network.held_jobs[node.name]
        assert node.dropped() == {"busy": 1}
        network.run(2.0)  # the next try goes through
        assert one.send_esp(other)
        assert_joined(one, other)


def test_unknown_and_repeated_job_numbers_are_ignored() -> None:
    network, one, other = low_high()
    network.hold_jobs(one)
    one.want(other)
    network.run(0.05)
    ((effect, result),) = network.held_jobs[one.name]
    del network.held_jobs[one.name]
    for _ in range(3):
        one.endpoint.job_done(effect.job_id, result, network.now)
    one.settle()
    network.run(0.2)
    assert len(network.sent(PacketType.I2)) == 1
    assert one.state(other) is State.ESTABLISHED
