"""ECDH and ECDSA of `elliptic` against `cryptography`, which has a libcrypto of its own."""

from __future__ import annotations

import ctypes
import pickle
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from hipgw._fastpath.elliptic import EcKey, is_point, verify

CURVES = {32: ec.SECP256R1(), 48: ec.SECP384R1(), 66: ec.SECP521R1()}
PRIME = {
    32: 2**256 - 2**224 + 2**192 + 2**96 - 1,
    48: 2**384 - 2**128 - 2**96 + 2**32 - 1,
    66: 2**521 - 1,
}
ORDER = {  # FIPS 186-4 appendix D.1.2
    32: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    48: (1 << 192) - 1 << 192 | 0xC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    66: (1 << 257) - 1 << 264
    | 0xFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
}
HASHES = {20: hashes.SHA1(), 32: hashes.SHA256(), 48: hashes.SHA384()}  # noqa: S303
MESSAGE = bytes(range(256)) * 2

sizes = pytest.mark.parametrize("size", list(CURVES))


def octets_of(number: int, size: int) -> bytes:
    return number.to_bytes(size, "big")


def point_of(key: ec.EllipticCurvePrivateKey, size: int) -> bytes:
    point = key.public_key().public_numbers()
    return octets_of(point.x, size) + octets_of(point.y, size)


def ours_and_theirs(size: int) -> tuple[EcKey, ec.EllipticCurvePrivateKey]:
    theirs = ec.generate_private_key(CURVES[size])
    return EcKey(size, octets_of(theirs.private_numbers().private_value, size)), theirs


def is_right(size: int, xy: bytes, digest_octets: int, message: bytes, r_and_s: bytes) -> bool:
    """What `cryptography` says of a signature, and of the point."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[size], b"\x04" + xy)
        r, s = (int.from_bytes(half, "big") for half in (r_and_s[:size], r_and_s[size:]))
        der = utils.encode_dss_signature(r, s)
        key.verify(der, message, ec.ECDSA(HASHES[digest_octets]))
    except (InvalidSignature, ValueError):
        return False
    return True


def hostile_points(size: int) -> dict[str, bytes]:
    """Octets of the right length that are no point, and why."""
    prime = PRIME[size]
    key = ec.generate_private_key(CURVES[size]).public_key().public_numbers()
    most = octets_of((1 << 8 * size) - 1, size)
    x, y = octets_of(key.x, size), octets_of(key.y, size)
    points = {
        "beside the curve": x + octets_of((key.y + 1) % prime, size),
        "turned round": y + x,
        "zero": bytes(2 * size),
        "x zero": bytes(size) + y,
        "y zero": x + bytes(size),
        "x is the prime": octets_of(prime, size) + y,
        "y is the prime": x + octets_of(prime, size),
        "most": most + most,
    }
    small = next(point for x in range(2, 100) if (point := _on_curve(x, size)) is not None)
    points["x above the prime"] = octets_of(small[0] + prime, size) + octets_of(small[1], size)
    return points


def _on_curve(x: int, size: int) -> tuple[int, int] | None:
    """A point with that x; every prime here is 3 modulo 4."""
    prime = PRIME[size]
    encoded = b"\x02" + octets_of(x, size)
    try:
        found = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[size], encoded)
    except ValueError:
        return None
    y = found.public_numbers().y
    assert 0 < y < prime
    return x, y


HOSTILE = sorted(hostile_points(32))


def errors_left() -> int:
    """Entries in the error queue of this thread, which Python's ssl shares."""
    library = ctypes.CDLL("libcrypto.so.3")
    library.ERR_peek_error.restype = ctypes.c_ulong
    return library.ERR_peek_error()


