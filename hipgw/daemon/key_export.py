"""ESP keys for Wireshark, in test networks only (`[lab] enabled`).

Each security association adds one line of Wireshark's `esp_sa` table, so that
`tshark -o esp.enable_encryption_decode:TRUE` with that table shows the inner packets.
"""

from __future__ import annotations

import os
from pathlib import Path as FilePath
from typing import Final

from hipgw.values import Direction, EspSuite, SecurityAssociation

UNCHECKED: Final = {
    "HMAC-SHA-256-128 [RFC4868]": "ANY 128 bit authentication [no checking]",
    "HMAC-SHA-1-96 [RFC2404]": "ANY 96 bit authentication [no checking]",
    "HMAC-MD5-96 [RFC2403]": "ANY 96 bit authentication [no checking]",
}
"""For extended sequence numbers: Wireshark's table (4.0) has no column for their upper half."""
UNCHECKED_256: Final = "ANY 256 bit authentication [no checking]"
NAMES: Final = {
    EspSuite.NULL_HMAC_SHA256: ("NULL", "HMAC-SHA-256-128 [RFC4868]"),
    EspSuite.AES_128_CBC_HMAC_SHA256: ("AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]"),
    EspSuite.AES_256_CBC_HMAC_SHA256: ("AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]"),
    EspSuite.AES_GCM_16: ("AES-GCM with 16 octet ICV [RFC4106]", "NULL"),
    EspSuite.AES_GCM_8: ("AES-GCM with 8 octet ICV [RFC4106]", "NULL"),
    EspSuite.AES_128_CBC_HMAC_SHA1: ("AES-CBC [RFC3602]", "HMAC-SHA-1-96 [RFC2404]"),
    EspSuite.V1_AES_128_CBC_HMAC_SHA1: ("AES-CBC [RFC3602]", "HMAC-SHA-1-96 [RFC2404]"),
    EspSuite.V1_TRIPLE_DES_CBC_HMAC_SHA1: ("TripleDES-CBC [RFC2451]", "HMAC-SHA-1-96 [RFC2404]"),
    EspSuite.V1_TRIPLE_DES_CBC_HMAC_MD5: ("TripleDES-CBC [RFC2451]", "HMAC-MD5-96 [RFC2403]"),
    EspSuite.V1_NULL_HMAC_SHA1: ("NULL", "HMAC-SHA-1-96 [RFC2404]"),
    EspSuite.V1_NULL_HMAC_MD5: ("NULL", "HMAC-MD5-96 [RFC2403]"),
    EspSuite.FULL_NULL_HMAC_SHA256: ("NULL", UNCHECKED_256),
    EspSuite.FULL_AES_128_CBC_HMAC_SHA256: ("AES-CBC [RFC3602]", UNCHECKED_256),
    EspSuite.FULL_AES_256_CBC_HMAC_SHA256: ("AES-CBC [RFC3602]", UNCHECKED_256),
}
"""Wireshark's words for encryption and authentication.  An AEAD key has its salt at the end there
as in KEYMAT.  A whole HMAC-SHA-256 it can only skip."""


def esp_sa_line(sa: SecurityAssociation) -> str:
    """One line of the table: family, source, destination, SPI, ciphers and keys."""
    ends = (sa.path.local, sa.path.peer)
    source, destination = ends if sa.direction is Direction.OUT else ends[::-1]
    encryption, authentication = NAMES[sa.suite]
    if sa.is_extended:
        authentication = UNCHECKED.get(authentication, authentication)
    fields = (
        f"IPv{source.version}",
        str(source),
        str(destination),
        f"0x{sa.spi:08x}",
        encryption,
        _spell(sa.encryption_key),
        authentication,
        _spell(sa.authentication_key),
    )
    return ",".join(f'"{field}"' for field in fields)


def _spell(key: bytes) -> str:
    return f"0x{key.hex()}" if key else ""


def append_keys(file: FilePath, sa: SecurityAssociation) -> None:
    """Append one security association; the file is made with mode 0600.  Raises OSError.

    Wireshark has no words for CCM, CMAC and GMAC: these leave no line.
    """
    if sa.suite not in NAMES:
        return
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(file, flags, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(esp_sa_line(sa).encode("ascii") + b"\n")
