"""I1s to the NULL HIT: who answers, who may, and what a stranger's R1 can do (RFC 7401 4.1.8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.errors import LocalProtocolError
from hipgw.proto import (
    EndpointConfig,
    Established,
    Failed,
    IdentityTraits,
    PeerFound,
    PeerNotFound,
    State,
)
from hipgw.values import NULL_HIT, DhGroup, Encapsulation, Hit, HitSuite, Path
from hipgw.wire import HIP_VERSION, PacketType, Puzzle, peek_header, with_checksum
from tests.engine.forge import V2, checksummed, resigned_r1, swap
from tests.engine.network import Datagram, Network, Node, assert_joined, exchange, identity

ASKING = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
OPEN = replace(ASKING, answer_opportunistic=True)


def hosts(config: EndpointConfig = ASKING, other: EndpointConfig = OPEN) -> tuple[Node, Node]:
    network = Network()
    return network.node(config=config), network.node(config=other)


def seek(one: Node, other: Node, *paths: Path, **how: Hit | None) -> None:
    one.endpoint.want_peer_at(paths or (one.path_to(other),), one.network.now, **how)
    one.settle()


def joined(one: Node, other: Node) -> None:
    assert one.send_esp(other)
    assert_joined(one, other)


def found(node: Node) -> list[PeerFound]:
    return [event for event in node.events if isinstance(event, PeerFound)]


def not_found(node: Node) -> list[tuple[Hit, str]]:
    return [(one.peer, one.reason) for one in node.events if isinstance(one, PeerNotFound)]


def test_the_r1_decides_who_the_peer_is() -> None:
    one, other = hosts()
    seek(one, other)
    (i1,) = one.network.sent(PacketType.I1)
    assert peek_header(i1.payload) == (PacketType.I1, HIP_VERSION, one.hit, NULL_HIT)
    assert one.endpoint.associations() == [], "nobody is known yet"
    one.network.run(0.2)
    assert found(one) == [PeerFound(one.hit, other.hit, one.path_to(other), is_anonymous=False)]
    joined(one, other)
    assert len(one.network.sent(PacketType.I1)) == 1, "its R1 is answered, no second I1"


def test_a_responder_that_does_not_answer_strangers_is_not_found() -> None:
    one, other = hosts(other=ASKING)
    seek(one, other)
    one.network.run(60.0)
    assert not_found(one) == [(NULL_HIT, "no_answer")]
    assert len(one.network.sent(PacketType.I1)) == ASKING.tries
    assert one.endpoint.next_deadline() is not None, "the R1s are still renewed"
    assert one.endpoint.associations() == []


def test_answering_can_be_turned_on_and_off() -> None:
    one, other = hosts(other=ASKING)
    other.endpoint.answer_opportunistic(is_on=True)
    seek(one, other)
    one.network.run(0.2)
    joined(one, other)
    other.endpoint.answer_opportunistic(is_on=False)
    third = one.network.node(config=ASKING)
    seek(third, other)
    one.network.run(0.2)
    assert other.dropped() == {"hit_not_ours": 1}


def test_a_lost_i1_is_sent_again() -> None:
    one, other = hosts()
    one.network.dead.add(other.address)
    seek(one, other)
    one.network.run(0.4)
    one.network.dead.clear()
    one.network.run(1.0)
    joined(one, other)


def test_asking_twice_asks_once() -> None:
    one, other = hosts()
    seek(one, other)
    seek(one, other)
    assert len(one.network.sent(PacketType.I1)) == 1


def test_an_expected_host_is_taken() -> None:
    one, other = hosts()
    seek(one, other, expected=other.hit)
    one.network.run(0.2)
    joined(one, other)


def test_another_host_than_the_expected_one_is_refused_by_name() -> None:
    one, other = hosts()
    seek(one, other, expected=identity("ecdsa-p256", 77).hit)
    one.network.run(2.0)
    assert not_found(one) == [(other.hit, "peer_changed")]
    assert one.endpoint.associations() == other.endpoint.associations() == []
    assert one.network.sent(PacketType.I2) == []


def i1_to_anyone(one: Node) -> bytes:
    return V2.build(PacketType.I1, one.hit, NULL_HIT, V2.i1_parameters(ASKING))


def one_i1(one: Node, path: Path) -> bytes:
    octets = i1_to_anyone(one)
    return with_checksum(octets, path.peer, path.local)


def test_an_impostor_cannot_hide_the_expected_host() -> None:
    one, other = hosts()
    impostor = one.network.node(config=OPEN)

    def wire(datagram: Datagram) -> Sequence[Datagram]:
        return [as_from(datagram, other)] if datagram.source == impostor.name else [datagram]

    seek(one, other, expected=other.hit)
    one.network.wire = wire
    path = Path(impostor.address, one.address)
    impostor.receive(one_i1(one, path), path)
    one.network.run(0.011)
    one.network.run(0.2)
    assert one.dropped() == {"peer_changed": 1}
    joined(one, other)


def as_from(datagram: Datagram, victim: Node) -> Datagram:
    """The same packet with a forged source address."""
    path = replace(datagram.path, peer=victim.address)
    return replace(datagram, path=path, payload=checksummed(datagram.payload, path))


def test_an_r1_from_another_address_is_not_an_answer() -> None:
    one, other = hosts()
    stranger = one.network.node(config=OPEN)
    one.network.dead.add(other.address)
    seek(one, other)
    path = Path(stranger.address, one.address)
    stranger.receive(one_i1(one, path), path)
    one.network.run(0.2)
    assert one.dropped() == {"no_association": 1}
    assert found(one) == []


def test_an_r1_in_another_encapsulation_is_not_an_answer() -> None:
    one, other = hosts()
    one.network.wire = lambda datagram: (
        [datagram]
        if datagram.kind is PacketType.I1
        else [replace(datagram, path=replace(datagram.path, peer_port=4500))]
    )
    seek(one, other, one.path_to(other, Encapsulation.UDP))
    one.network.run(0.2)
    assert one.dropped() == {"no_association": 1}


def test_only_a_few_r1s_are_verified() -> None:
    one, other = hosts(replace(ASKING, opportunistic_r1_most=3))

    def wire(datagram: Datagram) -> Sequence[Datagram]:
        if datagram.kind is not PacketType.R1:
            return [datagram]
        bad = resigned_r1(datagram, identity("ecdsa-p256", 90), lambda old: old)
        return [bad] * 10

    one.network.wire = wire
    seek(one, other)
    one.network.run(0.3)
    assert one.dropped() == {"signature_wrong": 3, "busy": 7}
    assert one.endpoint.associations() == []


def test_of_two_good_r1s_the_first_counts() -> None:
    one, other = hosts()
    one.network.hold_jobs(one)
    one.network.wire = lambda datagram: (
        [datagram, datagram] if datagram.kind is PacketType.R1 else [datagram]
    )
    seek(one, other)
    one.network.run(0.1)
    one.network.finish_job(one, "VerifyR1")
    one.network.finish_job(one, "VerifyR1")
    assert one.dropped() == {"state_unexpected": 1}
    assert len(found(one)) == 1
    one.network.finish_job(one, "AnswerR1")
    one.network.run(0.1)
    assert len(one.network.sent(PacketType.I2)) == 1


def test_an_association_that_is_there_stays() -> None:
    one, other = hosts()
    exchange(one, other)
    spi = one.current_out[one.hit, other.hit]
    seek(one, other)
    one.network.run(0.2)
    assert [event.peer for event in found(one)] == [other.hit]
    assert one.current_out[one.hit, other.hit] == spi
    joined(one, other)


def test_a_closed_association_is_made_anew() -> None:
    one, other = hosts()
    exchange(one, other)
    other.close(one)
    one.network.run(0.1)
    assert one.state(other) is State.CLOSED
    seek(one, other)
    one.network.run(0.2)
    joined(one, other)


def test_a_failed_association_gives_way() -> None:
    one, other = hosts()
    one.network.dead.add(other.address)
    one.want(other)
    one.network.run(30.0)
    assert one.state(other) is State.E_FAILED
    one.network.dead.clear()
    seek(one, other)
    one.network.run(0.2)
    joined(one, other)


def test_an_anonymous_responder_may_be_refused() -> None:
    """Section 6.8: an anonymous R1 may be dropped when the I1 went to the NULL HIT."""
    network = Network()
    key = identity("ecdsa-p256", 60)
    traits = {key.hit: IdentityTraits(is_anonymous=True)}
    one = network.node(config=replace(ASKING, accept_anonymous=False))
    other = network.node(key, config=OPEN, traits=traits)
    seek(one, other)
    network.run(0.2)
    assert not_found(one) == [(other.hit, "anonymous")]
    assert one.dropped() == {"anonymous": 1}
    exchange(one, other)  # by its HIT it was asked for: that is another matter
    view = one.view(other)
    assert view is not None
    assert view.peer_is_anonymous


def test_a_peer_that_the_policy_refuses_is_not_answered() -> None:
    one, other = hosts(replace(ASKING, permits=lambda _: False))
    seek(one, other)
    one.network.run(0.2)
    assert not_found(one) == [(other.hit, "policy")]
    assert one.network.sent(PacketType.I2) == []


def test_a_puzzle_too_hard_leads_to_an_i1_with_the_hit() -> None:
    one, other = hosts(replace(ASKING, puzzle_k_most=4))

    def harder(datagram: Datagram) -> Sequence[Datagram]:
        if datagram.kind is not PacketType.R1:
            return [datagram]
        one.network.wire = lambda datagram: [datagram]
        puzzle = Puzzle(20, 39, bytes(2), bytes(48))
        return [resigned_r1(datagram, other.identities[0], swap(puzzle))]

    one.network.wire = harder
    seek(one, other)
    one.network.run(1.0)
    receivers = [peek_header(one.payload)[3] for one in one.network.sent(PacketType.I1)]
    assert receivers == [NULL_HIT, other.hit]
    joined(one, other)


def test_attempts_have_a_ceiling() -> None:
    one, other = hosts(replace(ASKING, opportunistic_most=1), ASKING)
    third = one.network.node(config=OPEN)
    seek(one, other)
    seek(one, third)
    assert not_found(one) == [(NULL_HIT, "busy")]
    one.endpoint.forget_peer_at(other.address)
    one.settle()
    assert not_found(one)[1:] == [(NULL_HIT, "operator")]
    seek(one, third)
    one.network.run(0.2)
    joined(one, third)


def test_another_suite_is_tried_when_the_responder_wants_that() -> None:
    network = Network()
    keys = identity("ecdsa-p256", 61), identity("ed25519", 62)
    one = network.node(*keys, config=ASKING)
    other = network.node(config=replace(OPEN, hit_suites=(HitSuite.EDDSA_CSHAKE128,)))
    seek(one, other)
    network.run(0.3)
    view = one.view(other)
    assert view is not None
    assert (view.local, view.state) == (keys[1].hit, State.ESTABLISHED)


def test_both_encapsulations_may_be_tried_at_once() -> None:
    one, other = hosts()
    paths = one.path_to(other), one.path_to(other, Encapsulation.UDP)
    seek(one, other, *paths)
    one.network.run(0.3)
    assert len(one.network.sent(PacketType.I1)) == 2
    joined(one, other)


def test_what_cannot_be_meant_is_said() -> None:
    one, other = hosts()
    elsewhere = Path(one.address, ip_address("192.0.2.99"))
    for paths, how in (
        ((), {}),
        ((one.path_to(other), elsewhere), {}),
        ((one.path_to(other),), {"local": other.hit}),
    ):
        with pytest.raises(LocalProtocolError):
            one.endpoint.want_peer_at(paths, 0.0, **how)


def test_the_end_of_the_exchange_is_told_like_any_other() -> None:
    one, other = hosts()
    seek(one, other)
    one.network.run(0.011)
    one.network.wire = lambda _: []
    one.network.run(60.0)
    assert one.saw(Established) == []
    assert [(event.peer, event.reason) for event in one.saw(Failed)] == [(other.hit, "no_answer")]


def test_no_octet_of_an_r1_can_be_changed_to_become_somebody_else() -> None:
    """Over UDP, where no checksum helps: the R1 is dropped, or it is the right host's."""
    config = ASKING
    one, other = hosts(config)
    reasons: Counter[str] = Counter()
    path = one.path_to(other, Encapsulation.UDP)
    other.network.wire = lambda _: []
    there = Path(path.peer, path.local, Encapsulation.UDP, 10500, 10500)
    other.receive(i1_to_anyone(one), there)
    (r1,) = one.network.sent(PacketType.R1)
    seek(one, other, path)
    for at in range(len(r1.payload)):
        octets = bytearray(r1.payload)
        octets[at] ^= 0x81
        one.receive(bytes(octets), path)
        dropped = sum(one.endpoint.counters.values())
        assert dropped + len(found(one)) == 1
        assert [event.peer for event in found(one)] in ([], [other.hit])
        reasons.update(one.dropped())
        one.network.restart(one, config)
        one.events.clear()
        seek(one, other, path)
    assert reasons["signature_wrong"] > 100
    assert reasons["no_association"] == 0
