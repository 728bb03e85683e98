"""Readers of single configuration values: TOML value in, Python value out.

Each raises OptionError, a ValueError, with what was expected and what was found; `strict_toml` adds
file, line and key.  A `bool` is no integer here, although Python thinks so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError, ip_network
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar

from hipgw.daemon.strict_toml import OptionError, Reader, spell_type
from hipgw.resolve import parse_locator
from hipgw.values import (
    Address,
    DhGroup,
    Encapsulation,
    EspSuite,
    HipCipher,
    HipTransform,
    Hit,
    Lsi,
    Quirk,
    Quirks,
)
from hipgw.values.quirks import PRESETS, contradiction

T = TypeVar("T")

INTERFACE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")
"""Linux IFNAMSIZ is 16 octets with the final zero."""
HOST_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.@-]{0,253}[A-Za-z0-9_])?")
FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

DH_GROUPS: Final = {
    "p256": DhGroup.NIST_P256,
    "p384": DhGroup.NIST_P384,
    "p521": DhGroup.NIST_P521,
    "modp-3072": DhGroup.MODP_3072,
    "modp-2048": DhGroup.MODP_2048,
    "modp-1536": DhGroup.MODP_1536,
    "secp160r1": DhGroup.SECP160R1,
}
CIPHERS: Final = {
    "aes-128-cbc": HipCipher.AES_128_CBC,
    "aes-256-cbc": HipCipher.AES_256_CBC,
    "null": HipCipher.NULL,
}
DH_GROUPS_V1: Final = {
    "modp-3072": DhGroup.MODP_3072,
    "modp-1536": DhGroup.MODP_1536,
    "modp-6144": DhGroup.MODP_6144,
    "modp-8192": DhGroup.MODP_8192,
    "modp-768": DhGroup.MODP_768,
    "modp-384": DhGroup.MODP_384,
}
TRANSFORMS_V1: Final = {
    "aes-128-cbc-hmac-sha1": HipTransform.AES_128_CBC_HMAC_SHA1,
    "3des-cbc-hmac-sha1": HipTransform.TRIPLE_DES_CBC_HMAC_SHA1,
    "3des-cbc-hmac-md5": HipTransform.TRIPLE_DES_CBC_HMAC_MD5,
    "null-hmac-sha1": HipTransform.NULL_HMAC_SHA1,
    "null-hmac-md5": HipTransform.NULL_HMAC_MD5,
}
ESP_SUITES_V1: Final = {
    "aes-128-cbc-hmac-sha1": EspSuite.V1_AES_128_CBC_HMAC_SHA1,
    "3des-cbc-hmac-sha1": EspSuite.V1_TRIPLE_DES_CBC_HMAC_SHA1,
    "3des-cbc-hmac-md5": EspSuite.V1_TRIPLE_DES_CBC_HMAC_MD5,
    "null-hmac-sha1": EspSuite.V1_NULL_HMAC_SHA1,
    "null-hmac-md5": EspSuite.V1_NULL_HMAC_MD5,
}
ESP_SUITES: Final = {
    "aes-128-gcm-16": EspSuite.AES_GCM_16,
    "aes-128-cbc-hmac-sha256": EspSuite.AES_128_CBC_HMAC_SHA256,
    "aes-256-cbc-hmac-sha256": EspSuite.AES_256_CBC_HMAC_SHA256,
    "aes-128-gcm-8": EspSuite.AES_GCM_8,
    "aes-128-ccm-16": EspSuite.AES_CCM_16,
    "aes-128-ccm-8": EspSuite.AES_CCM_8,
    "aes-128-cbc-hmac-sha1": EspSuite.AES_128_CBC_HMAC_SHA1,
    "null-hmac-sha256": EspSuite.NULL_HMAC_SHA256,
    "aes-128-gmac": EspSuite.AES_GMAC,
    "aes-128-cmac-96": EspSuite.AES_CMAC_96,
}
ENCAPSULATIONS: Final = {"raw": Encapsulation.RAW, "udp": Encapsulation.UDP}
REQUIREMENTS: Final = {"optional": False, "required": True}
TRAFFIC_CLASSES: Final = {"copy": 0xFF, "dscp": 0xFC, "none": 0}
"""Bits of the traffic class that pass between inner and outer header."""
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


def _expected(wanted: str, value: object) -> OptionError:
    is_short = isinstance(value, int | float) or (isinstance(value, str) and len(value) < 80)
    found = repr(value) if is_short and not isinstance(value, bool) else spell_type(value)
    return OptionError(f"expected {wanted}, found {found}")


def text(value: object) -> str:
    """Any string without control characters."""
    if not isinstance(value, str):
        raise _expected("a string", value)
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise OptionError("expected a string without control characters")
    return value


def matching(pattern: re.Pattern[str], wanted: str, *, may_be_empty: bool = False) -> Reader:
    """A string of a certain form; `wanted` describes it to the operator."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise _expected(f"a string: {wanted}", value)
        if (value or not may_be_empty) and not pattern.fullmatch(value):
            raise _expected(wanted, value)
        return value

    return read


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _expected("true or false", value)
    return value


