"""A base exchange with everything that RFC 7401 and RFC 7402 number, and ESP under its keys.

Every pair of neighbouring choices meets at least once: group and cipher, cipher and ESP suite, the
identities of both sides.  What the exchange installs goes through the kernels of the data path and
through the slow ESP of `tests/reference`, both ways.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from hipgw._fastpath.contexts import OpenContext, SealContext
from hipgw.crypto import KEY_KINDS, usable_dh_groups
from hipgw.proto import EndpointConfig
from hipgw.values import (
    ESP_SUITES_V1_ONLY,
    FULL_ICV_OF,
    DhGroup,
    Direction,
    EspSuite,
    HipCipher,
    HitSuite,
    SecurityAssociation,
)
from hipgw.wire import DhGroupList, EspTransform, HipCipherList, PacketType, parse_packet
from tests.engine.network import Network, Node, assert_joined, exchange, identity
from tests.reference.esp import IV, Inbound, Keys, seal
from tests.twin.batches import Batch

UDP = 17
GROUPS = usable_dh_groups()
SUITES = sorted(set(EspSuite) - ESP_SUITES_V1_ONLY - set(FULL_ICV_OF.values()))
CIPHERS = sorted(HipCipher)
FAST = DhGroup.NIST_P256
DEPRECATED = {2, 3, 4, 5, 6}
"""ESP suites of RFC 7402 section 5.1.2 that must not be offered any more."""


def made(config: EndpointConfig, kinds: tuple[str, str] = ("ecdsa-p256",) * 2) -> tuple[Node, Node]:
    network = Network()
    one = network.node(identity(kinds[0], 210), config=config)
    other = network.node(identity(kinds[1], 211), config=config)
    exchange(one, other)
    assert_joined(one, other)
    return one, other


def way(sender: Node, receiver: Node) -> tuple[SecurityAssociation, SecurityAssociation]:
    """The outbound SA of one host and the inbound SA of the other that it leads to."""
    spi = sender.current_out[sender.hit, receiver.hit]
    out = sender.sas[Direction.OUT, spi, receiver.hit]
    return out, receiver.sas[Direction.IN, spi, sender.hit]


def assert_esp_flows(sender: Node, receiver: Node) -> None:
    """Kernel to kernel, kernel to reference, reference to kernel."""
    out, into = way(sender, receiver)
    keys = Keys(int(out.suite), out.encryption_key, out.authentication_key)
    payload = b"what both hosts have agreed on"
    sealer = SealContext()
    sealer.add(int(out.spi), int(out.suite), out.encryption_key, out.authentication_key)
    batch = Batch.of([payload], next_header=UDP, family=6)
    assert sealer.seal_batch(batch.arena, batch.raw) == 1
    packet = batch.packet(0)
    assert Inbound(keys).open_batch([packet]) == [(payload, UDP)]
    other_iv = bytes(range(IV[keys.suite]))
    slow = seal(keys, int(out.spi), 2, payload, next_header=UDP, iv=other_iv)
    opener = OpenContext()
    opener.add(int(into.spi), int(into.suite), into.encryption_key, into.authentication_key)
    batch = Batch.of([packet, slow], room=0)
    assert opener.open_batch(batch.arena, batch.raw) == 2
    assert batch.packets() == [payload, payload]


def test_nothing_of_the_registries_is_left_out() -> None:
    assert {int(group) for group in GROUPS} == {3, 4, 7, 8, 9, 10, 11}
    assert {int(cipher) for cipher in CIPHERS} == {1, 2, 4}
    assert {int(suite) for suite in SUITES} == set(range(1, 16)) - DEPRECATED
    kinds = {identity(kind, 210).public.suite for kind in KEY_KINDS}
    assert kinds == set(HitSuite) - {HitSuite.ECDSA_LOW_SHA1}, "ECDSA_LOW keys are weak"


@pytest.mark.parametrize(
    ("group", "cipher"), list(product(GROUPS, CIPHERS)), ids=lambda one: one.name.lower()
)
def test_every_group_with_every_hip_cipher(group: DhGroup, cipher: HipCipher) -> None:
    one, other = made(
        EndpointConfig(dh_groups=(group,), hip_ciphers=(cipher,), is_legacy=lambda _: True)
    )
    for node, peer in ((one, other), (other, one)):
        view = node.view(peer)
        assert view is not None
        assert (view.dh_group, view.hip_cipher) == (group, cipher)
    assert_esp_flows(one, other)


@pytest.mark.parametrize(
    ("suite", "cipher"), list(product(SUITES, CIPHERS)), ids=lambda one: one.name.lower()
)
def test_every_esp_suite_with_every_hip_cipher(suite: EspSuite, cipher: HipCipher) -> None:
    one, other = made(EndpointConfig(dh_groups=(FAST,), hip_ciphers=(cipher,), esp_suites=(suite,)))
    assert {sa.suite for sa in (*one.sas.values(), *other.sas.values())} == {suite}
    assert_esp_flows(one, other)
    assert_esp_flows(other, one)
    (r1,) = one.network.sent(PacketType.R1)
    packet = parse_packet(r1.payload)
    assert packet.require(EspTransform).suites == (int(suite),)
    assert packet.require(HipCipherList).ciphers == (int(cipher),)


@pytest.mark.parametrize(("initiator", "responder"), list(product(KEY_KINDS, KEY_KINDS)), ids=str)
def test_every_kind_of_identity_with_every_other(initiator: str, responder: str) -> None:
    """The Responder's HIT suite gives the hash, so it also sizes the MAC keys before ESP's."""
    one, other = made(EndpointConfig(dh_groups=(FAST,)), (initiator, responder))
    view = one.view(other)
    assert view is not None
    assert view.hit_suite is other.identities[0].public.suite
    assert_esp_flows(one, other)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name.lower())
def test_the_responders_first_common_group_wins(group: DhGroup) -> None:
    """RFC 7401 section 5.2.6: the Responder's preference, whatever the Initiator likes best."""
    network = Network()
    groups = (*(one for one in reversed(GROUPS) if one != group), group)
    mine = EndpointConfig(dh_groups=groups, is_legacy=lambda _: True)
    theirs = replace(mine, dh_groups=(group,))
    one, other = network.node(config=mine), network.node(config=theirs)
    exchange(one, other)
    view = one.view(other)
    assert view is not None
    assert view.dh_group is group
    (i1,) = network.sent(PacketType.I1)
    offered = parse_packet(i1.payload).require(DhGroupList).groups
    assert offered == tuple(int(one) for one in mine.dh_groups)


def test_the_first_offered_suites_that_the_initiator_accepts_win() -> None:
    network = Network()
    config = EndpointConfig(dh_groups=(FAST,))
    mine = replace(
        config,
        hip_ciphers=(HipCipher.AES_128_CBC, HipCipher.AES_256_CBC),
        esp_suites=(EspSuite.AES_CCM_16, EspSuite.AES_GCM_16),
    )
    theirs = replace(
        config,
        hip_ciphers=(HipCipher.AES_256_CBC, HipCipher.AES_128_CBC),
        esp_suites=(EspSuite.AES_GMAC, EspSuite.AES_GCM_16, EspSuite.AES_CCM_16),
    )
    one, other = network.node(config=mine), network.node(config=theirs)
    exchange(one, other)
    view = one.view(other)
    assert view is not None
    # The Initiator takes the first of the R1's list that it accepts (sections 5.2.8, 6.8).
    assert (view.hip_cipher, view.esp_suite) == (HipCipher.AES_256_CBC, EspSuite.AES_GCM_16)
