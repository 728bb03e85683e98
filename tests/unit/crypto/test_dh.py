"""Diffie-Hellman: numbers of the groups, independent arithmetic, hostile public values."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from hipgw.crypto import (
    PUBLIC_OCTETS,
    SHARED_OCTETS,
    DhPrivateKey,
    generate_dh,
    left_aligned_secret,
    libcrypto,
    unpadded_secret,
    usable_dh_groups,
)
from hipgw.crypto.dh_groups import MODP_GROUPS
from hipgw.errors import CryptoError, HostError
from hipgw.values import DH_GROUPS_V1_ONLY, DhGroup

GROUPS = list(DhGroup)
MODP = list(MODP_GROUPS)
GENERATORS = dict.fromkeys(MODP, 2) | {DhGroup.MODP_768: 22}  # RFC 2412 appendix E.1
V1_ONLY = {1: 48, 2: 96, 5: 768, 6: 1024}  # RFC 5201 section 5.2.6: number, octets
PRIMES = {group: modp.prime for group, modp in MODP_GROUPS.items()} | {
    DhGroup.NIST_P256: 2**256 - 2**224 + 2**192 + 2**96 - 1,
    DhGroup.NIST_P384: 2**384 - 2**128 - 2**96 + 2**32 - 1,
    DhGroup.NIST_P521: 2**521 - 1,
    DhGroup.SECP160R1: 2**160 - 2**31 - 1,
}


def pi_bits(bits: int) -> int:
    """floor(2^bits * pi) by Machin's formula."""
    one = 1 << (bits + 64)

    def arctan_inverse(x: int) -> int:
        term = one // x
        total, n = term, 1
        while term:
            term //= -x * x
            n += 2
            total += term // n
        return total

    return 4 * (4 * arctan_inverse(5) - arctan_inverse(239)) >> 64


@pytest.mark.parametrize(
    ("group", "bits", "offset"),
    [
        (DhGroup.MODP_1536, 1536, 741804),
        (DhGroup.MODP_2048, 2048, 124476),
        (DhGroup.MODP_3072, 3072, 1690314),
        (DhGroup.MODP_6144, 6144, 929484),
        (DhGroup.MODP_8192, 8192, 4743158),
        (DhGroup.MODP_768, 768, 149686),  # RFC 2412 appendix E.1
        (DhGroup.MODP_384, 384, 5857),  # RFC 5201 appendix E
    ],
)
def test_prime_is_the_formula_of_its_rfc(group: DhGroup, bits: int, offset: int) -> None:
    # RFC 3526 sections 2 to 7: p = 2^b - 2^(b-64) - 1 + 2^64 * ([2^(b-130) pi] + offset)
    formula = 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (pi_bits(bits - 130) + offset)
    assert MODP_GROUPS[group].prime == formula


def test_groups_of_hipv1() -> None:
    assert {int(group): PUBLIC_OCTETS[group] for group in DH_GROUPS_V1_ONLY} == V1_ONLY
    assert all(SHARED_OCTETS[group] == PUBLIC_OCTETS[group] for group in DH_GROUPS_V1_ONLY)
    assert not DH_GROUPS_V1_ONLY & set(usable_dh_groups())  # none is offered by accident


