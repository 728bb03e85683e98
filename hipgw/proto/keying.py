"""What two hosts agree on in a base exchange, and the keys that come out of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from hipgw.crypto import DhPrivateKey, EspKeys, HipKeys
from hipgw.crypto.keymat import KeymatStream
from hipgw.values import DhGroup, EspSuite, HipCipher, HipTransform, Hit, HitSuite
from hipgw.values.quick_making import quickly_made


class Protection(ABC):
    """The MAC and the cipher of the HIP packets of one association; frozen."""

    __slots__ = ()

    @property
    @abstractmethod
    def suite(self) -> HitSuite | None:
        """The Responder's HIT suite, whose RHASH rules an association of HIPv2; else None."""

    @property
    @abstractmethod
    def cipher(self) -> HipCipher | HipTransform:
        """What the I2 chose."""

    @property
    @abstractmethod
    def key_octets(self) -> int:
        """Of an encryption key."""

    @property
    @abstractmethod
    def mac_octets(self) -> int:
        """Of a MAC, and of its key."""

    @property
    def keymat_octets(self) -> int:
        """KEYMAT index of the first ESP key: what the four HIP keys take before (section 6.5)."""
        return 2 * (self.key_octets + self.mac_octets)

    @abstractmethod
    def mac(self, key: bytes, octets: bytes) -> bytes:
        """The MAC of `octets`, `mac_octets` long."""

    @abstractmethod
    def mac_is_right(self, key: bytes, octets: bytes, mac: bytes) -> bool:
        """Compare in time that does not depend on where the MACs differ."""

    @abstractmethod
    def encrypt(self, key: bytes, randomness: bytes, tlvs: bytes) -> bytes:
        """Pad and encrypt the TLVs of an ENCRYPTED.

        Args:
            key: outgoing encryption key.
            randomness: at least 16 unpredictable octets, of which the IV is made.
            tlvs: complete TLVs.

        Returns:
            What ENCRYPTED carries behind its reserved field: IV and ciphertext.
        """

    @abstractmethod
    def decrypt(self, key: bytes, octets: bytes) -> bytes:
        """Undo `encrypt`, all but the padding; check the MAC of the packet first.

        Raises:
            CryptoError: a length is wrong.
        """

    @abstractmethod
    def keymat(
        self, kij: bytes, hits: tuple[Hit, Hit], nonces: tuple[bytes, bytes]
    ) -> KeymatStream:
        """The keying material of a shared secret (section 6.5).

        Args:
            kij: the shared secret.
            hits: of both hosts, in any order.
            nonces: I and J of the base exchange.
        """

    @property
    @abstractmethod
    def keymat_octets_most(self) -> int:
        """Where the keying material ends."""

    @abstractmethod
    def hip_keys(self, keymat: KeymatStream, local: Hit, peer: Hit) -> HipKeys:
        """The four keys of HIP packets, from the start of KEYMAT (section 6.5)."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Proposal:
    """What one R1 or I2 settles: group, ciphers, and both nonces but J."""

    protection: Protection
    dh_group: DhGroup
    dh_peer: bytes = field(repr=False)
    esp_suite: EspSuite


@quickly_made
@dataclass(frozen=True, slots=True)
class Keying:
    """What two hosts share after a base exchange, and what a later rekey needs (section 6.5)."""

    protection: Protection
    dh_group: DhGroup
    esp_suite: EspSuite
    keymat: KeymatStream = field(repr=False)
    hip: HipKeys = field(repr=False)
    esp: EspKeys = field(repr=False)
    i: bytes = field(repr=False)
    j: bytes = field(repr=False)
    dh: DhPrivateKey = field(repr=False)
    dh_peer: bytes = field(repr=False)

    @property
    def suite(self) -> HitSuite | None:
        """The Responder's HIT suite, whose RHASH rules an association of HIPv2; else None."""
        return self.protection.suite

    @property
    def cipher(self) -> HipCipher | HipTransform:
        """What the I2 chose."""
        return self.protection.cipher
