"""What the data plane carries is what the registries say, and nothing deprecated by default."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hipgw._fastpath.contexts import OpenContext, SealContext, shape_of_suite
from hipgw.daemon.config import HipOptions
from hipgw.proto import EndpointConfig
from hipgw.proto.negotiation import proposal_from_i2, proposal_from_r1
from hipgw.proto.refusals import RefusedError
from hipgw.values import (
    ESP_SHAPES,
    ESP_SHAPES_V1,
    ESP_SUITE_OF_V1,
    ESP_SUITES_IN_CLEAR,
    ESP_SUITES_V1_ONLY,
    FULL_ICV_OF,
    NULL_HIT,
    EspSuite,
    EspSuiteV1,
)
from hipgw.wire import (
    DhGroupList,
    DiffieHellman,
    EspTransform,
    HipCipherList,
    HipPacket,
    PacketType,
    TransportFormatList,
)
from tests.twin.batches import Batch

GROUPS = EndpointConfig().dh_groups
UNWANTED = ESP_SUITES_IN_CLEAR | ESP_SUITES_V1_ONLY | {EspSuite.AES_128_CBC_HMAC_SHA1}


@pytest.mark.parametrize("suite", EspSuite, ids=lambda suite: suite.name)
def test_kernel_and_registry_agree_on_sizes(suite: EspSuite) -> None:
    shape = ESP_SHAPES[suite]
    assert shape_of_suite(suite) == (
        shape.encryption_key_octets,
        shape.authentication_key_octets,
        shape.iv_octets,
        shape.icv_octets,
        shape.alignment_octets,
    )


def test_the_kernel_carries_nothing_beyond_the_registry() -> None:
    carried = [suite for suite in range(0x400) if any(shape_of_suite(suite))]
    assert carried == sorted(EspSuite)


def test_numbers_of_hipv1_stand_apart_from_those_of_hipv2() -> None:
    assert set(EspSuiteV1) - set(ESP_SUITE_OF_V1) == {EspSuiteV1.BLOWFISH_CBC_HMAC_SHA1}
    for number, suite in ESP_SUITE_OF_V1.items():
        assert suite == number + 0x100
        assert suite.name == f"V1_{number.name}"
        assert ESP_SHAPES[suite] == ESP_SHAPES_V1[number]
    assert frozenset(ESP_SUITE_OF_V1.values()) == ESP_SUITES_V1_ONLY
    ours = ESP_SUITES_V1_ONLY | set(FULL_ICV_OF.values())
    assert all(suite < 0x100 for suite in set(EspSuite) - ours)


def test_suites_with_a_full_icv_differ_in_nothing_else() -> None:
    for suite, full in FULL_ICV_OF.items():
        assert full == suite + 0x200
        assert full.name == f"FULL_{suite.name}"
        assert ESP_SHAPES[full] == replace(ESP_SHAPES[suite], icv_octets=32)
        assert (full in ESP_SUITES_IN_CLEAR) is (suite in ESP_SUITES_IN_CLEAR)
    assert set(FULL_ICV_OF) == {suite for suite in EspSuite if suite.name.endswith("SHA256")} - set(
        FULL_ICV_OF.values()
    )


@pytest.mark.parametrize("suite", FULL_ICV_OF, ids=lambda suite: suite.name)
def test_an_icv_of_another_length_is_refused(suite: EspSuite) -> None:
    """Same keys: only how much of the HMAC is sent differs."""
    shape, full = ESP_SHAPES[suite], FULL_ICV_OF[suite]
    keys = bytes(shape.encryption_key_octets), bytes(shape.authentication_key_octets)
    payload = b"an ICMP echo request"
    for sealed_by, opened_by, outcome in (
        (full, full, "none"),
        (full, suite, "icv_wrong"),
        (suite, full, "icv_wrong"),
    ):
        sealer, opener = SealContext(), OpenContext()
        sealer.add(0x1234, sealed_by, *keys)
        opener.add(0x1234, opened_by, *keys)
        batch = Batch.of([payload * 4], next_header=58, family=6)
        assert sealer.seal_batch(batch.arena, batch.raw) == 1
        opener.open_batch(batch.arena, batch.raw)
        assert batch.reason(0) == outcome


@pytest.mark.parametrize("suite", EspSuite, ids=lambda suite: suite.name)
def test_the_registry_knows_which_suites_send_in_clear(suite: EspSuite) -> None:
    shape = ESP_SHAPES[suite]
    context = SealContext()
    context.add(
        0x1234, suite, bytes(shape.encryption_key_octets), bytes(shape.authentication_key_octets)
    )
    batch = Batch.of([b"seen by everyone on the way"], next_header=17, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == 1
    assert (b"seen by everyone" in batch.packet(0)) is (suite in ESP_SUITES_IN_CLEAR)


def test_defaults_offer_neither_clear_nor_deprecated_suites() -> None:
    expected = (
        EspSuite.AES_GCM_16,
        EspSuite.AES_128_CBC_HMAC_SHA256,
        EspSuite.AES_256_CBC_HMAC_SHA256,
    )
    assert EndpointConfig().esp_suites == expected
    assert HipOptions().esp_suites == expected
    assert not UNWANTED & set(expected)


@pytest.mark.parametrize("suite", sorted(UNWANTED), ids=lambda suite: suite.name)
def test_an_unwanted_suite_is_refused_until_configured(suite: EspSuite) -> None:
    """RFC 7402 section 3.3.5; whichever side the peer is."""
    with pytest.raises(RefusedError, match="esp_suite"):
        proposal_from_r1(offer(PacketType.R1, suite), EndpointConfig(), GROUPS)
    with pytest.raises(RefusedError, match="esp_suite"):
        proposal_from_i2(offer(PacketType.I2, suite), EndpointConfig(), GROUPS)
    allowing = EndpointConfig(esp_suites=(suite,))
    assert proposal_from_i2(offer(PacketType.I2, suite), allowing, GROUPS).esp_suite is suite


def offer(kind: PacketType, suite: EspSuite) -> HipPacket:
    """As much of a packet as the choice looks at."""
    groups, ciphers = EndpointConfig().dh_groups, EndpointConfig().hip_ciphers
    parameters = (
        DiffieHellman(groups[0], b"public"),
        HipCipherList(ciphers[:1]),
        DhGroupList(groups[:1]),
        TransportFormatList((4095,)),
        EspTransform((suite,)),
    )
    return HipPacket(kind, NULL_HIT, NULL_HIT, parameters)


@pytest.mark.parametrize("suite", EspSuite, ids=lambda suite: suite.name)
def test_keys_count_in_every_octet(suite: EspSuite) -> None:
    """A receiver whose keys differ in one bit, anywhere, salt included, opens nothing."""
    shape = ESP_SHAPES[suite]
    lengths = (shape.encryption_key_octets, shape.authentication_key_octets)
    encryption, authentication = (bytes(range(7, 7 + length)) for length in lengths)
    payload = b"for one receiver only"
    sealer = SealContext()
    sealer.add(1, suite, encryption, authentication)
    sealed = Batch.of([payload], next_header=17, family=6)
    assert sealer.seal_batch(sealed.arena, sealed.raw) == 1
    packet = sealed.packet(0)
    assert opens(suite, encryption, authentication, packet) == payload
    for at in range(len(encryption)):
        assert opens(suite, flip(encryption, at), authentication, packet) != payload
    for at in range(len(authentication)):
        assert opens(suite, encryption, flip(authentication, at), packet) is None


def opens(suite: int, encryption: bytes, authentication: bytes, packet: bytes) -> bytes | None:
    """What a receiver reads; None when it drops the packet."""
    context = OpenContext()
    context.add(1, suite, encryption, authentication)
    batch = Batch.of([packet], room=0)
    return batch.packet(0) if context.open_batch(batch.arena, batch.raw) else None


def flip(key: bytes, at: int) -> bytes:
    """One bit changed; not the lowest, which DES takes for parity and ignores."""
    return key[:at] + bytes([key[at] ^ 0x10]) + key[at + 1 :]