class TestExchange:
    @sizes
    def test_public_and_shared_values(self, size: int) -> None:
        for _ in range(20):
            ours, theirs = ours_and_theirs(size)
            peer = ec.generate_private_key(CURVES[size])
            assert ours.public() == point_of(theirs, size)
            shared = theirs.exchange(ec.ECDH(), peer.public_key())
            assert ours.exchange(point_of(peer, size)) == shared
            assert len(shared) == size

    @sizes
    def test_drawn_keys(self, size: int) -> None:
        a, b = EcKey(size), EcKey(size)
        assert a.public() != b.public()
        assert a.exchange(b.public()) == b.exchange(a.public())
        point = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[size], b"\x04" + a.public())
        peer = ec.generate_private_key(CURVES[size])
        assert peer.exchange(ec.ECDH(), point) == a.exchange(point_of(peer, size))

    @sizes
    def test_least_and_greatest_scalar(self, size: int) -> None:
        for scalar in (1, 2, ORDER[size] - 1):
            theirs = ec.derive_private_key(scalar, CURVES[size])
            ours = EcKey(size, octets_of(scalar, size))
            assert ours.public() == point_of(theirs, size)
            peer = ec.generate_private_key(CURVES[size])
            shared = theirs.exchange(ec.ECDH(), peer.public_key())
            assert ours.exchange(point_of(peer, size)) == shared

    @sizes
    def test_scalar_of_another_width(self, size: int) -> None:
        assert EcKey(size, b"\x05").public() == EcKey(size, octets_of(5, size + 3)).public()

    @sizes
    def test_scalars_outside_are_refused(self, size: int) -> None:
        for scalar in (0, ORDER[size], ORDER[size] + 1, (1 << 8 * size) - 1):
            with pytest.raises(ValueError, match=r"1\.\.n-1"):
                EcKey(size, octets_of(scalar, size))
        with pytest.raises(ValueError, match=r"1\.\.n-1"):
            EcKey(size, b"")
        assert not errors_left()

    @sizes
    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_points(self, size: int, name: str) -> None:
        point = hostile_points(size)[name]
        key = EcKey(size)
        with pytest.raises(ValueError, match="not a point"):
            key.exchange(point)
        assert not is_point(size, point)
        with pytest.raises(ValueError, match=r"."):
            ec.EllipticCurvePublicKey.from_encoded_point(CURVES[size], b"\x04" + point)
        assert not errors_left()
        peer = EcKey(size)  # scratch objects are as good as before
        assert key.exchange(peer.public()) == peer.exchange(key.public())

    @sizes
    def test_lengths(self, size: int) -> None:
        key, point = EcKey(size), EcKey(size).public()
        for wrong in (b"", point[:-1], point + b"\0", b"\x04" + point, b"\x02" + point[:size]):
            with pytest.raises(ValueError, match="octets"):
                key.exchange(wrong)
            assert not is_point(size, wrong)
        assert is_point(size, point)

    def test_points_of_other_curves(self) -> None:
        for size in CURVES:
            for other in set(CURVES) - {size}:
                with pytest.raises(ValueError, match="octets"):
                    EcKey(size).exchange(EcKey(other).public())

    def test_no_such_curve(self) -> None:
        for octets in (0, 20, 31, 65, -32):
            with pytest.raises(ValueError, match="32, 48 or 66"):
                EcKey(octets)
            with pytest.raises(ValueError, match="32, 48 or 66"):
                is_point(octets, bytes(2 * max(octets, 0)))
            with pytest.raises(ValueError, match="32, 48 or 66"):
                verify(octets, b"", 48, b"", b"")


