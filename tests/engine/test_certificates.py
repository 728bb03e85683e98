"""Certificates between two hosts: shown, judged, required (RFC 8002; F270, F274, F276, F277)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from cryptography import x509

from hipgw.crypto import PrivateHostIdentity
from hipgw.crypto.certificates import HostCertificate
from hipgw.crypto.certificates_chain import RevocationList, TrustStore
from hipgw.errors import LocalProtocolError
from hipgw.proto import (
    CertificateJudged,
    CertificatePolicy,
    CertificateView,
    Closed,
    EndpointConfig,
    Failed,
    NotifyReceived,
    Standing,
    State,
)
from hipgw.proto.certificate_gate import RENEW_S
from hipgw.proto.certificate_groups import WAIT_S, credentials_required
from hipgw.values import NotifyType
from hipgw.wire import Cert, PacketType, Seq, parse_packet
from tests.engine.forge import sealed, signed
from tests.engine.network import Network, Node, assert_joined, exchange
from tests.unit.crypto.certificate_forge import (
    DAY_S,
    NOW_S,
    between,
    identity,
    leaf,
    revocation_list,
    root,
)

ANYWHERE = frozenset(
    {PacketType.R1, PacketType.I2, PacketType.R2, PacketType.UPDATE, PacketType.CLOSE}
)
ALICE, BOB = identity("alice"), identity("bob")


@dataclass
class Wall:
    """A wall clock that goes with the network's."""

    network: Network
    ahead_s: float = NOW_S - 1000.0

    def __call__(self) -> float:
        return self.network.now + self.ahead_s


@dataclass
class World:
    """Alice calls Bob."""

    network: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        self.wall = Wall(self.network)

    def policy(
        self,
        *chain: HostCertificate,
        send_in: frozenset[PacketType] = ANYWHERE,
        trusts: Sequence[HostCertificate] | None = None,
        lists: tuple[RevocationList, ...] = (),
        requires: bool = False,
    ) -> CertificatePolicy:
        owner = {} if not chain else {_hit(chain[0]): chain}
        trust = TrustStore(tuple(trusts or (root(),)), lists)
        return CertificatePolicy(owner, send_in, trust, lambda _peer: requires, self.wall)

    def node(self, key: PrivateHostIdentity, policy: CertificatePolicy, **more: object) -> Node:
        config = EndpointConfig(certificates=policy, **more)  # type: ignore[arg-type]
        return self.network.node(key, config=config)

    def pair(self, alice: CertificatePolicy, bob: CertificatePolicy) -> tuple[Node, Node]:
        return self.node(ALICE, alice), self.node(BOB, bob)


def _hit(certificate: HostCertificate) -> object:
    return certificate.hit


def shown(node: Node, peer: Node) -> CertificateView:
    view = node.view(peer)
    assert view is not None
    assert view.certificate is not None
    return view.certificate


def certs_in(network: Network, kind: PacketType) -> list[int]:
    """How many CERT parameters each packet of a type has."""
    return [len(parse_packet(one.payload).all(Cert)) for one in network.sent(kind)]


def notified(node: Node) -> list[tuple[int, bytes]]:
    return [(event.notify_type, event.data) for event in node.saw(NotifyReceived)]


LIKE_HIPL = frozenset({PacketType.R2, PacketType.UPDATE})


# --- shown and verified ---


def test_only_the_responder_needs_a_certificate() -> None:
    world = World()
    alice, bob = world.pair(world.policy(requires=True), world.policy(leaf("bob")))
    exchange(alice, bob)
    assert_joined(alice, bob)
    seen = shown(alice, bob)
    assert (seen.standing, seen.detail, seen.is_required) == (Standing.VERIFIED, "", True)
    assert (seen.subject, seen.issuer, seen.serial) == ("CN=bob", "CN=root", "07")
    assert seen.until_s == NOW_S + DAY_S
    (judged,) = alice.saw(CertificateJudged)
    assert (judged.standing, judged.peer, judged.until_s) == ("verified", bob.hit, NOW_S + DAY_S)
    view = bob.view(alice)
    assert view is not None
    assert view.certificate is None
    assert alice.endpoint.activity["certificates_verified"] == 1


def test_like_hipl_they_are_in_the_r2_and_no_other_packet_of_the_exchange() -> None:
    world = World()
    policy = world.policy(leaf("bob"), send_in=LIKE_HIPL)
    alice, bob = world.pair(world.policy(), policy)
    exchange(alice, bob)
    alice.close(bob)
    world.network.run(1.0)
    assert certs_in(world.network, PacketType.R2) == [1]
    for kind in (PacketType.R1, PacketType.I2, PacketType.CLOSE):
        assert sum(certs_in(world.network, kind)) == 0


