"""Certificates in NOTIFY and CLOSE, which anyone can repeat; and verdicts that policy overtakes."""

from __future__ import annotations

import pytest

from hipgw.crypto.certificates import HostCertificate
from hipgw.crypto.certificates_chain import RevocationList
from hipgw.proto import CertificateJudged, Closed, Standing, State
from hipgw.values import NotifyType
from hipgw.wire import Cert, EchoRequestSigned, Notification, PacketType, Seq
from tests.engine.forge import LyingIdentity, sealed, signed
from tests.engine.network import Node, assert_joined, exchange
from tests.engine.test_certificates import ALICE, BOB, World, certs_in, notified, shown
from tests.unit.crypto.certificate_forge import NOW_S, leaf, revocation_list

INFORMATION = Notification(int(NotifyType.I2_ACKNOWLEDGEMENT), b"")
IN_CLOSE = frozenset({PacketType.CLOSE})
HOUR_S = 3600
STRANGER = leaf("bob", "stranger")


def judged(node: Node) -> list[tuple[str, str]]:
    return [(event.standing, event.detail) for event in node.saw(CertificateJudged)]


def notify(world: World, bob: Node, alice: Node, *certificates: HostCertificate) -> None:
    """Bob tells Alice something, and shows what he has beside it."""
    shown_beside = [
        Cert(number, 1, 1, 1, one.der) for number, one in enumerate(certificates, start=1)
    ]
    alice.receive(*signed(bob, alice, PacketType.NOTIFY, INFORMATION, *shown_beside))
    world.network.run(0.5)


def test_those_of_a_notify_are_judged() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy())
    exchange(alice, bob)
    notify(world, bob, alice, leaf("bob"))
    assert judged(alice) == [("verified", "")]
    assert shown(alice, bob).standing is Standing.VERIFIED
    assert alice.endpoint.activity["certificates_verified"] == 1
    assert_joined(alice, bob)


def test_a_bad_one_in_a_notify_is_told_and_neither_answered_nor_acted_upon() -> None:
    world = World()
    alice, bob = world.pair(world.policy(requires=True), world.policy(leaf("bob")))
    exchange(alice, bob)
    before = len(world.network.sent(PacketType.NOTIFY))
    notify(world, bob, alice, STRANGER)
    assert judged(alice)[-1] == ("refused", "issuer is not trusted")
    assert alice.endpoint.activity["certificates_refused"] == 1
    assert shown(alice, bob).standing is Standing.VERIFIED
    assert notified(bob) == []
    assert len(world.network.sent(PacketType.NOTIFY)) == before
    assert_joined(alice, bob)


@pytest.mark.parametrize("hours", [1, 9])
def test_an_old_packet_cannot_shorten_what_is_known(hours: int) -> None:
    world = World()
    known = leaf("bob", not_after_s=NOW_S + 5 * HOUR_S)
    alice, bob = world.pair(world.policy(requires=True), world.policy(known))
    exchange(alice, bob)
    notify(world, bob, alice, leaf("bob", serial=8, not_after_s=NOW_S + hours * HOUR_S))
    until_s = shown(alice, bob).until_s
    assert until_s == NOW_S + max(hours, 5) * HOUR_S
    assert [event.reason for event in alice.saw(Closed)] == []


def test_a_flood_of_them_costs_little_and_nothing_of_what_updates_may() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy())
    exchange(alice, bob)
    for number in range(60):
        notify(world, bob, alice, leaf("bob", "stranger", serial=number + 1))
    refused = alice.endpoint.activity["certificates_refused"]
    assert 4 <= refused <= 4 + 60 * 0.5 * 0.5 + 1
    good = Cert(1, 1, 1, 1, leaf("bob").der)
    alice.receive(*sealed(bob, alice, PacketType.UPDATE, Seq(0), good))
    world.network.run(0.5)
    assert shown(alice, bob).standing is Standing.VERIFIED