def test_generators_are_squares() -> None:
    """So public values reveal no bit of the exponent, and the subgroup check holds for all."""
    for group in (DhGroup.MODP_384, DhGroup.MODP_768):
        prime = PRIMES[group]
        assert pow(GENERATORS[group], (prime - 1) // 2, prime) == 1


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
def test_both_hosts_get_the_same_secret(group: DhGroup) -> None:
    a, b = generate_dh(group), generate_dh(group)
    assert a.public != b.public
    assert len(a.public) == PUBLIC_OCTETS[group]
    assert a.exchange(b.public) == b.exchange(a.public)
    assert len(a.exchange(b.public)) == SHARED_OCTETS[group]


@pytest.mark.parametrize("group", MODP, ids=lambda g: g.name)
def test_modp_agrees_with_python(group: DhGroup) -> None:
    prime, size = PRIMES[group], PUBLIC_OCTETS[group]
    scalar = hashlib.shake_128(group.name.encode()).digest(40)
    x = int.from_bytes(scalar, "big")
    key = DhPrivateKey.from_scalar(group, scalar)
    assert key.public == pow(GENERATORS[group], x, prime).to_bytes(size, "big")
    peer = generate_dh(group)
    expected = pow(int.from_bytes(peer.public, "big"), x, prime).to_bytes(size, "big")
    assert key.exchange(peer.public) == expected


@pytest.mark.parametrize("group", MODP, ids=lambda g: g.name)
def test_short_results_are_padded_on_the_left(group: DhGroup) -> None:
    size = PUBLIC_OCTETS[group]
    key = DhPrivateKey.from_scalar(group, b"\x05")
    assert key.public == (GENERATORS[group] ** 5).to_bytes(size, "big")
    assert key.exchange((4).to_bytes(size, "big")) == (4**5).to_bytes(size, "big")


class TestSecp160r1:
    """Against affine arithmetic in Python, numbers of SEC 2 section 2.4.2."""

    P = PRIMES[DhGroup.SECP160R1]
    B = 0x1C97BEFC54BD7A8B65ACF89F81D4D4ADC565FA45
    ORDER = 0x0100000000000000000001F4C8F927AED3CA752257
    BASE = (
        0x4A96B5688EF573284664698968C38BB913CBFC82,
        0x23A628553168947D59DCC912042351377AC5FB32,
    )

    def add(self, a: tuple[int, int] | None, b: tuple[int, int] | None) -> tuple[int, int] | None:
        if a is None or b is None:
            return a or b
        (x1, y1), (x2, y2) = a, b
        if x1 == x2 and (y1 + y2) % self.P == 0:
            return None
        if a == b:
            slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, self.P)
        else:
            slope = (y2 - y1) * pow(x2 - x1, -1, self.P)
        x3 = (slope * slope - x1 - x2) % self.P
        return x3, (slope * (x1 - x3) - y1) % self.P

    def multiply(self, scalar: int, point: tuple[int, int]) -> tuple[int, int]:
        total = None
        addend: tuple[int, int] | None = point
        while scalar:
            if scalar & 1:
                total = self.add(total, addend)
            addend = self.add(addend, addend)
            scalar >>= 1
        assert total is not None
        return total

    @staticmethod
    def octets(point: tuple[int, int]) -> bytes:
        return point[0].to_bytes(20, "big") + point[1].to_bytes(20, "big")

    def test_agrees_with_python(self) -> None:
        a, b = 0x6D3F8A51C0FFEE, self.ORDER - 12345
        key = DhPrivateKey.from_scalar(DhGroup.SECP160R1, a.to_bytes(21, "big"))
        assert key.public == self.octets(self.multiply(a, self.BASE))
        peer = self.multiply(b, self.BASE)
        x, _ = self.multiply(a, peer)
        assert key.exchange(self.octets(peer)) == x.to_bytes(20, "big")

    def test_generated_points_are_on_the_curve(self) -> None:
        public = generate_dh(DhGroup.SECP160R1).public
        x, y = int.from_bytes(public[:20], "big"), int.from_bytes(public[20:], "big")
        assert (y * y - x**3 + 3 * x - self.B) % self.P == 0

    @pytest.mark.parametrize("scalar", [0, ORDER, 2 * ORDER])
    def test_multiples_of_the_order_are_refused(self, scalar: int) -> None:
        with pytest.raises(CryptoError):
            DhPrivateKey.from_scalar(DhGroup.SECP160R1, scalar.to_bytes(22, "big"))

    def test_coordinate_above_the_prime_is_refused(self) -> None:
        # The smallest x on the curve, plus p, still fits in 20 octets and would reduce to x.
        p = self.P
        x = next(x for x in range(2**31) if pow(x**3 - 3 * x + self.B, (p - 1) // 2, p) == 1)
        y = pow(x**3 - 3 * x + self.B, (p + 1) // 4, p)
        key = generate_dh(DhGroup.SECP160R1)
        assert len(key.exchange(self.octets((x, y)))) == 20
        with pytest.raises(CryptoError):
            key.exchange(self.octets((x + p, y)))


@pytest.mark.parametrize("group", MODP, ids=lambda g: g.name)
def test_hostile_modp_values_are_refused(group: DhGroup) -> None:
    prime, size = PRIMES[group], PUBLIC_OCTETS[group]
    key = generate_dh(group)
    residue = int.from_bytes(key.public, "big")
    for value in (0, 1, prime - 1, prime, prime + 1, prime + 4, 2 ** (8 * size) - 1):
        with pytest.raises(CryptoError):
            key.exchange(value.to_bytes(size, "big"))
    # p = 3 mod 4, so the negative of a square is none: it lies outside the prime-order subgroup.
    with pytest.raises(CryptoError, match="subgroup"):
        key.exchange((prime - residue).to_bytes(size, "big"))


@pytest.mark.parametrize("group", [g for g in GROUPS if g not in MODP_GROUPS], ids=lambda g: g.name)
def test_hostile_points_are_refused(group: DhGroup) -> None:
    prime, size = PRIMES[group], PUBLIC_OCTETS[group] // 2
    key, peer = generate_dh(group), generate_dh(group)
    x, y = peer.public[:size], int.from_bytes(peer.public[size:], "big")
    for hostile in (
        bytes(2 * size),
        b"\xff" * (2 * size),
        x + ((y + 1) % prime).to_bytes(size, "big"),
        x + bytes(size),
        prime.to_bytes(size, "big") + y.to_bytes(size, "big"),
    ):
        with pytest.raises(CryptoError):
            key.exchange(hostile)


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
def test_wrong_lengths_are_refused(group: DhGroup) -> None:
    key, peer = generate_dh(group), generate_dh(group).public
    for hostile in (b"", peer[:1], peer[:-1], peer + b"\0", b"\0" + peer, b"\x04" + peer):
        with pytest.raises(CryptoError, match="octets"):
            key.exchange(hostile)


@pytest.mark.parametrize("group", MODP, ids=lambda g: g.name)
def test_private_exponents_outside_the_group_are_refused(group: DhGroup) -> None:
    for scalar in (b"", b"\0", b"\x01", PRIMES[group].to_bytes(PUBLIC_OCTETS[group], "big")):
        with pytest.raises(CryptoError):
            DhPrivateKey.from_scalar(group, scalar)


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g.name)
def test_one_key_serves_many_threads(group: DhGroup) -> None:
    key = generate_dh(group)
    peers = [generate_dh(group) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        shared = list(pool.map(lambda peer: key.exchange(peer.public), peers))
    assert shared == [peer.exchange(key.public) for peer in peers]


def test_repr_shows_the_group_only() -> None:
    assert repr(generate_dh(DhGroup.NIST_P256)) == "DhPrivateKey(NIST_P256)"


def test_messages_hold_no_key_octets() -> None:
    key = generate_dh(DhGroup.MODP_1536)
    peer = key.public[:-1]
    with pytest.raises(CryptoError) as caught:
        key.exchange(peer)
    assert not re.search(r"[0-9a-f]{8}", str(caught.value))


def test_groups_without_libcrypto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcrypto, "LIBRARY", "libcrypto-of-nowhere.so.3")
    libcrypto.load_library.cache_clear()
    try:
        assert usable_dh_groups() == (
            DhGroup.NIST_P256,
            DhGroup.NIST_P384,
            DhGroup.NIST_P521,
        )
        with pytest.raises(HostError, match="install"):
            generate_dh(DhGroup.MODP_1536)
    finally:
        libcrypto.load_library.cache_clear()


@pytest.mark.parametrize(
    ("kij", "unpadded", "left_aligned"),
    [
        (b"\1\2\0", b"\1\2\0", b"\1\2\0"),
        (b"\0\0\1\2\0", b"\1\2\0", b"\1\2\0\0\0"),
        (b"\0\0", b"", b"\0\0"),
    ],
)
def test_secrets_as_other_hosts_hash_them(kij: bytes, unpadded: bytes, left_aligned: bytes) -> None:
    assert unpadded_secret(kij) == unpadded
    assert left_aligned_secret(kij) == left_aligned
