"""HIPv1 beside what came for HIPv2: certificates, rights taken back, identities, NULL HITs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from hipgw.crypto import PrivateHostIdentity
from hipgw.crypto.certificates_chain import TrustStore
from hipgw.errors import LocalProtocolError
from hipgw.proto import (
    CertificatePolicy,
    Closed,
    EndpointConfig,
    IdentityGone,
    PeerNotFound,
    Standing,
    State,
)
from hipgw.values import NULL_HIT, DhGroup, HitSuite
from hipgw.wire import Cert, PacketType
from tests.engine.network import (
    FAST_V1,
    Network,
    Node,
    Speech,
    assert_joined,
    exchange,
    identity,
    parse_packet,
)
from tests.engine.test_hipv1 import as_configured, pair
from tests.unit.crypto.certificate_forge import NOW_S, OLD, leaf, root
from tests.unit.crypto.certificate_forge import identity as certified

ANYWHERE = frozenset({PacketType.R1, PacketType.I2, PacketType.R2, PacketType.UPDATE})


@pytest.fixture(autouse=True)
def _v1() -> Iterator[None]:
    Speech.version = 1
    yield
    Speech.version = 2


def certificates(*, requires: bool = False, shows: bool = True) -> CertificatePolicy:
    chains = {certified(OLD).hit: (leaf(OLD),)} if shows else {}
    trust = TrustStore((root(),))
    return CertificatePolicy(chains, ANYWHERE, trust, lambda _: requires, lambda: float(NOW_S))


def host(network: Network, policy: CertificatePolicy, key: PrivateHostIdentity) -> Node:
    node = network.node(key, config=replace(FAST_V1, certificates=policy))
    node.dialect = Speech.dialect()
    return node


# --- certificates ---


@pytest.mark.parametrize("is_initiator", [True, False])
def test_the_chain_of_a_key_is_shown_under_its_hit_of_version_1(is_initiator: bool) -> None:
    network = Network()
    shows = host(network, certificates(), certified(OLD))
    asks = as_configured(
        network, replace(FAST_V1, certificates=certificates(requires=True, shows=False))
    )
    one, other = (shows, asks) if is_initiator else (asks, shows)
    exchange(one, other)
    assert_joined(one, other)
    view = asks.view(shows)
    assert view is not None
    assert view.certificate is not None
    assert view.certificate.standing is Standing.VERIFIED
    kind = PacketType.I2 if is_initiator else PacketType.R1
    assert [len(parse_packet(one.payload).all(Cert)) for one in network.sent(kind)] == [1]


# --- rights taken back ---


@dataclass
class Allowance:
    """What a configuration says of a peer, until somebody says otherwise."""

    is_given: bool = True

    def config(self) -> EndpointConfig:
        return replace(FAST_V1, is_legacy=lambda _: self.is_given, speaks_v1=lambda: self.is_given)

    def take_back(self, node: Node) -> None:
        self.is_given = False
        node.endpoint.legacy_changed(node.network.now)
        node.settle()


def test_an_association_of_version_1_is_closed_when_its_peer_is_legacy_no_more() -> None:
    allowance = Allowance()
    one, other = pair(FAST_V1, allowance.config())
    exchange(one, other)
    allowance.take_back(other)
    one.network.run(0.5)
    assert [event.reason for event in other.saw(Closed)] == ["policy"]
    assert not other.sas
    assert not one.sas
    assert other.endpoint.associations() == [], "its CLOSE was acknowledged"
    assert other.dropped() == {}
    one.network.run(1500.0)
    assert one.endpoint.associations() == []


def test_a_weak_group_of_version_2_is_closed_likewise_and_a_strong_one_stays() -> None:
    Speech.version = 2
    allowance, network = Allowance(), Network()
    groups = (DhGroup.MODP_1536, DhGroup.NIST_P256)
    both = network.node(config=replace(allowance.config(), dh_groups=groups))
    weak = network.node(config=replace(FAST_V1, dh_groups=(DhGroup.MODP_1536,)))
    strong = network.node(config=EndpointConfig(dh_groups=(DhGroup.NIST_P256,)))
    exchange(weak, both)
    exchange(strong, both)
    assert [one.is_legacy for one in both.endpoint.associations()] == [True, False]
    allowance.take_back(both)
    network.run(0.5)
    assert [one.peer for one in both.endpoint.associations()] == [strong.hit]


# --- identities and the NULL HIT ---


def test_an_identity_goes_under_both_its_names() -> None:
    one, other = pair()
    key = certified("spare", "rsa-2048")
    one.endpoint.add_identity(key, one.network.now)
    one.settle()
    one.want(other, local=key.hit_v1)
    one.network.run(0.5)
    assert one.state(other) is State.ESTABLISHED
    one.endpoint.retire_identity(key.hit_v1)
    one.settle()
    assert not [event for event in one.events if isinstance(event, IdentityGone)]
    one.close(other)
    one.network.run(300.0)
    assert [event.local for event in one.events if isinstance(event, IdentityGone)] == [key.hit]
    assert not {key.hit, key.hit_v1} & set(one.endpoint.identities)


def test_nobody_is_sought_in_version_1_unless_everybody_is_legacy() -> None:
    strict = replace(FAST_V1, is_legacy=lambda _: False)
    one, other = pair(strict, replace(FAST_V1, answer_opportunistic=True))
    with pytest.raises(LocalProtocolError, match="HIPv1"):
        one.endpoint.want_peer_at([one.path_to(other)], one.network.now, local=one.hit)
    assert not one.network.carried


def test_version_1_finds_who_is_at_an_address_where_everybody_is_legacy() -> None:
    """Whatever stands where HITs of HIPv2 have their suite."""
    network = Network()
    one = as_configured(network, FAST_V1)
    keys = (identity("rsa-1024", 200 + number) for number in range(100))
    key = next(each for each in keys if each.hit_v1.suite > max(HitSuite))
    Speech.version = 2
    other = network.node(key, config=replace(FAST_V1, answer_opportunistic=True))
    Speech.version = 1
    other.dialect = one.dialect
    one.endpoint.want_peer_at([one.path_to(other)], one.network.now, local=one.hit)
    one.settle()
    one.network.run(0.5)
    assert [event.peer for event in one.events if isinstance(event, PeerNotFound)] == []
    (i1,) = one.network.sent(PacketType.I1)
    assert parse_packet(i1.payload).receiver == NULL_HIT
    assert one.send_esp(other)
    assert_joined(one, other)
