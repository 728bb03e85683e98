"""Invariant: keys, signatures, public values and ciphertexts of a peer give CryptoError or False.

Octet 0 picks a function, octet 1 a key, group or suite; the rest is what the peer sent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import shake_128

from hipgw.crypto import (
    PUBLIC_OCTETS,
    SHARED_OCTETS,
    DhPrivateKey,
    HostIdentity,
    PrivateHostIdentity,
    PuzzleRule,
    decrypt_parameter,
    decrypt_parameter_v1,
    mac_is_right,
    mac_v1_is_right,
    puzzle_is_solved,
    puzzle_v1_is_solved,
)
from hipgw.errors import CryptoError, WireError
from hipgw.values import (
    NULL_HIT,
    RHASH_OCTETS,
    DhGroup,
    HiAlgorithm,
    HipCipher,
    HipTransform,
    HitSuite,
)
from hipgw.wire import DiffieHellman, HipSignature, HostId, HostIdV1, parse_packet
from tests.fuzz.fuzz_packet import BOTH
from tests.fuzz.fuzz_packet import seeds as packets
from tests.fuzz.target import Havoc, Target

MESSAGE = b"what a signature covers"
ALGORITHMS = tuple(HiAlgorithm)
KINDS = ("ecdsa-p256", "ecdsa-p384", "ed25519", "ed448", "rsa-2048")
WEAK_KINDS = ("rsa-1024", "dsa-1024", "ecdsa-secp160r1")
GROUPS = tuple(group for group in DhGroup if group not in {DhGroup.MODP_6144, DhGroup.MODP_8192})
"""The two largest are the same code and too slow here."""


@cache
def identities() -> tuple[PrivateHostIdentity, ...]:
    """A key of each kind; new ones in each run."""
    return tuple(PrivateHostIdentity.generate(kind, allow_weak=True) for kind in KINDS + WEAK_KINDS)


@cache
def dh_keys() -> tuple[DhPrivateKey, ...]:
    """A key of each group, always the same."""
    return tuple(DhPrivateKey.from_scalar(group, b"\1" + bytes(18)) for group in GROUPS)


def run(octets: bytes) -> None:
    """Call the function that octet 0 picks."""
    if len(octets) >= 2:
        FUNCTIONS[octets[0] % len(FUNCTIONS)](octets[1], octets[2:])


def _read_identity(which: int, hi: bytes) -> None:
    algorithm = which % (len(ALGORITHMS) + 1)
    number = int(ALGORITHMS[algorithm]) if algorithm < len(ALGORITHMS) else which
    try:
        identity = HostIdentity.from_wire(number, hi, allow_weak=bool(which & 0x80))
    except CryptoError:
        return
    assert identity.hi == hi
    assert identity.hit.version == 2
    assert identity.hit_v1.version == 1
    assert identity == HostIdentity.from_wire(number, hi, allow_weak=True)
    assert identity.kind in KINDS + WEAK_KINDS or identity.kind.startswith(("rsa-", "dsa-"))
    for size in (0, 41, 42, 64, 96, 114, 256):
        assert identity.verify(bytes(size), MESSAGE) is False
        assert identity.verify(hi[:size], MESSAGE, version=1) is False


def _verify(which: int, signature: bytes) -> None:
    key = identities()[which % len(identities())]
    version = 1 if which & 0x80 else 2
    assert key.public.verify(signature, MESSAGE, version=version) is False, "a forged signature"


def _verify_changed(which: int, change: bytes) -> None:
    """A true signature, with the octets of the input laid over it."""
    key = identities()[which % len(identities())]
    true = key.sign(MESSAGE)
    at = (change[0] if change else 0) % len(true)
    changed = true[:at] + change[1:] + true[at + len(change[1:]) :]
    assert key.public.verify(changed, MESSAGE) is (changed == true)


def _exchange(which: int, public: bytes) -> None:
    key = dh_keys()[which % len(GROUPS)]
    if which & 0x80:
        size = PUBLIC_OCTETS[key.group]
        public = public[:size].rjust(size, b"\0")
    try:
        shared = key.exchange(public)
    except CryptoError:
        return
    assert len(public) == PUBLIC_OCTETS[key.group]
    assert len(shared) == SHARED_OCTETS[key.group]
    assert any(shared)
    assert key.exchange(public) == shared


def _decrypt(which: int, octets: bytes) -> None:
    ciphers = tuple(HipCipher)
    cipher = ciphers[which % len(ciphers)]
    size = cipher.key_octets - (which >> 7)
    try:
        plain = decrypt_parameter(cipher, bytes(max(size, 0)), octets)
    except CryptoError:
        return
    assert len(plain) <= len(octets)


def _decrypt_v1(which: int, octets: bytes) -> None:
    transforms = tuple(HipTransform)
    transform = transforms[which % len(transforms)]
    try:
        plain = decrypt_parameter_v1(transform, bytes(transform.key_octets), octets)
    except CryptoError:
        return
    assert len(plain) <= len(octets)


def _check_puzzle(which: int, octets: bytes) -> None:
    suite = tuple(HitSuite)[which % len(HitSuite)]
    k = octets[0] if octets else 0
    half = (which >> 4) + RHASH_OCTETS[suite]
    i, j = octets[1 : 1 + half], octets[1 + half :]
    is_solved = puzzle_is_solved(suite, k, i, NULL_HIT, NULL_HIT, j)
    assert not is_solved or len(i) == len(j) == RHASH_OCTETS[suite]
    for rule in PuzzleRule:
        nonces = octets[1:9], octets[9:]
        solved = puzzle_v1_is_solved(k, nonces[0], NULL_HIT, NULL_HIT, nonces[1], rule=rule)
        assert solved in {True, False}


def _check_mac(which: int, mac: bytes) -> None:
    suite = tuple(HitSuite)[which % len(HitSuite)]
    transforms = tuple(HipTransform)
    assert mac_is_right(suite, b"key", MESSAGE, mac) is False
    assert mac_v1_is_right(transforms[which % len(transforms)], b"key", MESSAGE, mac) is False


def _read_pem(which: int, text: bytes) -> None:
    try:
        key = PrivateHostIdentity.from_pem(text, allow_weak=bool(which & 1))
    except CryptoError:
        return
    assert key.public.verify(key.sign(MESSAGE), MESSAGE)
    assert PrivateHostIdentity.from_pem(key.to_pem(), allow_weak=True).hit == key.hit


FUNCTIONS: tuple[Callable[[int, bytes], None], ...] = (
    _read_identity,
    _verify,
    _verify_changed,
    _exchange,
    _decrypt,
    _decrypt_v1,
    _check_puzzle,
    _check_mac,
    _read_pem,
)


def mutate(octets: bytes, most: int, rng: random.Random, havoc: Havoc) -> bytes:
    """Keep function and key most of the time."""
    head = octets[:2].ljust(2, b"\0")
    if rng.random() < 0.1:
        return rng.randbytes(2) + octets[2:]
    return head + havoc(octets[2:], most - 2)


def seeds() -> Iterator[bytes]:
    """Host Identities, public values and signatures of the captures, and some made here."""
    for octets in packets():
        try:
            packet = parse_packet(octets, versions=BOTH, lenient_order=True)
        except WireError:  # hosts of a hybrid version
            continue
        for host_id in (*packet.all(HostId), *packet.all(HostIdV1)):
            if host_id.algorithm in ALGORITHMS:
                which = ALGORITHMS.index(HiAlgorithm(host_id.algorithm))
                yield bytes([0, which]) + host_id.hi
                yield bytes([0, which + 0x80 - 0x80 % (len(ALGORITHMS) + 1)]) + host_id.hi
        for public in packet.all(DiffieHellman):
            if public.group in GROUPS:
                yield bytes([3, GROUPS.index(DhGroup(public.group))]) + public.public
        for signature in packet.all(HipSignature):
            yield bytes([1, KINDS.index("rsa-2048")]) + signature.signature
    for number, key in enumerate(identities()):
        algorithm = ALGORITHMS.index(key.public.algorithm)
        weak = next(n for n in range(0x80, 0x100) if n % (len(ALGORITHMS) + 1) == algorithm)
        yield bytes([0, weak]) + key.public.hi
        yield bytes([1, number]) + bytes(len(key.sign(MESSAGE)))
        yield bytes([2, number, 3, 1])
        yield bytes([8, 1]) + key.to_pem()
    for number, group in enumerate(GROUPS):
        yield bytes([3, number]) + dh_keys()[number].public
        for value in (b"", b"\1", b"\2", b"\xff" * PUBLIC_OCTETS[group]):
            yield (
                bytes([3, next(n for n in range(0x80, 0x100) if n % len(GROUPS) == number)]) + value
            )
    for function in range(4, 8):
        for size in (0, 16, 20, 32, 33, 48, 64, 97):
            yield bytes([function, size % 7]) + shake_128(b"seed").digest(size)


def prepare() -> None:
    """Make the keys."""
    identities()
    dh_keys()


TARGET = Target("crypto", run, seeds, mutate, prepare, octets_most=2048)
