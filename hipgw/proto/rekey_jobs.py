"""Jobs of a rekey: a new Diffie-Hellman key, and the keys of the new security associations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hipgw.crypto import (
    DhPrivateKey,
    EspKeys,
    draw_esp_keys,
    generate_dh,
)
from hipgw.crypto.keymat import KeymatStream
from hipgw.errors import CryptoError, HostError
from hipgw.proto.dialect import Dialect
from hipgw.proto.keying import Keying
from hipgw.proto.refusals import Refused
from hipgw.values import ESP_SHAPES, DhGroup, Hit

KEYMAT_INDEX_MOST: Final = 0xFFFF
"""The KEYMAT Index field has 16 bits (RFC 7402 section 5.1.1)."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the keys of the next security associations are drawn from."""

    keymat: KeymatStream = field(repr=False)
    dh: DhPrivateKey = field(repr=False)
    dh_peer: bytes = field(repr=False)
    next_index: int
    """First octet of KEYMAT that nobody has drawn."""

    @classmethod
    def of_exchange(cls, keying: Keying) -> Material:
        """What a base exchange leaves."""
        return cls(keying.keymat, keying.dh, keying.dh_peer, keying.esp.keymat_index_after)


def has_keys_at(index: int, keying: Keying) -> bool:
    """Whether KEYMAT has the keys of a pair of SAs at `index`; else only new DH helps (7402 7)."""
    shape = ESP_SHAPES[keying.esp_suite]
    length = 2 * (shape.encryption_key_octets + shape.authentication_key_octets)
    limit = keying.protection.keymat_octets_most
    return index <= KEYMAT_INDEX_MOST and index + length <= limit


@dataclass(frozen=True, slots=True)
class GenerateDh:
    """Draw a Diffie-Hellman key of the group of the association (RFC 7402 section 6.8)."""

    group: DhGroup

    def run(self) -> DhPrivateKey | Refused:
        """The new key."""
        try:
            return generate_dh(self.group)
        except HostError:
            return Refused("dh_group")


@dataclass(frozen=True, slots=True)
class DeriveSas:
    """Draw the keys of both new security associations (RFC 7402 section 6.10 steps 1 to 3)."""

    dialect: Dialect
    keying: Keying
    material: Material
    local: Hit
    peer: Hit
    new_dh: DhPrivateKey | None = field(repr=False)
    """Ours, if we sent one."""
    new_dh_peer: bytes | None = field(repr=False)
    """Theirs, if they sent one."""
    keymat_index: int
    """The greater one of the two ESP_INFOs; without meaning after new Diffie-Hellman."""

    def run(self) -> DerivedSas | Refused:
        """New KEYMAT if there is any new key, then the four ESP keys."""
        dialect, keying, material = self.dialect, self.keying, self.material
        hits, nonces = (self.local, self.peer), (keying.i, keying.j)
        keymat, index = material.keymat, self.keymat_index
        dh = self.new_dh or material.dh
        dh_peer = material.dh_peer if self.new_dh_peer is None else self.new_dh_peer
        try:
            if self.new_dh is not None or self.new_dh_peer is not None:
                kij = dialect.shared_secret(dh, dh_peer)
                keymat = dialect.keymat(keying.protection, kij, hits, nonces)
                index = 0
            esp = draw_esp_keys(keymat, index, keying.esp_suite, *hits)
        except CryptoError:
            return Refused("dh_invalid")
        return DerivedSas(esp, Material(keymat, dh, dh_peer, esp.keymat_index_after))


@dataclass(frozen=True, slots=True)
class DerivedSas:
    """Keys of a new pair, and what the next pair is drawn from."""

    esp: EspKeys
    material: Material
