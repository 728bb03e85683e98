"""HIPv1: both hosts draw the same keys, what is sealed opens, peers' octets do no harm."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw.crypto import (
    USABLE_TRANSFORMS,
    WEAK_KEY_KINDS,
    HostIdentity,
    KeymatV1,
    PrivateHostIdentity,
    PuzzleRule,
    compute_mac_v1,
    decrypt_parameter_v1,
    draw_esp_keys,
    draw_hip_keys_v1,
    encrypt_parameter_v1,
    hit_v1_from_hi,
    mac_v1_is_right,
    puzzle_v1_is_solved,
    solve_puzzle_v1,
)
from hipgw.errors import CryptoError
from hipgw.values import EspSuiteV1, HipTransform, Hit

hits = st.binary(min_size=16, max_size=16).map(Hit)
nonces = st.binary(min_size=8, max_size=8)


@functools.cache
def identity_of(kind: str) -> PrivateHostIdentity:
    return PrivateHostIdentity.generate(kind, allow_weak=True)


def with_bit_flipped(octets: bytes, position: int) -> bytes:
    bent = bytearray(octets)
    position %= 8 * len(octets)
    bent[position // 8] ^= 1 << position % 8
    return bytes(bent)


@pytest.mark.parametrize(
    ("kind", "version"),
    [*((kind, 2) for kind in WEAK_KEY_KINDS), ("rsa-1024", 1), ("dsa-1024", 1), ("rsa-2048", 1)],
)
@settings(deadline=None, max_examples=50)
@given(message=st.binary(max_size=300), position=st.integers(0, 2**16))
def test_signatures(kind: str, version: int, message: bytes, position: int) -> None:
    identity = identity_of(kind)
    signature = identity.sign(message, version=version)
    assert identity.public.verify(signature, message, version=version)
    assert not identity.public.verify(
        with_bit_flipped(signature, position), message, version=version
    )
    assert not identity.public.verify(signature, message + b"\0", version=version)


@pytest.mark.parametrize("kind", [*WEAK_KEY_KINDS, "rsa-2048", "ecdsa-p256"])
@settings(deadline=None, max_examples=50)
@given(signature=st.binary(max_size=300), version=st.sampled_from((1, 2)))
def test_arbitrary_signatures_are_wrong(kind: str, signature: bytes, version: int) -> None:
    assert not identity_of(kind).public.verify(signature, b"m", version=version)


@pytest.mark.parametrize("kind", WEAK_KEY_KINDS)
@settings(deadline=None, max_examples=50)
@given(position=st.integers(0, 2**16), cut=st.integers(0, 400))
def test_bent_hi_is_another_identity_or_none(kind: str, position: int, cut: int) -> None:
    public = identity_of(kind).public
    signature = identity_of(kind).sign(b"m")
    for hi in (with_bit_flipped(public.hi, position), public.hi[:cut]):
        try:
            bent = HostIdentity.from_wire(public.algorithm, hi, allow_weak=True)
        except CryptoError:
            continue
        assert (bent.hit_v1 == public.hit_v1) is (hi == public.hi)
        assert bent.verify(signature, b"m") is (hi == public.hi)


@settings(deadline=None)
@given(algorithm=st.sampled_from([3, 9]), hi=st.binary(max_size=420))
def test_arbitrary_hi_raises_only_crypto_error(algorithm: int, hi: bytes) -> None:
    try:
        identity = HostIdentity.from_wire(algorithm, hi, allow_weak=True)
    except CryptoError:
        return
    assert identity.hi == hi


@given(st.binary(max_size=500))
def test_hits_look_like_orchids_of_version_one(hi: bytes) -> None:
    hit = hit_v1_from_hi(hi)
    assert hit.version == 1
    assert hit == hit_v1_from_hi(hi)


@settings(deadline=None)
@given(
    transform=st.sampled_from(HipTransform),
    esp=st.sampled_from(EspSuiteV1),
    kij=st.binary(min_size=48, max_size=200),
    pair=st.tuples(hits, hits).filter(lambda pair: pair[0] != pair[1]),
    i_and_j=st.tuples(nonces, nonces),
)
def test_both_hosts_draw_the_same_keys(
    transform: HipTransform,
    esp: EspSuiteV1,
    kij: bytes,
    pair: tuple[Hit, Hit],
    i_and_j: tuple[bytes, bytes],
) -> None:
    a, b = pair
    keymat_a, keymat_b = KeymatV1(kij, a, b, *i_and_j), KeymatV1(kij, b, a, *i_and_j)
    keys_a = draw_hip_keys_v1(keymat_a, transform, a, b)
    keys_b = draw_hip_keys_v1(keymat_b, transform, b, a)
    assert (keys_a.encryption_out, keys_a.mac_out) == (keys_b.encryption_in, keys_b.mac_in)
    assert (keys_a.encryption_in, keys_a.mac_in) == (keys_b.encryption_out, keys_b.mac_out)
    esp_a = draw_esp_keys(keymat_a, keys_a.keymat_index, esp, a, b)
    esp_b = draw_esp_keys(keymat_b, keys_b.keymat_index, esp, b, a)
    assert esp_a.encryption_out == esp_b.encryption_in
    assert esp_a.authentication_out == esp_b.authentication_in
    assert esp_a.keymat_index_after == esp_b.keymat_index_after


@settings(deadline=None)
@given(st.integers(0, 6000), st.integers(0, 200))
def test_keymat_is_one_stream(offset: int, length: int) -> None:
    keymat = KeymatV1(b"k", Hit(bytes(16)), Hit(b"\x01" * 16), b"i" * 8, b"j" * 8)
    assert keymat.octets(offset, length) == keymat.octets(0, 6200)[offset : offset + length]


@settings(deadline=None)
@given(
    k=st.integers(0, 6),
    pair=st.tuples(hits, hits),
    i=nonces,
    start=nonces,
    rule=st.sampled_from([PuzzleRule.RFC_5201, PuzzleRule.OPENHIP]),
)
def test_what_is_solved_checks(
    k: int, pair: tuple[Hit, Hit], i: bytes, start: bytes, rule: PuzzleRule
) -> None:
    j = solve_puzzle_v1(k, i, *pair, start_j=start, tries=5_000, rule=rule)
    assert j is not None
    assert puzzle_v1_is_solved(k, i, *pair, j, rule=rule)


@settings(deadline=None)
@given(
    transform=st.sampled_from(HipTransform),
    key=st.binary(max_size=64),
    data=st.binary(max_size=200),
    position=st.integers(0, 2**16),
)
def test_macs(transform: HipTransform, key: bytes, data: bytes, position: int) -> None:
    mac = compute_mac_v1(transform, key, data)
    assert mac_v1_is_right(transform, key, data, mac)
    assert not mac_v1_is_right(transform, key, data, with_bit_flipped(mac, position))


@settings(deadline=None)
@given(transform=st.sampled_from(USABLE_TRANSFORMS), blocks=st.integers(1, 20), data=st.data())
def test_encrypted_round_trip(transform: HipTransform, blocks: int, data: st.DataObject) -> None:
    def exactly(octets: int) -> bytes:
        return data.draw(st.binary(min_size=octets, max_size=octets))

    key, iv = exactly(transform.key_octets), exactly(transform.iv_octets)
    plain = exactly(transform.block_octets * blocks)
    text = encrypt_parameter_v1(transform, key, iv, plain)
    assert text[: len(iv)] == iv
    assert len(text) == len(iv) + len(plain)
    assert decrypt_parameter_v1(transform, key, text) == plain


@settings(deadline=None)
@given(transform=st.sampled_from(HipTransform), key=st.binary(max_size=40), text=st.binary())
def test_arbitrary_ciphertexts_raise_only_crypto_error(
    transform: HipTransform, key: bytes, text: bytes
) -> None:
    try:
        plain = decrypt_parameter_v1(transform, key, text)
    except CryptoError:
        return
    assert len(key) == transform.key_octets
    assert len(plain) == len(text) - transform.iv_octets
