"""Any CERT parameters in authentic packets: nothing raises, memory stays bounded, rules hold.

Where a certificate is required, an association stands only as long as a chain holds.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hipgw.crypto.certificates_chain import TrustStore
from hipgw.proto import (
    CertificateObserver,
    CertificatePolicy,
    EndpointConfig,
    Passing,
    Standing,
    State,
)
from hipgw.proto.certificate_groups import GROUP_CERTIFICATES_MOST, GROUP_OCTETS_MOST
from hipgw.wire import Cert, PacketType, Seq
from tests.engine.forge import sealed, signed
from tests.engine.network import Network, Node
from tests.unit.crypto.certificate_forge import NOW_S, between, identity, leaf, root

GOOD, CHAINED, MIDDLE = leaf("bob"), leaf("bob", "m1"), between("m1", "root")
STRANGE, OTHER = leaf("bob", "stranger"), leaf("carol")
OCTETS = st.one_of(
    st.sampled_from([one.der for one in (GOOD, CHAINED, MIDDLE, STRANGE, OTHER)]),
    st.sampled_from([GOOD.der[:-1], GOOD.der + b"\0", b"", bytes(20) + b"http://example.org/c"]),
    st.binary(max_size=64),
)


@st.composite
def certs(draw: st.DrawFn) -> Cert:
    count = draw(st.integers(1, 3) | st.sampled_from([8, 9, 255]))
    number = draw(st.integers(1, min(count, 4)))
    kind = draw(st.sampled_from([1, 1, 1, 2, 3, 5, 7, 9]))
    return Cert(draw(st.integers(0, 3)), count, number, kind, draw(OCTETS))


PACKETS = st.lists(st.lists(certs(), min_size=1, max_size=3), max_size=8)
MODERATE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def joined(*, is_required: bool) -> tuple[Network, Node, Node]:
    network = Network()
    trust = TrustStore((root(),))
    policy = CertificatePolicy(
        trust=trust, requires=lambda _peer: is_required, unix_now=lambda: float(NOW_S)
    )
    alice = network.node(identity("alice"), config=EndpointConfig(certificates=policy))
    shows = CertificatePolicy({identity("bob").hit: (GOOD,)})
    bob = network.node(identity("bob"), config=EndpointConfig(certificates=shows))
    alice.want(bob)
    network.run(0.2)
    assert alice.state(bob) is State.ESTABLISHED
    return network, alice, bob


@MODERATE
@given(PACKETS, st.booleans())
def test_any_certificates_in_updates(packets: list[list[Cert]], is_required: bool) -> None:
    network, alice, bob = joined(is_required=is_required)
    for number, parameters in enumerate(packets):
        if sum(len(one.certificate) for one in parameters) > 1500:
            continue
        ordered = sorted(parameters, key=lambda one: one.group) if number % 2 else parameters
        alice.receive(*sealed(bob, alice, PacketType.UPDATE, Seq(number), *ordered))
        network.run(0.3)
    view = alice.view(bob)
    assert view is not None
    assert view.state is State.ESTABLISHED, "one chain that holds is enough"
    assert view.certificate is not None
    assert view.certificate.standing is Standing.VERIFIED
    (association,) = alice.endpoint._core.associations.values()
    credentials = association.credentials
    assert credentials is not None
    held = credentials.assembler._parts
    assert len(held) <= GROUP_CERTIFICATES_MOST
    assert sum(len(one.certificate) for one in held.values()) <= GROUP_OCTETS_MOST
    assert alice.endpoint.next_deadline() is None or alice.endpoint.next_deadline() > network.now  # type: ignore[operator]


@MODERATE
@given(PACKETS)
def test_a_middlebox_takes_anything(packets: list[list[Cert]]) -> None:
    network = Network()
    alice, bob = network.node(identity("alice")), network.node(identity("bob"))
    observer = CertificateObserver(TrustStore((root(),)))
    for number, parameters in enumerate(packets):
        if sum(len(one.certificate) for one in parameters) > 1500:
            continue
        payload, _ = signed(bob, alice, PacketType.UPDATE, Seq(number), *parameters)
        seen = observer.on_packet(payload, float(number), NOW_S)
        assert seen is not None
        if seen.passing is Passing.ACCEPTED:
            assert seen.chain is not None
            assert seen.chain.path[0] in {GOOD, CHAINED}