@pytest.mark.parametrize("kind", [PacketType.R1, PacketType.I2, PacketType.R2, PacketType.CLOSE])
def test_they_go_where_the_configuration_says(kind: PacketType) -> None:
    world = World()
    alice, bob = (
        world.node(key, world.policy(leaf(name), send_in=frozenset({kind})))
        for key, name in ((ALICE, "alice"), (BOB, "bob"))
    )
    exchange(alice, bob)
    alice.close(bob)
    world.network.run(1.0)
    carriers = {PacketType.R1, PacketType.I2, PacketType.R2, PacketType.CLOSE}
    assert {other for other in carriers if sum(certs_in(world.network, other))} == {kind}


def test_notify_carries_them_and_the_peer_looks() -> None:
    world = World()
    in_notify = frozenset({PacketType.NOTIFY})
    alice, bob = world.pair(
        world.policy(leaf("alice", "stranger"), send_in=frozenset({PacketType.I2})),
        world.policy(leaf("bob"), send_in=in_notify),
    )
    exchange(alice, bob)
    world.network.run(1.0)
    assert certs_in(world.network, PacketType.NOTIFY) == [1]
    assert shown(alice, bob).standing is Standing.VERIFIED


def test_the_address_check_of_a_handover_carries_the_chain() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy(leaf("bob"), send_in=LIKE_HIPL))
    exchange(alice, bob)
    alice.move("192.0.2.77")
    world.network.run(2.0)
    second = [parse_packet(one.payload) for one in world.network.sent(PacketType.UPDATE)]
    carrying = [one for one in second if one.get(Cert) is not None]
    assert carrying
    assert all(one.sender == bob.hit and one.get(Seq) for one in carrying)
    assert shown(alice, bob).standing is Standing.VERIFIED


def test_certificates_of_the_r1_count_when_the_r2_has_none() -> None:
    world = World()
    policy = world.policy(leaf("bob"), send_in=frozenset({PacketType.R1}))
    alice, bob = world.pair(world.policy(requires=True), policy)
    exchange(alice, bob)
    assert shown(alice, bob).standing is Standing.VERIFIED


def test_without_trusted_authorities_nothing_is_judged() -> None:
    world = World()
    alice = world.node(ALICE, CertificatePolicy())
    bob = world.node(BOB, world.policy(leaf("bob", "anybody")))
    exchange(alice, bob)
    assert shown(alice, bob).standing is Standing.UNVERIFIED
    world.network.run(1.0)
    assert notified(bob) == []


def test_a_group_that_no_packet_has_room_for_goes_on_in_updates() -> None:
    world = World()
    chain = (leaf("bob", "m3"), between("m3", "m2"), between("m2", "m1"), between("m1", "root"))
    long = tuple(_padded(entry, 700) for entry in chain)
    alice, bob = world.pair(world.policy(), world.policy(*long, send_in=LIKE_HIPL))
    alice.want(bob)
    world.network.run(0.045)
    assert certs_in(world.network, PacketType.R2)[0] in {1, 2}
    assert shown(alice, bob).standing is Standing.INCOMPLETE
    alice.send_esp(bob)
    world.network.run(0.5)
    total = certs_in(world.network, PacketType.R2) + certs_in(world.network, PacketType.UPDATE)
    assert sum(total) == 4
    assert shown(alice, bob).standing is Standing.VERIFIED
    assert alice.dropped() == {}


def _padded(certificate: HostCertificate, octets: int) -> HostCertificate:
    """The same, larger: a long extension that nobody has to know."""
    name = certificate.subject.removeprefix("CN=")
    issuer = certificate.issuer.removeprefix("CN=")
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
    extra = [(x509.UnrecognizedExtension(oid, bytes(octets)), False)]
    maker = between if certificate.rights.is_authority else leaf
    return maker(name, issuer, extra=extra)


# --- required, and not enough ---


def test_required_of_the_initiator_but_absent() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy(requires=True))
    alice.want(bob)
    world.network.run(3.0)
    assert bob.dropped() == {"certificate_missing": 1}
    assert bob.endpoint.associations() == []
    assert notified(alice) == [(NotifyType.CREDENTIALS_REQUIRED, b"")]
    (failed,) = alice.saw(Failed)
    assert (failed.reason, failed.notify_type) == ("certificate_missing", 48)
    assert alice.state(bob) is State.E_FAILED
    assert len(world.network.sent(PacketType.I2)) == 1, "the same I2 again is of no use"


