"""Compatibility switches beside certificates, rekeys and moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from hipgw.crypto.certificates_chain import TrustStore
from hipgw.proto import CertificatePolicy, EndpointConfig, Standing, State
from hipgw.values import DhGroup, EspSuite, Hit, Quirk, Quirks
from hipgw.values.quirks import NO_QUIRKS, PRESETS
from hipgw.wire import PacketType, ParameterType, find_tlv
from tests.engine.network import Network, Node, assert_joined, exchange
from tests.unit.crypto.certificate_forge import NOW_S, identity, leaf, root

ALICE, BOB = identity("alice"), identity("bob")
EVERYWHERE = frozenset({PacketType.R1, PacketType.I2, PacketType.R2, PacketType.UPDATE})
CONFIG = EndpointConfig(
    dh_groups=(DhGroup.NIST_P256,), esp_suites=(EspSuite.AES_128_CBC_HMAC_SHA256,)
)


def certified(name: str, switches: Mapping[Hit, Quirks]) -> EndpointConfig:
    key = identity(name)
    policy = CertificatePolicy(
        {key.hit: (leaf(name),)},
        EVERYWHERE,
        TrustStore((root(),)),
        lambda _: True,
        lambda: float(NOW_S),
    )
    return replace(
        CONFIG, certificates=policy, compatibility=lambda hit: switches.get(hit, NO_QUIRKS)
    )


def switched(quirks: Quirks) -> tuple[Network, Node, Node]:
    """Two hosts that require certificates, each with those switches for the other."""
    network = Network()
    alice = network.node(ALICE, config=certified("alice", {BOB.hit: quirks}))
    bob = network.node(BOB, config=certified("bob", {ALICE.hit: quirks}))
    return network, alice, bob


@pytest.mark.parametrize(
    "quirks",
    [frozenset({Quirk.R2_SIGNATURE_2}), PRESETS["cutehip"], PRESETS["hip-vpls"]],
    ids=["r2-signature-2", "cutehip", "hip-vpls"],
)
def test_certificates_are_shown_and_verified_with_switches(quirks: Quirks) -> None:
    network, alice, bob = switched(quirks)
    exchange(alice, bob)
    assert_joined(alice, bob)
    for node, peer in ((alice, bob), (bob, alice)):
        view = node.view(peer)
        assert view is not None
        assert view.certificate is not None
        assert view.certificate.standing is Standing.VERIFIED
        assert view.quirks
    (r2,) = network.sent(PacketType.R2)
    signed_by = ParameterType.HIP_SIGNATURE_2, ParameterType.HIP_SIGNATURE
    assert find_tlv(r2.payload, ParameterType.CERT) is not None
    assert find_tlv(r2.payload, signed_by[0]) is not None
    assert find_tlv(r2.payload, signed_by[1]) is None
    assert (alice.dropped(), bob.dropped()) == ({}, {})


@pytest.mark.parametrize("preset", ["cutehip", "hip-vpls", "hipl"])
def test_rekeys_moves_and_the_end_with_switches(preset: str) -> None:
    network, alice, bob = switched(PRESETS[preset])
    exchange(alice, bob)
    assert alice.send_esp(bob)
    assert alice.endpoint.rekey_association(bob.hit, network.now)
    alice.settle()
    network.run(0.5)
    alice.move("192.0.2.77", "2001:db8::77")
    network.run(300.0)  # past the time for which replaced SAs are kept
    assert_joined(alice, bob)
    view = bob.view(alice)
    assert view is not None
    assert (str(view.path.peer), view.rekeys) == ("192.0.2.77", 1)
    alice.close(bob)
    network.run(0.5)
    assert alice.endpoint.associations() == []
    assert bob.state(alice) is State.CLOSED
    assert (alice.dropped(), bob.dropped()) == ({}, {})
