"""ESP, slowly, one packet at a time, from RFC 4303, 3602, 4106, 4868 and 7402."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.reference.replay import SetWindow

SUITES: Final = (7, 8, 9, 13)
KEYS: Final = {7: (0, 32), 8: (16, 32), 9: (32, 32), 13: (20, 0)}
"""Suite -> octets of (encryption key with salt, authentication key): RFC 7402 section 5.1.2."""
IV: Final = {7: 0, 8: 16, 9: 16, 13: 8}
ALIGN: Final = {7: 4, 8: 16, 9: 16, 13: 4}
ICV: Final = 16
WINDOW: Final = 1984


class Dropped(Exception):  # noqa: N818 - an outcome, not an error
    """The packet is not accepted; `args[0]` is the reason."""


@dataclass(frozen=True)
class Keys:
    suite: int
    encryption: bytes
    authentication: bytes

    def icv(self, covered: bytes) -> bytes:
        return hmac.new(self.authentication, covered, hashlib.sha256).digest()[:ICV]


def default_padding(suite: int, payload_octets: int) -> bytes:
    """RFC 4303 section 2.4: 1, 2, 3 ... up to the alignment."""
    return bytes(range(1, -(payload_octets + 2) % ALIGN[suite] + 1))


def seal(
    keys: Keys,
    spi: int,
    sequence: int,
    payload: bytes,
    *,
    next_header: int,
    iv: bytes,
    padding: bytes | None = None,
    pad_length: int | None = None,
) -> bytes:
    """SPI..ICV with a 32-bit sequence number; `padding` and `pad_length` may be hostile."""
    if padding is None:
        padding = default_padding(keys.suite, len(payload))
    if pad_length is None:
        pad_length = len(padding)
    clear = payload + padding + bytes([pad_length, next_header])
    header = spi.to_bytes(4) + (sequence & 0xFFFFFFFF).to_bytes(4)
    if keys.suite == 13:
        key, salt = keys.encryption[:-4], keys.encryption[-4:]
        return header + iv + AESGCM(key).encrypt(salt + iv, clear, header)
    if keys.suite == 7:
        body = header + clear
    else:
        cipher = Cipher(algorithms.AES(keys.encryption), modes.CBC(iv)).encryptor()
        body = header + iv + cipher.update(clear) + cipher.finalize()
    return body + keys.icv(body)


def decrypt(keys: Keys, packet: bytes) -> bytes:
    """Payload, padding and trailer of an authentic packet; Dropped when it is not."""
    header, rest = packet[:8], packet[8:]
    iv, rest = rest[: IV[keys.suite]], rest[IV[keys.suite] :]
    if keys.suite == 13:
        key, salt = keys.encryption[:-4], keys.encryption[-4:]
        try:
            return AESGCM(key).decrypt(salt + iv, rest, header)
        except InvalidTag:
            raise Dropped("icv_wrong") from None
    if not hmac.compare_digest(keys.icv(packet[:-ICV]), packet[-ICV:]):
        raise Dropped("icv_wrong")
    if keys.suite == 7:
        return rest[:-ICV]
    cipher = Cipher(algorithms.AES(keys.encryption), modes.CBC(iv)).decryptor()
    return cipher.update(rest[:-ICV]) + cipher.finalize()


def check_length(keys: Keys, packet: bytes) -> None:
    """RFC 4303 section 2.4: room for the trailer, and aligned."""
    if len(packet) < 8:
        raise Dropped("runt")
    sealed = len(packet) - 8 - IV[keys.suite] - ICV
    if sealed < 2 or sealed % ALIGN[keys.suite]:
        raise Dropped("length_wrong")


def strip_trailer(clear: bytes) -> tuple[bytes, int]:
    """Payload and next header; dummy packets are dropped (RFC 4303 section 2.6)."""
    pad_length, next_header = clear[-2], clear[-1]
    if pad_length > len(clear) - 2:
        raise Dropped("padding_wrong")
    if next_header == 59:
        raise Dropped("dummy")
    return clear[: len(clear) - 2 - pad_length], next_header


@dataclass
class Inbound:
    """One inbound SA. A batch checks all its packets before it authenticates the first."""

    keys: Keys
    window: SetWindow = field(default_factory=lambda: SetWindow(WINDOW))

    def open_batch(self, packets: Sequence[bytes]) -> list[tuple[bytes, int] | str]:
        """Per packet (payload, next header) or the name of the reason to drop it."""
        checked = [self._reason_before(packet) for packet in packets]
        return [
            reason if reason != "none" else self._open(packet)
            for packet, reason in zip(packets, checked, strict=True)
        ]

    def _reason_before(self, packet: bytes) -> str:
        try:
            check_length(self.keys, packet)
        except Dropped as outcome:
            return str(outcome.args[0])
        return self.window.check(int.from_bytes(packet[4:8]))

    def _open(self, packet: bytes) -> tuple[bytes, int] | str:
        try:
            clear = decrypt(self.keys, packet)
            reason = self.window.accept(int.from_bytes(packet[4:8]))
            return reason if reason != "none" else strip_trailer(clear)
        except Dropped as outcome:
            return str(outcome.args[0])
