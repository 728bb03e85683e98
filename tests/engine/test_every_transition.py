"""Every row of the state machine is taken by two engines that talk to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hipgw.proto import TRANSITIONS, CertificatePolicy, EndpointConfig, State, Trigger
from hipgw.proto.association import Association
from hipgw.values import DhGroup, HitSuite, NotifyType
from hipgw.wire import HitSuiteList, Notification, PacketType, Seq
from tests.engine.forge import resigned_r1, sealed, signed, swap
from tests.engine.network import Datagram, Network, Node, exchange, identity, low_and_high

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), ual_s=60.0, msl_s=10.0)
NOTICE = Notification(int(NotifyType.INVALID_SYNTAX), b"")
Row = tuple[State, Trigger]
Scenario = Callable[[], None]


def hosts(config: EndpointConfig = FAST) -> tuple[Network, Node, Node]:
    network = Network()
    return network, network.node(config=config), network.node(config=config)


def joined() -> tuple[Network, Node, Node]:
    network, one, other = hosts()
    exchange(one, other)
    return network, one, other


def lose(network: Network, *kinds: PacketType) -> None:
    network.wire = lambda datagram: [] if datagram.kind in kinds else [datagram]


def stop(network: Network, kind: PacketType, one: Node, other: Node) -> Datagram:
    """Let `one` call and its exchange end before the first packet of a kind arrives."""
    lose(network, kind)
    one.want(other)
    network.run(0.1)
    return network.sent(kind)[-1]


def arrive(network: Network, datagram: Datagram, *lost: PacketType) -> None:
    """It arrives, and what it leads to, but for packets of some kinds."""
    lose(network, *lost)
    network.deliver(datagram)
    network.run(0.05)


def i1_of(one: Node, other: Node) -> Datagram:
    """A fresh I1, as a host sends it that has forgotten everything."""
    network = one.network
    before = network.wire
    network.restart(one, FAST)
    lose(network, *PacketType)
    one.want(other)
    network.wire = before
    return network.sent(PacketType.I1)[-1]


# --- exchanges ---


def whole_exchange_ended_by_data() -> None:
    joined()


def i2_crosses_i2() -> None:
    network = Network()
    low, high = low_and_high()
    one, other = network.node(low, config=FAST), network.node(high, config=FAST)
    i2 = stop(network, PacketType.I2, one, other)
    stop(network, PacketType.I2, other, one)
    arrive(network, i2)
    assert other.state(one) is State.R2_SENT


def i2_reaches_who_has_just_called() -> None:
    network = Network()
    low, high = low_and_high()
    one, other = network.node(low, config=FAST), network.node(high, config=FAST)
    i2 = stop(network, PacketType.I2, one, other)
    lose(network, PacketType.R1)
    other.want(one)
    assert other.state(one) is State.I1_SENT
    arrive(network, i2)
    assert other.state(one) is State.R2_SENT


def i1_reaches_who_has_just_called() -> None:
    network = Network()
    low, high = low_and_high()
    one, other = network.node(low, config=FAST), network.node(high, config=FAST)
    lose(network, PacketType.R1)
    other.want(one)
    one.want(other)
    network.run(0.1)
    assert other.state(one) is State.I1_SENT
    assert network.sent(PacketType.R1)


def i1_reaches_who_waits_for_an_r2() -> None:
    network, one, other = hosts()
    stop(network, PacketType.I2, one, other)
    arrive(network, i1_of(other, one), PacketType.R1, PacketType.I2)
    assert one.state(other) is State.I2_SENT
    assert len(network.sent(PacketType.R1)) == 2


def later_r1_in_i2_sent() -> None:
    network, one, other = hosts()
    stop(network, PacketType.R2, one, other)
    other.endpoint.handle_deadline(network.now + 301.0)
    other.settle()
    path = other.path_to(one)
    other.receive(network.sent(PacketType.I1)[0].payload, path)
    network.run(0.05)
    assert len({datagram.payload for datagram in network.sent(PacketType.I2)}) == 2


def packets_are_lost() -> None:
    for kind in (PacketType.I1, PacketType.I2):
        network, one, other = hosts()
        lose(network, kind)
        one.want(other)
        network.run(60.0, until=lambda one=one, other=other: one.state(other) is State.E_FAILED)
        assert len({datagram.payload for datagram in network.sent(kind)}) == 1
        network.run(21.0)
        assert one.state(other) is State.UNASSOCIATED


def peer_knows_another_suite() -> None:
    network = Network()
    keys = identity("ecdsa-p256", 60), identity("rsa-2048", 61)
    one = network.node(*keys, config=FAST)
    other = network.node(config=replace(FAST, hit_suites=(HitSuite.RSA_DSA_SHA256,)))
    one.want(other)
    network.run(0.2)
    assert [view.local for view in one.endpoint.associations()] == [keys[1].hit]


def peer_offers_nothing() -> None:
    network, one, other = hosts()
    none = HitSuiteList((15,))
    network.wire = lambda datagram: (
        [resigned_r1(datagram, other.identities[0], swap(none))]
        if datagram.kind is PacketType.R1
        else [datagram]
    )
    one.want(other)
    network.run(0.1)
    assert one.state(other) is State.E_FAILED
    arrive(network, i1_of(other, one), PacketType.R1)
    assert one.state(other) is State.E_FAILED
    one.close(other)
    assert one.state(other) is State.UNASSOCIATED


def operator_gives_up_in_i1_sent() -> None:
    network, one, other = hosts()
    lose(network, PacketType.I1)
    one.want(other)
    one.close(other)
    assert one.state(other) is State.UNASSOCIATED


# --- the Responder's last state ---


def r2_is_repeated_and_time_goes_by() -> None:
    network, one, other = hosts()
    i2 = stop(network, PacketType.I2, one, other)
    arrive(network, i2)
    arrive(network, i2)
    assert other.state(one) is State.R2_SENT
    assert len({datagram.payload for datagram in network.sent(PacketType.R2)}) == 1
    other.receive(network.sent(PacketType.I1)[0].payload, other.path_to(one))
    assert other.state(one) is State.R2_SENT
    notify = signed(one, other, PacketType.NOTIFY, NOTICE)
    other.receive(*notify)
    assert other.state(one) is State.R2_SENT
    network.run(31.0)
    assert other.state(one) is State.ESTABLISHED


def update_ends_r2_sent() -> None:
    network, one, other = hosts()
    one.want(other)
    network.run(0.1)
    other.receive(*sealed(one, other, PacketType.UPDATE, Seq(0)))
    assert other.state(one) is State.ESTABLISHED


def close_in_r2_sent_from_either_side() -> None:
    for closer in range(2):
        network, one, other = hosts()
        one.want(other)
        network.run(0.1)
        assert other.state(one) is State.R2_SENT
        (one, other)[closer].close((other, one)[closer])
        network.run(0.1)
        assert {one.state(other), other.state(one)} == {State.CLOSED, State.UNASSOCIATED}


def close_in_i2_sent() -> None:
    network, one, other = hosts()
    stop(network, PacketType.R2, one, other)
    lose(network, PacketType.R2, PacketType.CLOSE_ACK)
    notify = signed(other, one, PacketType.NOTIFY, NOTICE)
    one.receive(*notify)
    assert one.state(other) is State.I2_SENT
    other.close(one)
    network.run(0.1)
    assert one.state(other) is State.CLOSED


# --- ESTABLISHED and after ---


def life_of_an_association() -> None:
    network, one, other = joined()
    other.receive(*sealed(one, other, PacketType.UPDATE, Seq(0)))
    other.receive(*signed(one, other, PacketType.NOTIFY, NOTICE))
    other.receive(network.sent(PacketType.I1)[0].payload, other.path_to(one))
    assert one.send_esp(other)
    assert other.state(one) is State.ESTABLISHED
    one.network.restart(one, FAST)
    exchange(one, other)
    network.run(61.0)
    assert State.ESTABLISHED not in {one.state(other), other.state(one)}


def peer_is_dead() -> None:
    network, one, other = joined()
    lose(network, *PacketType)
    one.endpoint.manual_update(None, network.now)
    one.settle()
    network.run(60.0, until=lambda: one.state(other) is State.CLOSING)
    assert one.state(other) is State.CLOSING
    network.run(75.0)
    assert one.state(other) is State.UNASSOCIATED


def i1_and_i2_in_closing() -> None:
    network, one, other = joined()
    lose(network, PacketType.CLOSE)
    one.close(other)
    arrive(network, i1_of(other, one))
    assert one.state(other) is State.R2_SENT


def data_in_closing() -> None:
    network, one, other = joined()
    lose(network, PacketType.CLOSE)
    one.close(other)
    one.want(other)
    assert one.state(other) is State.I1_SENT


def both_close_and_the_acks_are_lost() -> None:
    network, one, other = joined()
    lose(network, PacketType.CLOSE_ACK)
    one.close(other)
    other.close(one)
    network.run(0.1)
    assert (one.state(other), other.state(one)) == (State.CLOSED, State.CLOSED)
    close = network.sent(PacketType.CLOSE)[0]
    arrive(network, close)
    assert one.state(other) is State.UNASSOCIATED


def closed_and_called_again() -> None:
    network, one, other = joined()
    one.close(other)
    network.run(0.1)
    assert other.state(one) is State.CLOSED
    i2 = stop(network, PacketType.I2, one, other)
    assert other.state(one) is State.CLOSED
    arrive(network, i2)
    assert other.state(one) is State.R2_SENT


def closed_and_calling() -> None:
    network, one, other = joined()
    one.close(other)
    network.run(0.1)
    lose(network, PacketType.I1)
    other.want(one)
    network.run(0.7)
    assert other.state(one) is State.CLOSED
    lose(network, PacketType.I2)
    network.run(2.0)
    assert other.state(one) is State.I2_SENT


def closed_and_calling_in_vain() -> None:
    network, one, other = joined()
    one.close(other)
    network.run(0.1)
    lose(network, PacketType.I1)
    other.want(one)
    network.run(60.0, until=lambda: other.state(one) is State.E_FAILED)
    assert other.state(one) is State.E_FAILED


def closed_and_answered_by_nothing_we_accept() -> None:
    network, one, other = joined()
    one.close(other)
    network.run(0.1)
    none = HitSuiteList((15,))
    network.wire = lambda datagram: (
        [resigned_r1(datagram, one.identities[0], swap(none))]
        if datagram.kind is PacketType.R1
        else [datagram]
    )
    other.want(one)
    network.run(0.1)
    assert other.state(one) is State.E_FAILED


def closed_for_long_enough() -> None:
    network, one, other = joined()
    one.close(other)
    network.run(81.0)
    assert other.state(one) is State.UNASSOCIATED


def certificates_are_missing() -> None:
    """Of the Responder at its R2; of the peer of either state once they are asked for."""
    strict = CertificatePolicy(requires=lambda _peer: True)
    network = Network()
    one = network.node(config=replace(FAST, certificates=strict))
    one.want(network.node(config=FAST))
    network.run(0.1)
    for late in (False, True):
        network, one, other = hosts()
        one.want(other)
        network.run(0.1)
        asking = one if late else other
        assert asking.endpoint.associations()[0].state is (
            State.ESTABLISHED if late else State.R2_SENT
        )
        asking.endpoint.certificates_changed(strict, network.now)
        asking.settle()


def strangers_give_way() -> None:
    """Room is needed in R2-SENT, and again when the Exchange-Complete timer has run out."""
    config = replace(FAST, associations_most=1)
    network = Network()
    other = network.node(config=config)
    for wait_s in (5.0, 50.0, 1.0):
        network.node(config=FAST).want(other)
        network.run(wait_s)


SCENARIOS: tuple[Scenario, ...] = (
    strangers_give_way,
    whole_exchange_ended_by_data,
    i2_crosses_i2,
    i2_reaches_who_has_just_called,
    i1_reaches_who_has_just_called,
    i1_reaches_who_waits_for_an_r2,
    later_r1_in_i2_sent,
    packets_are_lost,
    peer_knows_another_suite,
    peer_offers_nothing,
    operator_gives_up_in_i1_sent,
    r2_is_repeated_and_time_goes_by,
    update_ends_r2_sent,
    close_in_r2_sent_from_either_side,
    close_in_i2_sent,
    life_of_an_association,
    peer_is_dead,
    i1_and_i2_in_closing,
    data_in_closing,
    both_close_and_the_acks_are_lost,
    closed_and_called_again,
    closed_and_calling,
    closed_and_calling_in_vain,
    closed_and_answered_by_nothing_we_accept,
    closed_for_long_enough,
    certificates_are_missing,
)

STATELESS = {(State.UNASSOCIATED, Trigger.I1_RECEIVED)}
"""An I1 of a stranger leaves no association behind whose move could be seen."""

NEVER = {(State.CLOSING, Trigger.R1_VALID)}
"""Data to send leaves CLOSING at once, and an R1 that answers no I1 of ours is dropped."""


@pytest.fixture(name="moves")
def fixture_moves(monkeypatch: pytest.MonkeyPatch) -> set[Row]:
    """Every pair of state and trigger that an association of any engine goes through."""
    seen: set[Row] = set()
    move = Association.move

    def watched(self: Association, trigger: Trigger, now: float) -> None:
        pair = self.state, trigger
        move(self, trigger, now)
        assert self.state is TRANSITIONS[pair]
        seen.add(pair)

    monkeypatch.setattr(Association, "move", watched)
    return seen


def test_every_transition_is_taken_somewhere(moves: set[Row]) -> None:
    for scenario in SCENARIOS:
        scenario()
    assert moves == set(TRANSITIONS) - STATELESS - NEVER


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_no_scenario_is_idle(scenario: Scenario, moves: set[Row]) -> None:
    scenario()
    assert moves


def test_an_r1_of_an_earlier_exchange_does_not_undo_a_close() -> None:
    network, one, other = joined()
    lose(network, PacketType.CLOSE)
    one.close(other)
    network.deliver(network.sent(PacketType.R1)[0])
    network.run(0.05)
    assert one.state(other) is State.CLOSING
    assert one.dropped() == {"state_unexpected": 1}


def test_an_i1_of_a_stranger_is_answered_and_leaves_nothing() -> None:
    network, one, other = hosts()
    stop(network, PacketType.R1, one, other)
    assert other.state(one) is State.UNASSOCIATED
    assert not other.endpoint.associations()
    assert len(network.sent(PacketType.R1)) == 1