def test_required_of_the_responder_but_absent() -> None:
    world = World()
    alice, bob = world.pair(world.policy(requires=True), world.policy())
    alice.want(bob)
    world.network.run(1.0)
    assert alice.dropped()["certificate_missing"] == 1
    (failed,) = alice.saw(Failed)
    assert failed.reason == "certificate_missing"
    assert alice.state(bob) is State.E_FAILED
    assert alice.sas == {}
    assert notified(bob) == [(NotifyType.CREDENTIALS_REQUIRED, b"")]
    assert bob.state(alice) is State.CLOSED
    assert bob.sas == {}


def _expired(name: str) -> tuple[HostCertificate, ...]:
    return (leaf(name, not_before_s=NOW_S - 2 * DAY_S, not_after_s=NOW_S - 1),)


def _not_yet(name: str) -> tuple[HostCertificate, ...]:
    return (leaf(name, not_before_s=NOW_S + 600),)


def _wrong_issuer(name: str) -> tuple[HostCertificate, ...]:
    return (leaf(name, "stranger"),)


def _forged(name: str) -> tuple[HostCertificate, ...]:
    return (leaf(name, signer="stranger"),)


def _hit_of_another(name: str) -> tuple[HostCertificate, ...]:
    return (leaf(name, names=[str(identity("carol").hit)]),)


def _of_another(_name: str) -> tuple[HostCertificate, ...]:
    return (leaf("carol"),)


BAD = [_expired, _not_yet, _wrong_issuer, _forged, _hit_of_another]


@pytest.mark.parametrize("bad", BAD, ids=lambda one: one.__name__)
def test_required_of_the_initiator_but_bad(bad: object) -> None:
    world = World()
    chain = bad("alice")  # type: ignore[operator]
    alice, bob = world.pair(world.policy(*chain), world.policy(requires=True))
    alice.want(bob)
    world.network.run(3.0)
    assert bob.dropped() == {"certificate_refused": 1}
    assert bob.endpoint.associations() == []
    (judged,) = bob.saw(CertificateJudged)
    assert judged.standing == "refused"
    assert judged.detail
    group = world.policy(*chain).group_of(ALICE.hit)[0].group
    assert notified(alice) == [(NotifyType.INVALID_CERTIFICATE, bytes((group, 1)))]
    assert [event.reason for event in alice.saw(Failed)] == ["certificate_refused"]


@pytest.mark.parametrize("bad", BAD, ids=lambda one: one.__name__)
def test_required_of_the_responder_but_bad(bad: object) -> None:
    world = World()
    chain = bad("bob")  # type: ignore[operator]
    alice, bob = world.pair(world.policy(requires=True), world.policy(*chain))
    alice.want(bob)
    world.network.run(1.0)
    assert alice.dropped()["certificate_refused"] == 1
    assert alice.state(bob) is State.E_FAILED
    assert (alice.sas, bob.sas) == ({}, {})
    assert [event.standing for event in alice.saw(CertificateJudged)] == ["refused"]
    (told,) = notified(bob)
    assert told[0] == NotifyType.INVALID_CERTIFICATE


@pytest.mark.parametrize("bad", BAD, ids=lambda one: one.__name__)
def test_optional_and_bad_is_shown_and_said(bad: object) -> None:
    world = World()
    chain = bad("bob")  # type: ignore[operator]
    alice, bob = world.pair(world.policy(), world.policy(*chain))
    exchange(alice, bob)
    world.network.run(1.0)
    assert_joined(alice, bob)
    seen = shown(alice, bob)
    assert seen.standing is Standing.REFUSED
    assert seen.detail
    assert seen.subject == "CN=bob"
    assert [event.standing for event in alice.saw(CertificateJudged)] == ["refused"]
    assert [kind for kind, _ in notified(bob)] == [NotifyType.INVALID_CERTIFICATE]


def test_a_certificate_of_another_host_is_never_ours() -> None:
    world = World()
    with pytest.raises(LocalProtocolError):
        CertificatePolicy({ALICE.hit: _of_another("alice")})
    liar = replace(world.policy(), send_in=ANYWHERE)
    object.__setattr__(liar, "chains", {ALICE.hit: _of_another("alice")})
    alice, bob = world.pair(liar, world.policy(requires=True))
    alice.want(bob)
    world.network.run(2.0)
    assert bob.dropped() == {"certificate_refused": 1}


