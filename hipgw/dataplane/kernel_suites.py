"""ESP suites of HIP by the names that Linux has for their algorithms."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from hipgw.netlink.xfrm import Aead, Authentication, Cipher
from hipgw.netlink.xfrm.probe import Transform, Verdict, probe
from hipgw.values import ESP_SHAPES, EspSuite

_AES_CBC: Final = "cbc(aes)"
_TRIPLE_DES_CBC: Final = "cbc(des3_ede)"
_NULL: Final = "ecb(cipher_null)"
_GCM: Final = "rfc4106(gcm(aes))"
_CCM: Final = "rfc4309(ccm(aes))"
_GMAC: Final = "rfc4543(gcm(aes))"

AEAD_NAMES: Final[Mapping[EspSuite, str]] = {
    EspSuite.AES_CCM_8: _CCM,
    EspSuite.AES_CCM_16: _CCM,
    EspSuite.AES_GCM_8: _GCM,
    EspSuite.AES_GCM_16: _GCM,
    EspSuite.AES_GMAC: _GMAC,
}
SEPARATE_NAMES: Final[Mapping[EspSuite, tuple[str, str]]] = {
    EspSuite.AES_128_CBC_HMAC_SHA1: (_AES_CBC, "hmac(sha1)"),
    EspSuite.NULL_HMAC_SHA256: (_NULL, "hmac(sha256)"),
    EspSuite.AES_128_CBC_HMAC_SHA256: (_AES_CBC, "hmac(sha256)"),
    EspSuite.AES_256_CBC_HMAC_SHA256: (_AES_CBC, "hmac(sha256)"),
    EspSuite.AES_CMAC_96: (_NULL, "cmac(aes)"),
    EspSuite.V1_AES_128_CBC_HMAC_SHA1: (_AES_CBC, "hmac(sha1)"),
    EspSuite.V1_TRIPLE_DES_CBC_HMAC_SHA1: (_TRIPLE_DES_CBC, "hmac(sha1)"),
    EspSuite.V1_TRIPLE_DES_CBC_HMAC_MD5: (_TRIPLE_DES_CBC, "hmac(md5)"),
    EspSuite.V1_NULL_HMAC_SHA1: (_NULL, "hmac(sha1)"),
    EspSuite.V1_NULL_HMAC_MD5: (_NULL, "hmac(md5)"),
    EspSuite.FULL_NULL_HMAC_SHA256: (_NULL, "hmac(sha256)"),
    EspSuite.FULL_AES_128_CBC_HMAC_SHA256: (_AES_CBC, "hmac(sha256)"),
    EspSuite.FULL_AES_256_CBC_HMAC_SHA256: (_AES_CBC, "hmac(sha256)"),
}
"""Cipher and MAC."""

NOT_ASKED: Final = "the kernel has not answered yet"


@dataclass(frozen=True, slots=True)
class Algorithms:
    """What an `XfrmState` takes: an AEAD, or a cipher and a MAC; the keys are copies."""

    aead: Aead | None = None
    cipher: Cipher | None = None
    authentication: Authentication | None = None


def kernel_algorithms(
    suite: EspSuite, encryption_key: bytes, authentication_key: bytes
) -> Algorithms:
    """The algorithms of a suite with keys as drawn from KEYMAT (salt at the end of AEAD keys)."""
    icv_bits = 8 * ESP_SHAPES[suite].icv_octets
    if suite in AEAD_NAMES:
        # GMAC's key stands where MAC keys stand: it encrypts nothing (RFC 4543).
        key = bytearray(encryption_key or authentication_key)
        return Algorithms(aead=Aead(AEAD_NAMES[suite], key, icv_bits))
    cipher, mac = SEPARATE_NAMES[suite]
    return Algorithms(
        cipher=Cipher(cipher, bytearray(encryption_key)),
        authentication=Authentication(mac, bytearray(authentication_key), icv_bits),
    )


def trial_transform(suite: EspSuite) -> Transform:
    """A suite for the probe; its keys count up, because some ciphers refuse weak ones."""
    shape = ESP_SHAPES[suite]
    encryption = bytes(range(shape.encryption_key_octets))
    found = kernel_algorithms(suite, encryption, bytes(range(shape.authentication_key_octets)))
    return Transform(suite.name, found.aead, found.cipher, found.authentication)


@dataclass(frozen=True, slots=True)
class KernelEsp:
    """What the kernel can carry: a verdict for each suite, outer family and encapsulation."""

    verdicts: tuple[Verdict, ...] = ()
    """None: it has not answered yet."""

    @property
    def can_something(self) -> bool:
        """Whether there is anything that it carries."""
        return any(verdict.is_possible for verdict in self.verdicts)

    def reason_against(self, suite: EspSuite, outer_family: int, *, is_udp: bool) -> str:
        """Why the kernel cannot carry such an SA, in words; empty when it can.

        Args:
            suite: of the SA.
            outer_family: 4 or 6.
            is_udp: whether ESP travels in UDP.
        """
        wanted = (suite.name, outer_family, is_udp)
        if not self.verdicts:
            return NOT_ASKED
        for verdict in self.verdicts:
            if (verdict.transform, verdict.outer_family, verdict.is_udp) == wanted:
                return verdict.reason
        return f"{suite.name} over IPv{outer_family} was not tried"


def probe_kernel(suites: Collection[EspSuite] = tuple(EspSuite)) -> KernelEsp:
    """Ask the kernel about these suites; milliseconds, or seconds while modules are loaded."""
    return KernelEsp(tuple(probe([trial_transform(suite) for suite in suites])))
