"""Netlink octets: a writer whose buffer never moves, and readers that check before they look.

Integers are in the order of this machine, but for those that are on the wire, too (SPIs, ports).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hipgw.netlink.xfrm.uapi import NLA_TYPE_MASK, NLM_F_REQUEST

Address = IPv4Address | IPv6Address
"""An address of either family."""

HEADER: Final = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port."""
ATTRIBUTE_HEADER: Final = struct.Struct("=HH")
"""nlattr: length without padding, type."""
WORD: Final = struct.Struct("=I")
WORD_BE: Final = struct.Struct("!I")
WORDS: Final = struct.Struct("=II")
LONG: Final = struct.Struct("=Q")
ADDRESS_OCTETS: Final = 16
LARGEST_REQUEST_OCTETS: Final = 8192
FAMILY_BITS: Final = {socket.AF_INET: 32, socket.AF_INET6: 128}


class XfrmFormatError(ValueError):
    """Octets that are no well-formed XFRM message; never holds key octets."""


class MessageWriter:
    """One request, written once into a buffer that never moves: wiping it wipes the only copy."""

    def __init__(self, message_type: int, flags: int = 0) -> None:
        self._buffer = bytearray(LARGEST_REQUEST_OCTETS)
        self._type = message_type
        self._flags = flags
        self._length = HEADER.size

    def put(self, octets: bytes | bytearray | memoryview) -> None:
        """Append octets as they are.

        Raises:
            XfrmFormatError: the request would not fit.
        """
        end = self._length + len(octets)
        if end > len(self._buffer):
            raise XfrmFormatError(f"a request of more than {len(self._buffer)} octets")
        self._buffer[self._length : end] = octets
        self._length = end

    def attribute(self, kind: int, *parts: bytes | bytearray | memoryview) -> None:
        """Append an attribute made of `parts`, padded to four octets."""
        length = ATTRIBUTE_HEADER.size + sum(len(part) for part in parts)
        self.put(ATTRIBUTE_HEADER.pack(length, kind))
        for part in parts:
            self.put(part)
        self.put(bytes(-length % 4))

    def finish(self, sequence: int, flags: int) -> memoryview:
        """The whole request with its header; shows this buffer, so it is gone after `wipe`."""
        header = (self._length, self._type, self._flags | flags | NLM_F_REQUEST, sequence, 0)
        HEADER.pack_into(self._buffer, 0, *header)
        return memoryview(self._buffer)[: self._length]

    def body(self) -> bytes:
        """A copy of what follows the header, for tests and for requests without keys."""
        return bytes(self._buffer[HEADER.size : self._length])

    def wipe(self) -> None:
        """Overwrite everything written so far with zeros."""
        self._buffer[: self._length] = bytes(self._length)
        self._length = HEADER.size


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One netlink message; `body` shows the receive buffer and is valid until the next read."""

    kind: int
    flags: int
    sequence: int
    body: memoryview


def read_messages(octets: memoryview) -> Iterator[RawMessage]:
    """The messages of one datagram.

    Raises:
        XfrmFormatError: a length that does not fit.
    """
    offset = 0
    while len(octets) - offset >= HEADER.size:
        length, kind, flags, sequence, _ = HEADER.unpack_from(octets, offset)
        if not HEADER.size <= length <= len(octets) - offset:
            raise XfrmFormatError(f"message of {length} octets, {len(octets) - offset} are there")
        yield RawMessage(kind, flags, sequence, octets[offset + HEADER.size : offset + length])
        offset += (length + 3) & ~3


def read_attributes(octets: memoryview) -> dict[int, memoryview]:
    """Attributes by type; the last of several equal ones wins.

    Raises:
        XfrmFormatError: a length that does not fit.
    """
    found: dict[int, memoryview] = {}
    offset = 0
    while len(octets) - offset >= ATTRIBUTE_HEADER.size:
        length, kind = ATTRIBUTE_HEADER.unpack_from(octets, offset)
        if not ATTRIBUTE_HEADER.size <= length <= len(octets) - offset:
            raise XfrmFormatError(f"attribute of {length} octets, {len(octets) - offset} are there")
        found[kind & NLA_TYPE_MASK] = octets[offset + ATTRIBUTE_HEADER.size : offset + length]
        offset += (length + 3) & ~3
    return found


def take(octets: memoryview, length: int, what: str) -> memoryview:
    """The first `length` octets.

    Raises:
        XfrmFormatError: there are fewer; names `what` was expected.
    """
    if len(octets) < length:
        raise XfrmFormatError(f"{what}: {len(octets)} octets, at least {length} expected")
    return octets[:length]


def optional_word(attributes: Mapping[int, memoryview], kind: int) -> int | None:
    """A u32 attribute, or None when it is absent."""
    value = attributes.get(kind)
    if value is None:
        return None
    number: int = WORD.unpack(take(value, WORD.size, f"attribute {kind}"))[0]
    return number


def family_of(address: Address) -> int:
    """AF_INET or AF_INET6."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def pack_address(address: Address) -> bytes:
    """xfrm_address_t: IPv4 stands in the first four octets."""
    return address.packed.ljust(ADDRESS_OCTETS, b"\0")


def parse_address(octets: memoryview, family: int) -> Address:
    """An xfrm_address_t of a family.

    Raises:
        XfrmFormatError: neither IPv4 nor IPv6, or cut short.
    """
    take(octets, ADDRESS_OCTETS, "address")
    if family == socket.AF_INET:
        return IPv4Address(bytes(octets[:4]))
    if family == socket.AF_INET6:
        return IPv6Address(bytes(octets[:ADDRESS_OCTETS]))
    raise XfrmFormatError(f"address family {family} is neither IPv4 nor IPv6")
