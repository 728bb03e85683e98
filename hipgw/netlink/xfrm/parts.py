"""Structures that states, policies and events share: selector, lifetimes, marks."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeVar

from hipgw.netlink.xfrm.octets import (
    FAMILY_BITS,
    WORDS,
    Address,
    MessageWriter,
    XfrmFormatError,
    family_of,
    pack_address,
    parse_address,
    take,
)
from hipgw.netlink.xfrm.uapi import Attribute
from hipgw.netlink.xfrm.values import Lifetime, Mark, Selector, Usage

Number = TypeVar("Number", bound=int)

PORTS: Final = struct.Struct("!4H")
SELECTOR_TAIL: Final = struct.Struct("=H3B3xiI")
SELECTOR_OCTETS: Final = 56
LIFETIME: Final = struct.Struct("=8Q")
USAGE: Final = struct.Struct("=4Q")


def pack_selector(selector: Selector | None) -> bytes:
    """xfrm_selector, 56 octets; None is the selector of no family, which matches anything."""
    if selector is None:
        return bytes(SELECTOR_OCTETS)
    return b"".join(
        (
            pack_address(selector.destination),
            pack_address(selector.source),
            PORTS.pack(
                selector.destination_port,
                selector.destination_port_mask,
                selector.source_port,
                selector.source_port_mask,
            ),
            SELECTOR_TAIL.pack(
                family_of(selector.source),
                selector.destination_bits,
                selector.source_bits,
                selector.protocol,
                selector.interface_index,
                selector.user,
            ),
        )
    )


def parse_selector(octets: memoryview) -> Selector | None:
    """The opposite of `pack_selector`.

    Raises:
        XfrmFormatError: cut short, another family, or a prefix longer than an address.
    """
    take(octets, SELECTOR_OCTETS, "selector")
    destination_port, destination_mask, source_port, source_mask = PORTS.unpack_from(octets, 32)
    tail = SELECTOR_TAIL.unpack_from(octets, 40)
    family, destination_bits, source_bits, protocol, interface_index, user = tail
    if family == 0:
        return None
    longest = FAMILY_BITS.get(family, 0)
    if max(destination_bits, source_bits) > longest:
        raise XfrmFormatError(
            f"selector of family {family} with prefixes /{source_bits} and /{destination_bits}"
        )
    return Selector(
        source=parse_address(octets[16:32], family),
        source_bits=source_bits,
        destination=parse_address(octets[0:16], family),
        destination_bits=destination_bits,
        protocol=protocol,
        source_port=source_port,
        source_port_mask=source_mask,
        destination_port=destination_port,
        destination_port_mask=destination_mask,
        interface_index=interface_index,
        user=user,
    )


def pack_lifetime(lifetime: Lifetime) -> bytes:
    """xfrm_lifetime_cfg, 64 octets."""
    return LIFETIME.pack(
        lifetime.soft_octets,
        lifetime.hard_octets,
        lifetime.soft_packets,
        lifetime.hard_packets,
        lifetime.soft_added_s,
        lifetime.hard_added_s,
        lifetime.soft_used_s,
        lifetime.hard_used_s,
    )


def parse_lifetime(octets: memoryview) -> Lifetime:
    """The opposite of `pack_lifetime`."""
    return Lifetime(*LIFETIME.unpack(take(octets, LIFETIME.size, "lifetime")))


def parse_usage(octets: memoryview) -> Usage:
    """xfrm_lifetime_cur."""
    return Usage(*USAGE.unpack(take(octets, USAGE.size, "current lifetime")))


def write_mark(writer: MessageWriter, mark: Mark | None, if_id: int | None) -> None:
    """XFRMA_MARK and XFRMA_IF_ID, which are part of the name of a state or policy."""
    if mark is not None:
        writer.attribute(Attribute.MARK, WORDS.pack(mark.value, mark.mask))
    if if_id is not None:
        writer.attribute(Attribute.IF_ID, struct.pack("=I", if_id))


def parse_mark(attributes: Mapping[int, memoryview]) -> Mark | None:
    """XFRMA_MARK; the kernel shows one of all zeros for none, which is None here."""
    octets = attributes.get(Attribute.MARK)
    if octets is None:
        return None
    value, mask = WORDS.unpack(take(octets, WORDS.size, "mark"))
    return Mark(value, mask) if value or mask else None


def known(kind: type[Number], number: int) -> Number:
    """A number of an enumeration.

    Raises:
        XfrmFormatError: it is none of those.
    """
    try:
        return kind(number)
    except ValueError as error:
        raise XfrmFormatError(f"{number} is no {kind.__name__}") from error


def parse_optional_address(octets: memoryview) -> Address | None:
    """An address whose family is not given: all zeros is None, otherwise by its tail."""
    raw = bytes(take(octets, 16, "address"))
    if not any(raw):
        return None
    return IPv6Address(raw) if any(raw[4:]) else IPv4Address(raw[:4])