def whole_number(least: int, most: int, unit: str = "") -> Reader:
    """An integer of a range; the unit is for the message."""
    wanted = f"an integer from {least} to {most}" + (f" {unit}" if unit else "")

    def read(value: object) -> int:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if not isinstance(value, int) or not is_integer or not least <= value <= most:
            raise _expected(wanted, value)
        return value

    return read


def number(least: float, most: float, unit: str = "") -> Reader:
    """An integer or a float of a range."""
    wanted = f"a number from {least:g} to {most:g}" + (f" {unit}" if unit else "")

    def read(value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(value, int | float) or not is_number or not least <= value <= most:
            raise _expected(wanted, value)
        return float(value)

    return read


def one_of(words: Mapping[str, T] | tuple[str, ...]) -> Callable[[object], Any]:
    """One of some words; a mapping gives the value of each."""
    table = words if isinstance(words, Mapping) else {word: word for word in words}
    wanted = ", ".join(repr(word) for word in table)

    def read(value: object) -> Any:
        if not isinstance(value, str) or value not in table:
            raise _expected(f"one of {wanted}", value)
        return table[value]

    return read


def several(item: Reader, *, least: int = 0, most: int | None = None) -> Reader:
    """An array of distinct values, as a tuple."""

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _expected("an array", value)
        items = []
        for position, entry in enumerate(value):
            try:
                items.append(item(entry))
            except ValueError as error:
                raise OptionError(f"item {position + 1}: {error}") from error
        if len(set(items)) != len(items):
            raise OptionError("expected no value twice")
        if len(items) < least or (most is not None and len(items) > most):
            bounds = f"{least} to {most}" if most is not None else f"at least {least}"
            raise OptionError(f"expected {bounds} items, found {len(items)}")
        return tuple(items)

    return read


def absolute_path(value: object) -> FilePath:
    """A path from the root."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise _expected("an absolute path", value)
    return FilePath(value)


def optional_path(value: object) -> FilePath | None:
    """A path from the root, or "" for none."""
    return None if value == "" else absolute_path(value)


def workers(value: object) -> int | None:
    """Pairs of workers, or "auto"."""
    if value == "auto":
        return None
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, int) or not is_integer or not 1 <= value <= 16:
        raise _expected('"auto" or an integer from 1 to 16 pairs', value)
    return value


def mtu(value: object) -> int | None:
    """Octets, or "auto"."""
    if value == "auto":
        return None
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, int) or not is_integer or not 1280 <= value <= 65535:
        raise _expected('"auto" or an integer from 1280 to 65535 octets', value)
    return value


def lsi_prefix(value: object) -> IPv4Network:
    """An IPv4 network with room for some LSIs."""
    wanted = 'an IPv4 network such as "1.0.0.0/8", prefix length 8 to 28'
    if not isinstance(value, str) or "/" not in value:
        raise _expected(wanted, value)
    try:
        network = IPv4Network(value)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise OptionError(f"expected {wanted}: {error}") from error
    if not 8 <= network.prefixlen <= 28:
        raise _expected(wanted, value)
    return network


def subnet(value: object) -> IPv4Network | IPv6Network:
    """A prefix of hosts that know no HIP."""
    wanted = 'an IP prefix such as "192.168.7.0/24" or "fd00:7::/64"'
    if not isinstance(value, str) or "/" not in value:
        raise _expected(wanted, value)
    try:
        network = ip_network(value)
    except ValueError as error:
        raise OptionError(f"expected {wanted}: {error}") from error
    if network.is_multicast or network.is_loopback or network.is_link_local:
        raise OptionError(f"expected unicast addresses of more than one link, found {network}")
    return network


def hit(value: object) -> Hit:
    """A HIT in IPv6 text form."""
    wanted = "a HIT (an IPv6 address of 2001:20::/28, or 2001:10::/28 for HIPv1)"
    if not isinstance(value, str):
        raise _expected(wanted, value)
    try:
        parsed = Hit.parse(value)
    except ValueError as error:
        raise _expected(wanted, value) from error
    if not parsed.version:
        raise _expected(wanted, value)
    return parsed


def lsi(value: object) -> Lsi:
    """An LSI as a dotted quad."""
    if not isinstance(value, str):
        raise _expected("an LSI (a dotted quad)", value)
    try:
        return Lsi.parse(value)
    except ValueError as error:
        raise _expected("an LSI (a dotted quad)", value) from error


def locator(value: object) -> Address:
    """An IP address at which a peer can be reached."""
    if not isinstance(value, str):
        raise _expected("an IP address", value)
    return parse_locator(value)


COMPATIBILITY: Final[Mapping[str, Quirks]] = {
    **PRESETS,
    **{quirk.value: frozenset({quirk}) for quirk in Quirk},
}


def compatibility(value: object) -> Quirks:
    """Names of implementations and of compatibility switches: one as a string, several in an array.

    What is named twice counts once, so that a preset can be named beside one of its switches.
    """
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list):
        raise _expected("the name of an implementation or switch, or an array of them", value)
    quirks: Quirks = frozenset()
    for name in named:
        if not isinstance(name, str) or name not in COMPATIBILITY:
            raise _expected(f"one of {', '.join(repr(word) for word in COMPATIBILITY)}", name)
        quirks |= COMPATIBILITY[name]
    both = contradiction(quirks)
    if both is not None:
        raise OptionError(f"expected only one of {both}")
    return quirks