class TestSignatures:
    @sizes
    @pytest.mark.parametrize("digest_octets", list(HASHES))
    def test_both_ways(self, size: int, digest_octets: int) -> None:
        for message in (b"", b"a", MESSAGE):
            ours, theirs = ours_and_theirs(size)
            xy = ours.public()
            signature = ours.sign(digest_octets, message)
            assert len(signature) == 2 * size
            assert is_right(size, xy, digest_octets, message, signature)
            assert verify(size, xy, digest_octets, message, signature)
            r, s = utils.decode_dss_signature(theirs.sign(message, ec.ECDSA(HASHES[digest_octets])))
            signature = octets_of(r, size) + octets_of(s, size)
            assert verify(size, xy, digest_octets, message, signature)

    @sizes
    def test_no_nonce_comes_twice(self, size: int) -> None:
        key = EcKey(size)
        assert len({key.sign(48, MESSAGE)[:size] for _ in range(20)}) == 20

    @sizes
    def test_r_and_s_out_of_range(self, size: int) -> None:
        key, order = EcKey(size), ORDER[size]
        xy, signature = key.public(), key.sign(48, MESSAGE)
        r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
        most = (1 << 8 * size) - 1
        pairs = [(0, s), (r, 0), (0, 0), (order, s), (r, order), (most, s), (r, most), (s, r)]
        pairs += [(r + order, s)] if r + order <= most else []
        pairs += [(r, s + order)] if s + order <= most else []
        for pair in pairs:
            wrong = b"".join(octets_of(number, size) for number in pair)
            assert not verify(size, xy, 48, MESSAGE, wrong), pair
            assert not is_right(size, xy, 48, MESSAGE, wrong), pair
        twin = octets_of(r, size) + octets_of(order - s, size)  # ECDSA has two for each nonce
        assert verify(size, xy, 48, MESSAGE, twin) == is_right(size, xy, 48, MESSAGE, twin)
        assert not errors_left()

    @sizes
    def test_flipped_bits(self, size: int) -> None:
        key = EcKey(size)
        xy, signature = key.public(), key.sign(48, MESSAGE)

        def flipped(octets: bytes) -> bytes:
            at = secrets.randbelow(8 * len(octets))
            number = int.from_bytes(octets, "big") ^ (1 << at)
            return octets_of(number, len(octets))

        for _ in range(20):
            for point, message, numbers in (
                (flipped(xy), MESSAGE, signature),
                (xy, flipped(MESSAGE), signature),
                (xy, MESSAGE, flipped(signature)),
            ):
                assert not verify(size, point, 48, message, numbers)
                assert not is_right(size, point, 48, message, numbers)
        assert verify(size, xy, 48, MESSAGE, signature)
        assert not errors_left()

    @sizes
    def test_lengths_and_other_hashes(self, size: int) -> None:
        key = EcKey(size)
        xy, signature = key.public(), key.sign(48, MESSAGE)
        for wrong in (b"", signature[:-1], signature + b"\0", b"\0" + signature):
            assert not verify(size, xy, 48, MESSAGE, wrong)
        for wrong in (b"", xy[:-1], xy + b"\0", b"\x04" + xy):
            assert not verify(size, wrong, 48, MESSAGE, signature)
        assert not verify(size, xy, 32, MESSAGE, signature)
        assert not verify(size, xy, 20, MESSAGE, signature)
        for digest_octets in (0, 16, 64):
            with pytest.raises(ValueError, match="20, 32 or 48"):
                verify(size, xy, digest_octets, MESSAGE, signature)
            with pytest.raises(ValueError, match="20, 32 or 48"):
                key.sign(digest_octets, MESSAGE)

    @sizes
    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_keys(self, size: int, name: str) -> None:
        point = hostile_points(size)[name]
        assert not verify(size, point, 48, MESSAGE, EcKey(size).sign(48, MESSAGE))
        assert not errors_left()


def test_keys_are_not_copied_out() -> None:
    key = EcKey(32)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    assert not [name for name in vars(type(key)) if "scalar" in name or "private" in name]


def test_many_threads_share_keys() -> None:
    """More at once than there are scratch objects to keep."""
    keys = {size: EcKey(size) for size in CURVES}

    def work(number: int) -> bool:
        size = list(CURVES)[number % 3]
        peer, message = EcKey(size), octets_of(number, 4)
        shared = keys[size].exchange(peer.public())
        signature = keys[size].sign(48, message)
        return (
            shared == peer.exchange(keys[size].public())
            and verify(size, keys[size].public(), 48, message, signature)
            and not verify(size, peer.public(), 48, message, signature)
        )

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, range(240)))