def test_revoked() -> None:
    world = World()
    listed = RevocationList.from_der(revocation_list("root", (7, None)))
    alice, bob = world.pair(
        world.policy(requires=True, lists=(listed,)), world.policy(leaf("bob", serial=7))
    )
    alice.want(bob)
    world.network.run(1.0)
    assert alice.dropped()["certificate_refused"] == 1


def test_a_required_group_must_be_whole_in_the_exchange() -> None:
    world = World()
    chain = (leaf("alice", "m1"), between("m1", "root"))
    long = tuple(_padded(entry, 900) for entry in chain)
    alice, bob = world.pair(world.policy(*long), world.policy(requires=True))
    alice.want(bob)
    world.network.run(2.0)
    assert certs_in(world.network, PacketType.I2) == [1]
    assert bob.dropped() == {"certificate_missing": 1}


def test_a_part_is_enough_where_the_authority_in_between_is_trusted() -> None:
    world = World()
    chain = (leaf("alice", "m1"), between("m1", "root"))
    long = tuple(_padded(entry, 900) for entry in chain)
    alice, bob = world.pair(
        world.policy(*long), world.policy(requires=True, trusts=(root(), long[1]))
    )
    exchange(alice, bob)
    assert certs_in(world.network, PacketType.I2) == [1]
    assert shown(bob, alice).standing is Standing.VERIFIED


# --- afterwards ---


def test_a_missing_member_leaves_the_group_incomplete_and_is_forgotten_in_time() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy())
    exchange(alice, bob)
    part = Cert(9, 2, 1, 1, leaf("bob").der)
    alice.receive(*sealed(bob, alice, PacketType.UPDATE, Seq(0), part))
    world.network.run(0.1)
    assert shown(alice, bob).standing is Standing.INCOMPLETE
    world.network.run(WAIT_S + 1)
    seen = shown(alice, bob)
    assert (seen.standing, seen.detail) == (
        Standing.REFUSED,
        f"the rest did not come within {WAIT_S:g} s",
    )
    assert alice.endpoint.activity["certificate_groups_late"] == 1


@pytest.mark.parametrize("fault", ["mac", "signature"])
def test_nothing_is_taken_from_an_update_that_is_not_authentic(fault: str) -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy())
    exchange(alice, bob)
    certificate = Cert(9, 1, 1, 1, leaf("bob").der)
    if fault == "mac":
        payload, path = signed(bob, alice, PacketType.UPDATE, Seq(0), certificate)
    else:
        payload, path = sealed(bob, alice, PacketType.UPDATE, Seq(0), certificate)
        payload = payload[:-8] + bytes([payload[-8] ^ 1]) + payload[-7:]
    alice.receive(payload, path)
    world.network.run(0.5)
    view = alice.view(bob)
    assert view is not None
    assert view.certificate is None


def test_a_flood_of_groups_costs_a_bounded_number_of_verifications() -> None:
    world = World()
    alice = world.node(ALICE, world.policy(), update_rate=1000.0, update_burst=1000.0)
    bob = world.node(BOB, world.policy())
    exchange(alice, bob)
    for number in range(200):
        certificate = Cert(number % 256, 1, 1, 1, leaf("bob", serial=number + 10).der)
        alice.receive(*sealed(bob, alice, PacketType.UPDATE, Seq(number), certificate))
        if number % 20 == 0:
            world.network.run(0.01)
    activity = alice.endpoint.activity
    assert activity["update_received"] == 200
    assert 1 <= activity["certificates_verified"] <= 6
    assert activity["certificates_limited"] > 150
    assert shown(alice, bob).standing is Standing.VERIFIED


def test_broken_groups_are_refused_and_change_nothing() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy())
    exchange(alice, bob)
    descending = (Cert(9, 1, 1, 1, b"x"), Cert(8, 1, 1, 1, b"y"))
    alice.receive(*sealed(bob, alice, PacketType.UPDATE, Seq(0), *descending))
    world.network.run(0.5)
    assert alice.endpoint.activity["certificate_groups_broken"] == 1
    assert notified(bob) == [(NotifyType.INVALID_CERTIFICATE, bytes((8, 1)))]
    assert_joined(alice, bob)


