"""Host Identities: the key pairs that name hosts (RFC 7401 sections 3, 5.2.9).

One RSA or DSA key names its host in both versions of HIP, by two HITs, and signs in two ways.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from hipgw.crypto.ecdsa_low import EcdsaLowPrivateKey, EcdsaLowPublicKey
from hipgw.crypto.hi_fields import RSA_BITS_LEAST, PublicKey, check_ecdsa, emit_hi, parse_hi
from hipgw.crypto.hits import EddsaHitReading, hit_from_hi, hit_v1_from_hi
from hipgw.crypto.signatures import (
    PrivateKey,
    Signer,
    ecdsa_is_right,
    sign_message,
    signature_is_right,
    signer_of,
)
from hipgw.errors import CryptoError, LocalProtocolError
from hipgw.values import SUITE_OF_ALGORITHM, HiAlgorithm, Hit, HitSuite
from hipgw.values.quick_making import quickly_made

_ALGORITHMS: Final = {int(algorithm): algorithm for algorithm in HiAlgorithm}
_RSA_EXPONENT: Final = 65537
KEYS_PARSED: Final = 1024
"""Public keys that are kept parsed; parsing takes about as long as half a verification."""
_DEFAULT_READING: Final = EddsaHitReading.CONTEXT_AS_CUSTOMIZATION

_GENERATORS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "rsa-2048": lambda: rsa.generate_private_key(_RSA_EXPONENT, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(_RSA_EXPONENT, 3072),
    "rsa-4096": lambda: rsa.generate_private_key(_RSA_EXPONENT, 4096),
}

KEY_KINDS: Final = tuple(_GENERATORS)
"""Kinds of key that `PrivateHostIdentity.generate` makes."""

_WEAK_GENERATORS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "rsa-1024": lambda: rsa.generate_private_key(_RSA_EXPONENT, 1024),  # noqa: S505
    "dsa-1024": lambda: dsa.generate_private_key(1024),  # noqa: S505
    "ecdsa-secp160r1": EcdsaLowPrivateKey.generate,
}

WEAK_KEY_KINDS: Final = tuple(_WEAK_GENERATORS)
"""Kinds of key that it makes only with `allow_weak`, for peers that know nothing better."""


@lru_cache(maxsize=KEYS_PARSED)
def _parsed(algorithm: HiAlgorithm, hi: bytes) -> PublicKey:
    """The key of a Host Identity that was checked before."""
    return parse_hi(algorithm, hi, allow_weak=True)


@quickly_made
@dataclass(frozen=True, slots=True)
class HostIdentity:
    """A public Host Identity; two are equal when algorithm and HI octets are.

    Make it with `from_wire`, which checks the key.  A parsed key takes some 2 KiB of libcrypto's
    memory, so only those in use are kept parsed; ECDSA verifies with the octets alone.
    """

    algorithm: HiAlgorithm
    hi: bytes = field(repr=False)
    """The Host Identity field exactly as on the wire: HITs are hashes of these octets."""
    hit: Hit = field(compare=False)

    @classmethod
    def from_wire(
        cls,
        algorithm: int,
        hi: bytes,
        *,
        allow_weak: bool = False,
        reading: EddsaHitReading = _DEFAULT_READING,
        hit: Hit | None = None,
    ) -> Self:
        """Read the algorithm and the Host Identity field of a HOST_ID.

        Args:
            algorithm: number from HOST_ID.
            hi: the field, without head and Domain Identifier.
            allow_weak: accept RSA moduli of 1024 bits and more, DSA and ECDSA_LOW: for peers that
                the configuration allows, and for captures of old hosts.
            reading: how an EdDSA HIT is made.
            hit: of HIPv2, if the caller knows already that this is the one; else it is made.

        Raises:
            CryptoError: unknown or unsupported algorithm, malformed or unusable key.
        """
        known = _ALGORITHMS.get(algorithm)
        if known is None:
            raise CryptoError(f"Host Identity algorithm {algorithm} is unknown")
        if known is HiAlgorithm.ECDSA:  # none of them is weak
            check_ecdsa(hi)
        else:
            parse_hi(known, hi, allow_weak=allow_weak)
        if hit is None:
            hit = hit_from_hi(hi, SUITE_OF_ALGORITHM[known], reading)
        return cls(known, hi, hit)

    @property
    def public_key(self) -> PublicKey:
        """The key, parsed."""
        return _parsed(self.algorithm, self.hi)

    @property
    def suite(self) -> HitSuite:
        """The HIT suite that the algorithm belongs to."""
        return SUITE_OF_ALGORITHM[self.algorithm]

    @property
    def hit_v1(self) -> Hit:
        """The HIT of this key in HIPv1."""
        return hit_v1_from_hi(self.hi)

    def hit_of(self, version: int) -> Hit:
        """The HIT of this key in a HIP version."""
        return self.hit_v1 if version == 1 else self.hit

    @property
    def kind(self) -> str:
        """The sort and size of key, in the words of `KEY_KINDS` and `WEAK_KEY_KINDS`."""
        key = self.public_key
        if isinstance(key, rsa.RSAPublicKey):
            return f"rsa-{key.key_size}"
        if isinstance(key, dsa.DSAPublicKey):
            return f"dsa-{key.key_size}"
        if isinstance(key, EcdsaLowPublicKey):
            return "ecdsa-secp160r1"
        if isinstance(key, ec.EllipticCurvePublicKey):
            return f"ecdsa-p{key.key_size}"
        return "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "ed448"

    @property
    def is_weak(self) -> bool:
        """Whether the key has less than 112 bits of security, so that it takes `allow_weak`."""
        if self.algorithm is HiAlgorithm.ECDSA:
            return False
        key = self.public_key
        if isinstance(key, rsa.RSAPublicKey):
            return key.key_size < RSA_BITS_LEAST
        return isinstance(key, dsa.DSAPublicKey | EcdsaLowPublicKey)

    def verify(self, signature: bytes, message: bytes, *, version: int = 2) -> bool:
        """Check the octets of HIP_SIGNATURE after its algorithm field; never raises.

        Args:
            signature: from the packet.
            message: the octets that it covers.
            version: HIP version of the packet; in version 1 only RSA and DSA can be right.
        """
        if self.algorithm is HiAlgorithm.ECDSA:
            return version != 1 and ecdsa_is_right(self.hi, signature, message)
        return signature_is_right(self.public_key, signature, message, version=version)


@dataclass(frozen=True, slots=True)
class PrivateHostIdentity:
    """A Host Identity of ours with its private key, which no repr shows."""

    public: HostIdentity
    _key: PrivateKey = field(compare=False, repr=False)
    _signer: Signer = field(compare=False, repr=False)

    @classmethod
    def generate(
        cls, kind: str, *, reading: EddsaHitReading = _DEFAULT_READING, allow_weak: bool = False
    ) -> Self:
        """Make a new key of one of `KEY_KINDS`, or with `allow_weak` also of `WEAK_KEY_KINDS`.

        Raises:
            LocalProtocolError: another kind.
        """
        generators = _GENERATORS | _WEAK_GENERATORS if allow_weak else _GENERATORS
        generator = generators.get(kind)
        if generator is None:
            raise LocalProtocolError(f"key kind {kind!r}: choose one of {', '.join(generators)}")
        return cls._of(generator(), reading, allow_weak=allow_weak)

    @classmethod
    def from_pem(
        cls, pem: bytes, *, reading: EddsaHitReading = _DEFAULT_READING, allow_weak: bool = False
    ) -> Self:
        """Read an unencrypted private key: PKCS#8, or the traditional forms that OpenSSL writes.

        Args:
            pem: the text; a key on secp160r1 must be PKCS#8.
            reading: how an EdDSA HIT is made.
            allow_weak: accept the `WEAK_KEY_KINDS` too.

        Raises:
            CryptoError: no such key, encrypted, too weak, or of a kind that HIP does not use.
        """
        low = EcdsaLowPrivateKey.from_pem(pem)
        if low is not None:
            return cls._of(low, reading, allow_weak=allow_weak)
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except TypeError:
            raise CryptoError(
                "private key is encrypted: decrypt it with `openssl pkey -in FILE -out FILE`"
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            raise CryptoError("not a private key in PEM form (PKCS#8 or traditional)") from None
        if not isinstance(key, PrivateKey):
            raise CryptoError(
                f"private key of type {type(key).__name__} cannot be a Host Identity:"
                f" choose one of {', '.join(KEY_KINDS)}"
            )
        return cls._of(key, reading, allow_weak=allow_weak)

    @classmethod
    def _of(cls, key: PrivateKey, reading: EddsaHitReading, *, allow_weak: bool) -> Self:
        """Wrap a key; the public half goes through the same checks as a peer's."""
        algorithm, hi = emit_hi(key.public_key())
        public = HostIdentity.from_wire(algorithm, hi, reading=reading, allow_weak=allow_weak)
        return cls(public, key, signer_of(key))

    @property
    def hit(self) -> Hit:
        """The HIT of the public half."""
        return self.public.hit

    @property
    def hit_v1(self) -> Hit:
        """The HIT of the public half in HIPv1."""
        return self.public.hit_v1

    def hit_of(self, version: int) -> Hit:
        """The HIT of the public half in a HIP version."""
        return self.public.hit_of(version)

    def sign(self, message: bytes, *, version: int = 2) -> bytes:
        """Sign; the octets go into HIP_SIGNATURE after its algorithm field.

        Raises:
            LocalProtocolError: version 1 with a key that is neither RSA nor DSA.
        """
        return sign_message(self._signer, message, version=version)

    def to_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8."""
        if isinstance(self._key, EcdsaLowPrivateKey):
            return self._key.private_pem()
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def public_pem(self) -> bytes:
        """The public key as SubjectPublicKeyInfo."""
        key = self.public.public_key
        if isinstance(key, EcdsaLowPublicKey):
            return key.public_pem()
        return key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
