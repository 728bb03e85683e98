"""ESP, slowly, one packet at a time.

From RFC 4303 and, per suite of RFC 7402 and RFC 5202: RFC 2403, 2404, 2451, 3602, 4106, 4309, 4494,
4543, 4868. Suites have the numbers of the data plane: HIPv2's as on the wire, HIPv1's + 0x100, and
+ 0x200 those of HIPv2 whose HMAC-SHA-256 is not truncated as RFC 4868 has it. GMAC authenticates
the IV as well, as draft-mcgrew-gcm-test-01 section 3 says what RFC 4543 means.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.cmac import CMAC

from tests.reference.replay import SetWindow, high_half

SUITES: Final = (
    1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x101, 0x102, 0x103, 0x105, 0x106,
    0x207, 0x208, 0x209,
)  # fmt: skip
KEYS: Final = {
    1: (16, 20), 7: (0, 32), 8: (16, 32), 9: (32, 32), 10: (19, 0), 11: (19, 0), 12: (20, 0),
    13: (20, 0), 14: (0, 16), 15: (0, 20),
    0x101: (16, 20), 0x102: (24, 20), 0x103: (24, 16), 0x105: (0, 20), 0x106: (0, 16),
    0x207: (0, 32), 0x208: (16, 32), 0x209: (32, 32),
}  # fmt: skip
"""Suite -> octets of (encryption key with salt, authentication key, with salt for GMAC)."""
ICV: Final = {
    1: 12, 7: 16, 8: 16, 9: 16, 10: 8, 11: 16, 12: 8, 13: 16, 14: 12, 15: 16,
    0x101: 12, 0x102: 12, 0x103: 12, 0x105: 12, 0x106: 12, 0x207: 32, 0x208: 32, 0x209: 32,
}  # fmt: skip
HMAC: Final = {
    1: "sha1", 7: "sha256", 8: "sha256", 9: "sha256",
    0x101: "sha1", 0x102: "sha1", 0x103: "md5", 0x105: "sha1", 0x106: "md5",
    0x207: "sha256", 0x208: "sha256", 0x209: "sha256",
}  # fmt: skip
AES_CBC: Final = (1, 8, 9, 0x101, 0x208, 0x209)
TRIPLE_DES_CBC: Final = (0x102, 0x103)
CBC: Final = AES_CBC + TRIPLE_DES_CBC
CCM: Final = (10, 11)
GCM: Final = (12, 13)
CMAC_96: Final = 14
GMAC: Final = 15
COUNTER_IV: Final = (*CCM, *GCM, GMAC)
BLOCK: Final = dict.fromkeys(AES_CBC, 16) | dict.fromkeys(TRIPLE_DES_CBC, 8)
IV: Final = dict.fromkeys(SUITES, 0) | dict.fromkeys(COUNTER_IV, 8) | BLOCK
ALIGN: Final = dict.fromkeys(SUITES, 4) | BLOCK
"""RFC 4303 section 2.4: whole blocks, and the ICV begins on a 4-octet boundary."""
WINDOW: Final = 1984


class Dropped(Exception):  # noqa: N818 - an outcome, not an error
    """The packet is not accepted; `args[0]` is the reason."""


@dataclass(frozen=True)
class Keys:
    suite: int
    encryption: bytes
    authentication: bytes
    is_extended: bool = False
    """ICVs cover 64 bits of the sequence number (RFC 4303 section 2.2.1)."""

    def high(self, sequence: int) -> bytes:
        """What is authenticated and not sent."""
        return (sequence >> 32).to_bytes(4) if self.is_extended else b""

    def icv(self, covered: bytes) -> bytes:
        """Of a suite with a MAC of its own."""
        if self.suite == CMAC_96:
            mac = CMAC(algorithms.AES(self.authentication))
            mac.update(covered)
            return mac.finalize()[:12]
        digest = hmac.new(self.authentication, covered, HMAC[self.suite]).digest()
        return digest[: ICV[self.suite]]

    def cbc(self, iv: bytes) -> Cipher[modes.CBC]:
        if self.suite in TRIPLE_DES_CBC:
            return Cipher(TripleDES(self.encryption), modes.CBC(iv))
        return Cipher(algorithms.AES(self.encryption), modes.CBC(iv))

    def gcm(self, iv: bytes) -> Cipher[modes.GCM]:
        """Salt at the end of the key, in front of the IV in the nonce."""
        material = self.authentication if self.suite == GMAC else self.encryption
        return Cipher(
            algorithms.AES(material[:-4]), modes.GCM(material[-4:] + iv, min_tag_length=8)
        )

    def ccm(self) -> AESCCM:
        return AESCCM(self.encryption[:-3], tag_length=ICV[self.suite])


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
    """SPI..ICV with 32 bits of a sequence number; `padding` and `pad_length` may be hostile."""
    if padding is None:
        padding = default_padding(keys.suite, len(payload))
    if pad_length is None:
        pad_length = len(padding)
    clear = payload + padding + bytes([pad_length, next_header])
    header = spi.to_bytes(4) + (sequence & 0xFFFFFFFF).to_bytes(4)
    return header + iv + encrypt(keys, header, iv, clear, keys.high(sequence))


def encrypt(keys: Keys, header: bytes, iv: bytes, clear: bytes, high: bytes) -> bytes:
    """What stands after the IV: `clear` or its ciphertext, and the ICV."""
    aad = header[:4] + high + header[4:]
    if keys.suite in CCM:
        return keys.ccm().encrypt(keys.encryption[-3:] + iv, clear, aad)
    if keys.suite in GCM:
        gcm = keys.gcm(iv).encryptor()
        gcm.authenticate_additional_data(aad)
        return gcm.update(clear) + gcm.finalize() + gcm.tag[: ICV[keys.suite]]
    if keys.suite == GMAC:
        gcm = keys.gcm(iv).encryptor()
        gcm.authenticate_additional_data(aad + iv + clear)
        return clear + gcm.finalize() + gcm.tag
    if keys.suite in CBC:
        cbc = keys.cbc(iv).encryptor()
        clear = cbc.update(clear) + cbc.finalize()
    return clear + keys.icv(header + iv + clear + high)


def decrypt(keys: Keys, packet: bytes, high: bytes = b"") -> bytes:
    """Payload, padding and trailer of an authentic packet; Dropped when it is not."""
    octets_of_iv, icv = IV[keys.suite], packet[-ICV[keys.suite] :]
    header, iv = packet[:8], packet[8 : 8 + octets_of_iv]
    aad = header[:4] + high + header[4:]
    body = packet[8 + octets_of_iv : -len(icv)]
    try:
        if keys.suite in CCM:
            return keys.ccm().decrypt(keys.encryption[-3:] + iv, body + icv, aad)
        if keys.suite in (*GCM, GMAC):
            return _open_gcm(keys, aad, iv, body, icv)
    except InvalidTag:
        raise Dropped("icv_wrong") from None
    if not hmac.compare_digest(keys.icv(packet[: -len(icv)] + high), icv):
        raise Dropped("icv_wrong")
    if keys.suite not in CBC:
        return body
    cbc = keys.cbc(iv).decryptor()
    return cbc.update(body) + cbc.finalize()


def _open_gcm(keys: Keys, aad: bytes, iv: bytes, body: bytes, icv: bytes) -> bytes:
    gcm = keys.gcm(iv).decryptor()
    if keys.suite == GMAC:
        gcm.authenticate_additional_data(aad + iv + body)
        gcm.finalize_with_tag(icv)
        return body
    gcm.authenticate_additional_data(aad)
    return gcm.update(body) + gcm.finalize_with_tag(icv)


def check_length(keys: Keys, packet: bytes) -> None:
    """RFC 4303 section 2.4: room for the trailer, and aligned."""
    if len(packet) < 8:
        raise Dropped("runt")
    sealed = len(packet) - 8 - IV[keys.suite] - ICV[keys.suite]
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
        checked = [self._sequence_before(packet) for packet in packets]
        return [
            outcome if isinstance(outcome, str) else self._open(packet, outcome)
            for packet, outcome in zip(packets, checked, strict=True)
        ]

    def _sequence_before(self, packet: bytes) -> int | str:
        """What number it must have, or why it is dropped."""
        try:
            check_length(self.keys, packet)
        except Dropped as outcome:
            return str(outcome.args[0])
        sequence = int.from_bytes(packet[4:8])
        if self.keys.is_extended:
            high = high_half(self.window.top, sequence, self.window.width)
            if high is None:
                return "too_old"
            sequence |= high << 32
        reason = self.window.check(sequence)
        return sequence if reason == "none" else reason

    def _open(self, packet: bytes, sequence: int) -> tuple[bytes, int] | str:
        try:
            clear = decrypt(self.keys, packet, self.keys.high(sequence))
            reason = self.window.accept(sequence)
            return reason if reason != "none" else strip_trailer(clear)
        except Dropped as outcome:
            return str(outcome.args[0])