@pytest.mark.parametrize("certificate", [leaf("bob"), STRANGER], ids=["good", "bad"])
def test_those_of_a_close_are_judged_and_it_is_taken_all_the_same(
    certificate: HostCertificate,
) -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy(certificate, send_in=IN_CLOSE))
    exchange(alice, bob)
    bob.close(alice)
    world.network.run(1.0)
    assert certs_in(world.network, PacketType.CLOSE) == [1]
    good = certificate is not STRANGER
    assert judged(alice) == [("verified", "") if good else ("refused", "issuer is not trusted")]
    assert (alice.state(bob), bob.state(alice)) == (State.CLOSED, State.UNASSOCIATED)
    assert not world.network.sent(PacketType.NOTIFY)


def test_a_close_that_is_repeated_is_judged_once() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy())
    exchange(alice, bob)
    part = Cert(1, 1, 1, 1, STRANGER.der)
    packet = sealed(bob, alice, PacketType.CLOSE, EchoRequestSigned(b"bye"), part)
    for _ in range(3):
        alice.receive(*packet)
        world.network.run(0.2)
    assert len(judged(alice)) == 1
    assert len(world.network.sent(PacketType.CLOSE_ACK)) == 3


def test_without_a_right_signature_nothing_is_looked_at() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy())
    exchange(alice, bob)
    bob.identities[0] = LyingIdentity(BOB, frozenset({PacketType.NOTIFY}))  # type: ignore[call-overload]
    notify(world, bob, alice, STRANGER)
    assert judged(alice) == []
    assert alice.dropped() == {"signature_wrong": 1}


# --- a verdict that comes back under another policy ---


def take_back(serial: int) -> RevocationList:
    return RevocationList.from_der(revocation_list("root", (serial, None)))


def change(node: Node, world: World, **more: object) -> None:
    policy = world.policy(requires=True, **more)  # type: ignore[arg-type]
    node.endpoint.certificates_changed(policy, world.network.now)
    node.settle()


def test_a_verdict_on_an_update_that_comes_back_after_the_revocation_is_asked_for_again() -> None:
    world = World()
    old = leaf("bob", serial=7, not_after_s=NOW_S + HOUR_S)
    new = leaf("bob", serial=8)
    alice, bob = world.pair(world.policy(requires=True), world.policy(old))
    exchange(alice, bob)
    world.network.hold_jobs(alice)
    alice.receive(*sealed(bob, alice, PacketType.UPDATE, Seq(0), Cert(9, 1, 1, 1, new.der)))
    world.network.finish_job(alice, "VerifySignature")
    change(alice, world, lists=(take_back(8),))
    world.network.finish_job(alice, "JudgeGroups")  # of the UPDATE, by the policy of then
    world.network.finish_job(alice, "JudgeGroups")  # of what was known, by that of now
    world.network.finish_job(alice, "JudgeGroups")  # of the UPDATE, once more
    assert judged(alice)[-1] == ("refused", "serial 08: revoked")
    assert shown(alice, bob).until_s == old.not_after_s
    assert alice.saw(Closed) == []
    assert shown(alice, bob).standing is Standing.VERIFIED


@pytest.mark.parametrize("is_initiator", [True, False])
def test_a_base_exchange_judged_before_the_revocation_is_looked_at_again(
    *, is_initiator: bool
) -> None:
    world = World()
    asks = world.node(ALICE, world.policy(requires=True))
    shows = world.node(BOB, world.policy(leaf("bob", serial=7)))
    kind = "CheckResponder" if is_initiator else "AcceptI2"
    world.network.hold_jobs(asks)
    one, other = (asks, shows) if is_initiator else (shows, asks)
    one.want(other)

    def is_there() -> bool:
        while held := world.network.held_jobs[asks.name]:
            name = type(held[0][0].job).__name__
            if name == kind:
                return True
            world.network.finish_job(asks, name)
        return False

    assert world.network.run(2.0, is_there)
    change(asks, world, lists=(take_back(7),))
    world.network.finish_job(asks, kind)
    while held := world.network.held_jobs[asks.name]:
        world.network.finish_job(asks, type(held[0][0].job).__name__)
    del world.network.held_jobs[asks.name]
    world.network.run(1.0)
    assert [event.reason for event in asks.saw(Closed)] == ["certificate_refused"]
