"""Several identities on one host: which one speaks, anonymous ones, names, coming and going."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hipgw.errors import LocalProtocolError
from hipgw.proto import (
    Closed,
    Compute,
    EndpointConfig,
    Failed,
    IdentityGone,
    IdentityTraits,
    State,
)
from hipgw.proto.responder_jobs import MakeR1
from hipgw.values import DhGroup, HitSuite, NotifyType
from hipgw.wire import CONTROL_ANONYMOUS, PacketType, parse_packet
from tests.engine.forge import checksummed
from tests.engine.network import Datagram, Network, Node, assert_joined, exchange, identity

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
PUBLIC = identity("ecdsa-p256", 200)
HIDDEN = identity("ecdsa-p256", 201)
ANONYMOUS = IdentityTraits(is_anonymous=True)
NAMED = IdentityTraits(di_type=1, di=b"\x02gw\x00")
USER = IdentityTraits(di_type=2, di=b"me@example.org")


def host(network: Network, config: EndpointConfig = FAST, **traits: IdentityTraits) -> Node:
    named = {"public": PUBLIC, "hidden": HIDDEN}
    by_hit = {named[name].hit: one for name, one in traits.items()}
    return network.node(PUBLIC, HIDDEN, config=config, traits=by_hit)


def a_bits(network: Network) -> dict[PacketType, set[int]]:
    found: dict[PacketType, set[int]] = {}
    for datagram in network.carried:
        packet = parse_packet(datagram.payload)
        found.setdefault(packet.packet_type, set()).add(packet.controls)
    return found


def test_each_identity_has_its_own_association_with_a_peer() -> None:
    network = Network()
    one, other = host(network), network.node(config=FAST)
    for local in (HIDDEN.hit, PUBLIC.hit):
        one.want(other, local=local)
        network.run(0.2)
    pairs = {(view.local, view.peer, view.state) for view in one.endpoint.associations()}
    assert pairs == {(hit, other.hit, State.ESTABLISHED) for hit in (PUBLIC.hit, HIDDEN.hit)}
    theirs = {(view.peer, view.state) for view in other.endpoint.associations()}
    assert theirs == {(hit, State.R2_SENT) for hit in (PUBLIC.hit, HIDDEN.hit)}
    one.endpoint.close_association(other.hit, network.now, local=HIDDEN.hit)
    one.settle()
    network.run(0.2)
    assert [view.local for view in one.endpoint.associations()] == [PUBLIC.hit]


@pytest.mark.parametrize("hidden_begins", [True, False])
def test_the_a_bit_stands_in_r1_and_i2_of_an_anonymous_identity_alone(
    *, hidden_begins: bool
) -> None:
    """Sections 5.1.2 and 5.3: the other packets have no control bits."""
    network = Network()
    one = network.node(HIDDEN, config=FAST, traits={HIDDEN.hit: ANONYMOUS})
    other = network.node(config=FAST)
    first, second = (one, other) if hidden_begins else (other, one)
    exchange(first, second)
    first.close(second)
    network.run(0.2)
    bearer = PacketType.I2 if hidden_begins else PacketType.R1
    assert a_bits(network) == {
        kind: {CONTROL_ANONYMOUS if kind is bearer else 0}
        for kind in (
            PacketType.I1,
            PacketType.R1,
            PacketType.I2,
            PacketType.R2,
            PacketType.CLOSE,
            PacketType.CLOSE_ACK,
        )
    }


@pytest.mark.parametrize("hidden_begins", [True, False])
def test_the_peer_sees_who_is_anonymous(*, hidden_begins: bool) -> None:
    network = Network()
    one = network.node(HIDDEN, config=FAST, traits={HIDDEN.hit: ANONYMOUS})
    other = network.node(config=FAST)
    exchange(*((one, other) if hidden_begins else (other, one)))
    mine, theirs = one.view(other), other.view(one)
    assert mine is not None
    assert theirs is not None
    assert (mine.peer_is_anonymous, theirs.peer_is_anonymous) == (False, True)
    assert_joined(one, other)


def test_a_responder_may_refuse_anonymous_initiators() -> None:
    network = Network()
    one = host(network, hidden=ANONYMOUS)
    other = network.node(config=replace(FAST, accept_anonymous=False))
    one.want(other, local=HIDDEN.hit)
    network.run(30.0)
    assert other.dropped()["anonymous"] >= 1
    assert other.endpoint.associations() == []
    (failed,) = one.saw(Failed)
    assert failed.notify_type == NotifyType.BLOCKED_BY_POLICY
    one.want(other, local=PUBLIC.hit)
    network.run(0.2)
    assert [view.peer for view in other.endpoint.associations()] == [PUBLIC.hit]


def test_a_responder_who_refuses_them_may_be_anonymous_himself() -> None:
    network = Network()
    config = replace(FAST, accept_anonymous=False)
    one = network.node(HIDDEN, config=config, traits={HIDDEN.hit: ANONYMOUS})
    other = network.node(config=config)
    exchange(other, one)
    assert_joined(one, other)


def test_the_a_bit_cannot_be_taken_off_on_the_way() -> None:
    network = Network()
    one = network.node(HIDDEN, config=FAST, traits={HIDDEN.hit: ANONYMOUS})
    other = network.node(config=replace(FAST, accept_anonymous=False))

    def strip(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is not PacketType.I2:
            return [datagram]
        octets = bytearray(datagram.payload)
        octets[6:8] = bytes(2)
        return [replace(datagram, payload=checksummed(bytes(octets), datagram.path))]

    network.wire = strip
    one.want(other)
    network.run(1.0)
    assert set(other.dropped()) == {"mac_wrong"}


def test_an_anonymous_host_never_falls_back_on_its_public_identity() -> None:
    """The Responder's list lacks the suite of the anonymous identity, but not the public one's."""
    network = Network()
    public, hidden = identity("ed25519", 202), identity("ecdsa-p256", 203)
    one = network.node(public, hidden, config=FAST, traits={hidden.hit: ANONYMOUS})
    other = network.node(config=replace(FAST, hit_suites=(HitSuite.EDDSA_CSHAKE128,)))
    one.want(other, local=hidden.hit)
    network.run(1.0)
    assert [event.reason for event in one.saw(Failed)] == ["hit_suite"]
    senders = {parse_packet(one.payload).sender for one in network.sent(PacketType.I1)}
    assert senders == {hidden.hit}


def test_opportunistic_answers_come_from_a_public_identity_if_there_is_one() -> None:
    network = Network()
    config = replace(FAST, answer_opportunistic=True)
    other = network.node(HIDDEN, PUBLIC, config=config, traits={HIDDEN.hit: ANONYMOUS})
    one = network.node(config=FAST)
    one.endpoint.want_peer_at([one.path_to(other)], network.now)
    one.settle()
    network.run(0.2)
    assert [view.peer for view in one.endpoint.associations()] == [PUBLIC.hit]


@pytest.mark.parametrize(
    ("local", "expected"), [(PUBLIC, NAMED), (HIDDEN, USER)], ids=["fqdn", "nai"]
)
def test_each_identity_has_its_own_domain_identifier(
    local: object, expected: IdentityTraits
) -> None:
    network = Network()
    one, other = host(network, public=NAMED, hidden=USER), network.node(config=FAST)
    assert isinstance(local, type(PUBLIC))
    one.want(other, local=local.hit)
    network.run(0.2)
    (view,) = other.endpoint.associations()
    assert (view.peer_di_type, view.peer_di) == (expected.di_type, expected.di)
    # And as Responder, in the R1.
    third = network.node(config=FAST)
    third.want(one, peer=local.hit)
    network.run(0.2)
    (view,) = third.endpoint.associations()
    assert (view.peer_di_type, view.peer_di) == (expected.di_type, expected.di)


def test_a_domain_identifier_has_a_limit() -> None:
    with pytest.raises(LocalProtocolError, match="255"):
        IdentityTraits(di=bytes(256))


# --- coming and going ---


def test_an_identity_that_is_added_answers_and_asks() -> None:
    network = Network()
    one, other = network.node(PUBLIC, config=FAST), network.node(config=FAST)
    one.endpoint.add_identity(HIDDEN, network.now, ANONYMOUS)
    one.identities.append(HIDDEN)
    one.settle()
    assert one.endpoint.identities == (PUBLIC.hit, HIDDEN.hit)
    other.want(one, peer=HIDDEN.hit)
    network.run(0.2)
    (view,) = other.endpoint.associations()
    assert (view.state, view.peer, view.peer_is_anonymous) == (
        State.ESTABLISHED,
        HIDDEN.hit,
        True,
    )
    third = network.node(config=FAST)
    one.want(third, local=HIDDEN.hit)
    network.run(0.2)
    assert [view.peer for view in third.endpoint.associations()] == [HIDDEN.hit]


def test_exchanges_under_way_survive_a_new_identity() -> None:
    network = Network()
    one, other = network.node(PUBLIC, config=FAST), network.node(config=FAST)
    other.want(one)
    network.run(0.025)  # the R1 is there, the I2 under way
    one.endpoint.add_identity(HIDDEN, network.now)
    one.settle()
    network.run(0.2)
    assert other.state(one) is State.ESTABLISHED


def test_a_retired_identity_goes_with_its_last_association() -> None:
    network = Network()
    one, other = host(network), network.node(config=FAST)
    third = network.node(config=FAST)
    one.want(other, local=HIDDEN.hit)
    network.run(0.2)
    one.endpoint.retire_identity(HIDDEN.hit)
    one.settle()
    assert one.endpoint.identities == (PUBLIC.hit, HIDDEN.hit), "its association lives on"
    with pytest.raises(LocalProtocolError, match="on its way out"):
        one.want(third, local=HIDDEN.hit)
    third.want(one, peer=HIDDEN.hit)
    network.run(0.2)
    assert one.dropped() == {"hit_not_ours": 1}
    one.endpoint.close_association(other.hit, network.now, local=HIDDEN.hit)
    one.settle()
    network.run(0.2)
    assert one.saw(Closed)[0].local == HIDDEN.hit
    assert one.endpoint.identities == (PUBLIC.hit,)
    assert [event.local for event in one.events if isinstance(event, IdentityGone)] == [HIDDEN.hit]


def test_no_r1s_are_made_for_a_retired_identity() -> None:
    network = Network()
    one, other = host(network), network.node(config=FAST)
    one.want(other, local=HIDDEN.hit)
    network.run(0.2)
    one.endpoint.retire_identity(HIDDEN.hit)
    one.endpoint.new_puzzles(network.now)
    jobs = [one.job for one in one.endpoint.take_effects() if isinstance(one, Compute)]
    assert {job.identity.hit for job in jobs if isinstance(job, MakeR1)} == {PUBLIC.hit}


def test_another_way_to_show_identities_leaves_the_others_as_they_are() -> None:
    network = Network()
    one, other = host(network, hidden=ANONYMOUS), network.node(config=FAST)
    generations = one.endpoint.activity["r1_generations"]
    one.endpoint.show_identities({PUBLIC.hit: USER, other.hit: USER}, network.now)
    one.endpoint.show_identities({PUBLIC.hit: USER}, network.now)
    one.settle()
    assert one.endpoint.activity["r1_generations"] == generations + 1
    other.want(one, peer=PUBLIC.hit)
    network.run(0.2)
    view = other.view(one)
    assert view is not None
    assert (view.peer_di_type, view.peer_di) == (2, b"me@example.org")
    third = network.node(config=FAST)
    third.want(one, peer=HIDDEN.hit)
    network.run(0.2)
    (hidden,) = third.endpoint.associations()
    assert (hidden.peer_di, hidden.peer_is_anonymous) == (b"", True)


def test_a_retired_identity_without_associations_goes_at_once() -> None:
    network = Network()
    one = host(network)
    one.endpoint.retire_identity(HIDDEN.hit)
    assert one.endpoint.identities == (PUBLIC.hit,)
    with pytest.raises(LocalProtocolError, match="only identity"):
        one.endpoint.retire_identity(PUBLIC.hit)
    with pytest.raises(LocalProtocolError, match="not a HIT"):
        one.endpoint.retire_identity(HIDDEN.hit)
    exchange(one, network.node(config=FAST))


def test_an_i2_for_an_identity_that_has_gone_meanwhile_is_refused() -> None:
    network = Network()
    one, other = host(network), network.node(config=FAST)
    network.hold_jobs(one)
    other.want(one, peer=HIDDEN.hit)
    network.run(0.1)
    one.endpoint.retire_identity(HIDDEN.hit)
    network.finish_job(one, "AcceptI2")
    network.run(0.1)
    assert one.endpoint.associations() == []
    assert one.dropped()["hit_not_ours"] >= 1


def test_a_retired_identity_can_come_back() -> None:
    network = Network()
    one, other = host(network), network.node(config=FAST)
    one.want(other, local=HIDDEN.hit)
    network.run(0.2)
    one.endpoint.retire_identity(HIDDEN.hit)
    one.endpoint.add_identity(HIDDEN, network.now)
    one.settle()
    third = network.node(config=FAST)
    third.want(one, peer=HIDDEN.hit)
    network.run(0.2)
    assert [view.state for view in third.endpoint.associations()] == [State.ESTABLISHED]
