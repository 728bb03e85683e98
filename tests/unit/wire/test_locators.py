"""Layouts of RFC 8046 section 4 and RFC 9028 section 5.7."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from hipgw.wire import (
    AddressLocator,
    LocatorRecord,
    LocatorSet,
    SpiLocator,
    TransportLocator,
    UnknownLocator,
)
from tests.unit.wire.layouts import check_layout, check_malformed, check_read, check_refused

V6 = ip_address("2001:db8::99")
V4 = ip_address("192.0.2.99")
V6_HEX = "20010db8 00000000 00000000 00000099"
V4_HEX = "00000000 00000000 0000ffff c0000263"


@pytest.mark.parametrize(
    ("parameter", "contents"),
    [
        (LocatorSet(()), ""),
        (LocatorSet((LocatorRecord(AddressLocator(V6)),)), "00 00 04 00 ffffffff" + V6_HEX),
        (
            LocatorSet((LocatorRecord(SpiLocator(0x1A2B3C4D, V4), 600, preferred=True),)),
            "00 01 05 01 00000258 1a2b3c4d" + V4_HEX,
        ),
        (
            LocatorSet(
                (
                    LocatorRecord(
                        TransportLocator(10500, 17, 1, 0x64FFFFFF, 0x100, V4), 1, traffic_type=2
                    ),
                )
            ),
            "02 02 07 00 00000001 2904 11 01 64ffffff 00000100" + V4_HEX,
        ),
        (
            LocatorSet(
                (
                    LocatorRecord(UnknownLocator(9, b"abcd"), 5, traffic_type=1),
                    LocatorRecord(AddressLocator(V4), 6),
                )
            ),
            "01 09 01 00 00000005 61626364  00 00 04 00 00000006" + V4_HEX,
        ),
        (LocatorSet((LocatorRecord(UnknownLocator(3, b""), 5),)), "00 03 00 00 00000005"),
    ],
)
def test_layout(parameter: LocatorSet, contents: str) -> None:
    check_layout(parameter, 193, contents)


@pytest.mark.parametrize(
    "contents",
    [
        "00 00 04 00 000000",  # half a record head
        "00 00 04 00 00000001" + V6_HEX[:-2],  # locator cut
        "00 00 05 00 00000001 00000000" + V6_HEX,  # wrong length for type 0
        "00 01 04 00 00000001" + V6_HEX,  # wrong length for type 1
        "00 02 05 00 00000001 00000000" + V6_HEX,  # wrong length for type 2
        "00 00 04 00 00000001" + V6_HEX + "00",  # an octet behind the last record
        "00 09 ff 00 00000001",  # 1020 octets that are not there
    ],
)
def test_malformed(contents: str) -> None:
    check_malformed(LocatorSet, contents)


def test_tolerance() -> None:
    """Reserved bits are ignored; a lifetime of zero is the engine's to judge."""
    record = LocatorRecord(AddressLocator(V6), 0, preferred=True)
    check_read(LocatorSet, "00 00 04 ff 00000000" + V6_HEX, LocatorSet((record,)))
    record = LocatorRecord(AddressLocator(V6), 1)
    check_read(LocatorSet, "00 00 04 fe 00000001" + V6_HEX, LocatorSet((record,)))


@pytest.mark.parametrize(
    "record",
    [
        LocatorRecord(AddressLocator(V6), 0),
        LocatorRecord(AddressLocator(V6), 1 << 32),
        LocatorRecord(AddressLocator(V6), traffic_type=256),
        LocatorRecord(SpiLocator(1 << 32, V6)),
        LocatorRecord(UnknownLocator(1, b"abcd")),
        LocatorRecord(UnknownLocator(9, b"abc")),
        LocatorRecord(UnknownLocator(9, bytes(1024))),
    ],
    ids=lambda record: type(record.locator).__name__,
)
def test_what_must_not_be_sent(record: LocatorRecord) -> None:
    check_refused(LocatorSet((record,)))