def test_an_association_ends_with_the_certificate_it_depends_on() -> None:
    world = World()
    soon = leaf("bob", not_after_s=NOW_S + 100)
    alice, bob = world.pair(
        world.policy(requires=True), world.policy(soon, send_in=frozenset({PacketType.R2}))
    )
    exchange(alice, bob)
    world.network.run(100 - RENEW_S + 2)
    assert notified(bob) == [(NotifyType.CREDENTIALS_REQUIRED, b"")], "asked in time"
    assert alice.state(bob) is State.ESTABLISHED
    world.network.run(RENEW_S)
    (closed,) = alice.saw(Closed)
    assert closed.reason == "certificate_missing"
    assert [event.standing for event in alice.saw(CertificateJudged)] == ["verified", "expired"]
    assert (alice.sas, bob.sas) == ({}, {})


def test_without_requirement_the_end_of_a_certificate_is_only_shown() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy(leaf("bob", not_after_s=NOW_S + 100)))
    exchange(alice, bob)
    world.network.run(102)
    assert shown(alice, bob).standing is Standing.EXPIRED
    assert_joined(alice, bob)


def test_a_renewed_certificate_comes_when_asked_for() -> None:
    world = World()
    alice, bob = world.pair(
        world.policy(requires=True), world.policy(leaf("bob", not_after_s=NOW_S + 100))
    )
    exchange(alice, bob)
    renewed = leaf("bob", serial=8, not_after_s=NOW_S + 5000)
    bob.endpoint.certificates_changed(world.policy(renewed), world.network.now)
    bob.settle()
    world.network.run(150)
    assert shown(alice, bob).until_s == NOW_S + 5000
    assert_joined(alice, bob)


def test_a_clock_that_is_set_is_noticed_within_the_hour() -> None:
    world = World()
    alice = world.node(ALICE, world.policy(), ual_s=0.0, rekey_s=0.0)
    bob = world.node(BOB, world.policy(leaf("bob")), ual_s=0.0, rekey_s=0.0)
    exchange(alice, bob)
    world.wall.ahead_s += 2 * DAY_S
    world.network.run(3700)
    assert shown(alice, bob).standing is Standing.EXPIRED


def test_a_new_revocation_list_closes_what_depends_on_the_certificate() -> None:
    world = World()
    alice, bob = world.pair(world.policy(requires=True), world.policy(leaf("bob", serial=7)))
    exchange(alice, bob)
    listed = RevocationList.from_der(revocation_list("root", (7, None)))
    alice.endpoint.certificates_changed(
        world.policy(requires=True, lists=(listed,)), world.network.now
    )
    alice.settle()
    world.network.run(1.0)
    assert [event.reason for event in alice.saw(Closed)] == ["certificate_refused"]
    assert NotifyType.INVALID_CERTIFICATE in [kind for kind, _ in notified(bob)]
    assert bob.sas == {}


def test_a_new_requirement_closes_associations_without_a_certificate() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy())
    exchange(alice, bob)
    alice.endpoint.certificates_changed(world.policy(requires=True), world.network.now)
    alice.settle()
    world.network.run(1.0)
    assert [event.reason for event in alice.saw(Closed)] == ["certificate_missing"]


def test_a_later_bad_group_does_not_undo_a_chain_that_holds() -> None:
    world = World()
    alice, bob = world.pair(world.policy(requires=True), world.policy(leaf("bob")))
    exchange(alice, bob)
    bad = Cert(77, 1, 1, 1, leaf("bob", "stranger").der)
    alice.receive(*sealed(bob, alice, PacketType.UPDATE, Seq(0), bad))
    world.network.run(0.5)
    assert shown(alice, bob).standing is Standing.VERIFIED
    assert notified(bob) == [(NotifyType.INVALID_CERTIFICATE, bytes((77, 1)))]
    assert_joined(alice, bob)


def test_asked_for_credentials_by_an_old_notify_costs_one_update() -> None:
    world = World()
    alice, bob = world.pair(world.policy(), world.policy(leaf("bob")))
    exchange(alice, bob)
    for _ in range(5):
        bob.receive(*signed(alice, bob, PacketType.NOTIFY, credentials_required()))
        world.network.run(0.6)
    assert sum(certs_in(world.network, PacketType.UPDATE)) == 1
    world.network.run(WAIT_S)


def test_policies_that_make_no_sense() -> None:
    with pytest.raises(LocalProtocolError, match="I1"):
        CertificatePolicy(send_in=frozenset({PacketType.I1}))
    with pytest.raises(LocalProtocolError, match="clock"):
        CertificatePolicy(trust=TrustStore((root(),)))
