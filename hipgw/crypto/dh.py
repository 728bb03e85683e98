"""Diffie-Hellman for the base exchange and for rekeying (RFC 7401 sections 5.2.7, 6.5).

The groups of HIPv1 (RFC 5201 section 5.2.6) are here too; `DH_GROUPS_V1_ONLY` names them.
"""

from __future__ import annotations

from typing import Final, Protocol

from hipgw._fastpath.elliptic import EcKey
from hipgw.crypto.dh_groups import MODP_GROUPS, PUBLIC_OCTETS, SHARED_OCTETS
from hipgw.crypto.libcrypto import ModpSecret, Secp160r1Secret
from hipgw.errors import CryptoError, HostError
from hipgw.values import DH_GROUPS_V1_ONLY, DhGroup


class _Secret(Protocol):
    """The secret half of a key, in whichever library knows the group."""

    def public(self) -> bytes: ...

    def exchange(self, peer_public: bytes) -> bytes: ...


class _NistSecret:
    """A secret scalar on P-256, P-384 or P-521."""

    __slots__ = ("_key",)

    def __init__(self, group: DhGroup, scalar: bytes | None = None) -> None:
        """Take a scalar, or draw one that never enters Python; ValueError outside 1..n-1."""
        self._key: Final = EcKey(SHARED_OCTETS[group], scalar)

    def public(self) -> bytes:
        return self._key.public()

    def exchange(self, peer_public: bytes) -> bytes:
        try:
            return self._key.exchange(peer_public)
        except ValueError:
            raise CryptoError("public value is not a point of the curve") from None


class DhPrivateKey:
    """A private key of one group, good for any number of exchanges from any thread.

    Attributes:
        group: the Diffie-Hellman group.
        public: the public value as DIFFIE_HELLMAN carries it, `PUBLIC_OCTETS[group]` octets.
    """

    __slots__ = ("_secret", "group", "public")

    def __init__(self, group: DhGroup, secret: _Secret) -> None:
        self.group: Final = group
        self._secret: Final = secret
        self.public: Final = secret.public()

    @classmethod
    def from_scalar(cls, group: DhGroup, scalar: bytes) -> DhPrivateKey:
        """Make the key with a given private exponent or scalar (big-endian), as test vectors do.

        Raises:
            CryptoError: not a private value of the group.
        """
        if group in MODP_GROUPS:
            modp = MODP_GROUPS[group]
            return cls(group, ModpSecret.from_scalar(modp.prime, scalar, modp.generator))
        if group is DhGroup.SECP160R1:
            return cls(group, Secp160r1Secret.from_scalar(scalar))
        try:
            return cls(group, _NistSecret(group, scalar))
        except ValueError:
            raise CryptoError(f"not a private value of {group.name}") from None

    def exchange(self, peer_public: bytes) -> bytes:
        """Compute Kij.

        Args:
            peer_public: the peer's public value, as DIFFIE_HELLMAN carries it.

        Returns:
            `SHARED_OCTETS[group]` octets, padded on the left with zeros.

        Raises:
            CryptoError: wrong length, or not an element of the group (RFC 7401 section 5.3.2).
        """
        if len(peer_public) != PUBLIC_OCTETS[self.group]:
            raise CryptoError(
                f"public value of {len(peer_public)} octets,"
                f" {self.group.name} has {PUBLIC_OCTETS[self.group]}"
            )
        return self._secret.exchange(peer_public)

    def __repr__(self) -> str:
        return f"DhPrivateKey({self.group.name})"


def generate_dh(group: DhGroup) -> DhPrivateKey:
    """Draw a new private key.

    Raises:
        HostError: libcrypto of this host lacks the group (MODP groups and secp160r1 only).
    """
    if group in MODP_GROUPS:
        modp = MODP_GROUPS[group]
        return DhPrivateKey(
            group, ModpSecret.generate(modp.prime, modp.exponent_bits, modp.generator)
        )
    if group is DhGroup.SECP160R1:
        return DhPrivateKey(group, Secp160r1Secret.generate())
    return DhPrivateKey(group, _NistSecret(group))


def unpadded_secret(kij: bytes) -> bytes:
    """Kij without leading zeros, as a peer has it that hashes the number and not the field.

    Its length, and so the time that hashing takes, depends on the secret.
    """
    return kij.lstrip(b"\0")


def left_aligned_secret(kij: bytes) -> bytes:
    """Kij with its leading zeros moved to its end, as a peer has it that fills its buffer so."""
    return unpadded_secret(kij).ljust(len(kij), b"\0")


def usable_dh_groups() -> tuple[DhGroup, ...]:
    """Try every group of HIPv2 once; those that `generate_dh` can serve on this host."""
    usable = []
    for group in DhGroup:
        if group in DH_GROUPS_V1_ONLY:
            continue
        try:
            generate_dh(group)
        except HostError:
            continue
        usable.append(group)
    return tuple(usable)
