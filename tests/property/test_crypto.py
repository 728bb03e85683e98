"""What is signed verifies, what is bent does not, and peers' octets raise only CryptoError."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw.crypto import (
    PUBLIC_OCTETS,
    SHARED_OCTETS,
    DhPrivateKey,
    HostIdentity,
    Keymat,
    PrivateHostIdentity,
    compute_mac,
    decrypt_parameter,
    draw_esp_keys,
    draw_hip_keys,
    encrypt_parameter,
    generate_dh,
    mac_is_right,
    puzzle_is_solved,
    solve_puzzle,
)
from hipgw.errors import CryptoError
from hipgw.values import RHASH_OCTETS, DhGroup, EspSuite, HipCipher, Hit, HitSuite

KINDS = ["ecdsa-p256", "ecdsa-p384", "ed25519", "ed448", "rsa-2048"]
FAST_SUITES = [HitSuite.RSA_DSA_SHA256, HitSuite.ECDSA_SHA384, HitSuite.ECDSA_LOW_SHA1]
SLOW_GROUPS = {DhGroup.MODP_6144, DhGroup.MODP_8192}  # tens of milliseconds an exchange
GROUPS = [group for group in DhGroup if group not in SLOW_GROUPS]

hits = st.binary(min_size=16, max_size=16).map(Hit)


@functools.cache
def identity_of(kind: str) -> PrivateHostIdentity:
    return PrivateHostIdentity.generate(kind)


@functools.cache
def keys_of(group: DhGroup) -> tuple[DhPrivateKey, DhPrivateKey]:
    return generate_dh(group), generate_dh(group)


def with_bit_flipped(octets: bytes, position: int) -> bytes:
    bent = bytearray(octets)
    position %= 8 * len(octets)
    bent[position // 8] ^= 1 << position % 8
    return bytes(bent)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(message=st.binary(max_size=300), position=st.integers(0, 2**16))
def test_signatures(kind: str, message: bytes, position: int) -> None:
    identity = identity_of(kind)
    signature = identity.sign(message)
    assert identity.public.verify(signature, message)
    assert not identity.public.verify(with_bit_flipped(signature, position), message)
    assert not identity.public.verify(signature, message + b"\0")
    if message:
        assert not identity.public.verify(signature, with_bit_flipped(message, position))


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(signature=st.binary(max_size=300), message=st.binary(max_size=50))
def test_arbitrary_signatures_are_wrong(kind: str, signature: bytes, message: bytes) -> None:
    assert not identity_of(kind).public.verify(signature, message)


@settings(deadline=None)
@given(algorithm=st.one_of(st.sampled_from([3, 5, 7, 9, 13]), st.integers()), hi=st.binary())
def test_arbitrary_hi_raises_only_crypto_error(algorithm: int, hi: bytes) -> None:
    try:
        identity = HostIdentity.from_wire(algorithm, hi, allow_weak=True)
    except CryptoError:
        return
    assert identity.hi == hi


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(position=st.integers(0, 2**16), cut=st.integers(0, 400))
def test_bent_hi_is_another_identity_or_none(kind: str, position: int, cut: int) -> None:
    public = identity_of(kind).public
    signature = identity_of(kind).sign(b"m")
    for hi in (with_bit_flipped(public.hi, position), public.hi[:cut]):
        try:
            bent = HostIdentity.from_wire(public.algorithm, hi)
        except CryptoError:
            continue
        assert (bent.hit == public.hit) is (hi == public.hi)
        assert bent.verify(signature, b"m") is (hi == public.hi)


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
@settings(deadline=None)
@given(data=st.data())
def test_arbitrary_public_values_raise_only_crypto_error(
    group: DhGroup, data: st.DataObject
) -> None:
    size = PUBLIC_OCTETS[group]
    public = data.draw(st.one_of(st.binary(max_size=450), st.binary(min_size=size, max_size=size)))
    mine, _ = keys_of(group)
    try:
        shared = mine.exchange(public)
    except CryptoError:
        return
    assert len(public) == size
    assert len(shared) == SHARED_OCTETS[group]


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
@settings(deadline=None)
@given(scalar=st.integers(2, 2**159))
def test_dh_agrees_both_ways(group: DhGroup, scalar: int) -> None:
    mine, _ = keys_of(group)
    peer = DhPrivateKey.from_scalar(group, scalar.to_bytes(20, "big"))
    assert mine.exchange(peer.public) == peer.exchange(mine.public)


@settings(deadline=None)
@given(
    suite=st.sampled_from(FAST_SUITES),
    cipher=st.sampled_from(HipCipher),
    esp=st.sampled_from(EspSuite),
    kij=st.binary(min_size=20, max_size=100),
    hit_pair=st.tuples(hits, hits).filter(lambda pair: pair[0] != pair[1]),
    nonces=st.tuples(st.binary(), st.binary()),
)
def test_both_hosts_draw_the_same_keys(  # noqa: PLR0917 - drawn by name
    suite: HitSuite,
    cipher: HipCipher,
    esp: EspSuite,
    kij: bytes,
    hit_pair: tuple[Hit, Hit],
    nonces: tuple[bytes, bytes],
) -> None:
    a, b = hit_pair
    keymat_a, keymat_b = Keymat(suite, kij, a, b, *nonces), Keymat(suite, kij, b, a, *nonces)
    keys_a = draw_hip_keys(keymat_a, cipher, suite, a, b)
    keys_b = draw_hip_keys(keymat_b, cipher, suite, b, a)
    assert (keys_a.encryption_out, keys_a.mac_out) == (keys_b.encryption_in, keys_b.mac_in)
    assert (keys_a.encryption_in, keys_a.mac_in) == (keys_b.encryption_out, keys_b.mac_out)
    assert keys_a.mac_out != keys_a.mac_in
    esp_a = draw_esp_keys(keymat_a, keys_a.keymat_index, esp, a, b)
    esp_b = draw_esp_keys(keymat_b, keys_b.keymat_index, esp, b, a)
    assert esp_a.encryption_out == esp_b.encryption_in
    assert esp_a.authentication_out == esp_b.authentication_in
    assert esp_a.encryption_in == esp_b.encryption_out
    assert esp_a.authentication_in == esp_b.authentication_out
    assert esp_a.keymat_index_after == esp_b.keymat_index_after


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(0, 200))
def test_keymat_is_one_stream(offset: int, length: int) -> None:
    keymat = Keymat(HitSuite.ECDSA_SHA384, b"k", Hit(bytes(16)), Hit(b"\x01" * 16), b"i", b"j")
    assert keymat.octets(offset, length) == keymat.octets(0, 1200)[offset : offset + length]


@settings(deadline=None)
@given(
    suite=st.sampled_from(HitSuite), k=st.integers(0, 6), pair=st.tuples(hits, hits), d=st.data()
)
def test_what_is_solved_checks(
    suite: HitSuite, k: int, pair: tuple[Hit, Hit], d: st.DataObject
) -> None:
    size = RHASH_OCTETS[suite]
    nonce = st.binary(min_size=size, max_size=size)
    i, start = d.draw(nonce), d.draw(nonce)
    j = solve_puzzle(suite, k, i, *pair, start_j=start, tries=5_000)
    assert j is not None
    assert puzzle_is_solved(suite, k, i, *pair, j)


@settings(deadline=None)
@given(
    suite=st.sampled_from(FAST_SUITES),
    key=st.binary(max_size=64),
    data=st.binary(max_size=200),
    position=st.integers(0, 2**16),
)
def test_macs(suite: HitSuite, key: bytes, data: bytes, position: int) -> None:
    mac = compute_mac(suite, key, data)
    assert mac_is_right(suite, key, data, mac)
    assert not mac_is_right(suite, key, data, with_bit_flipped(mac, position))


@settings(deadline=None)
@given(
    cipher=st.sampled_from([HipCipher.AES_128_CBC, HipCipher.AES_256_CBC]),
    iv=st.binary(min_size=16, max_size=16),
    blocks=st.integers(1, 20),
    data=st.data(),
)
def test_encrypted_round_trip(
    cipher: HipCipher, iv: bytes, blocks: int, data: st.DataObject
) -> None:
    key = data.draw(st.binary(min_size=cipher.key_octets, max_size=cipher.key_octets))
    plain = data.draw(st.binary(min_size=16 * blocks, max_size=16 * blocks))
    text = encrypt_parameter(cipher, key, iv, plain)
    assert len(text) == 16 + len(plain)
    assert decrypt_parameter(cipher, key, text) == plain


@settings(deadline=None)
@given(cipher=st.sampled_from(HipCipher), key=st.binary(max_size=40), text=st.binary(max_size=80))
def test_arbitrary_ciphertexts_raise_only_crypto_error(
    cipher: HipCipher, key: bytes, text: bytes
) -> None:
    try:
        plain = decrypt_parameter(cipher, key, text)
    except CryptoError:
        return
    assert len(key) == cipher.key_octets
    assert len(plain) == len(text) - (0 if cipher is HipCipher.NULL else 16)
