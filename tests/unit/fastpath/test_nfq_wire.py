"""Messages of netfilter queues: as the kernel writes them, and as nobody should."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw._fastpath.nfq_wire import parse_messages

PACKET_MESSAGE = 3 << 8
PACKET_HDR, MARK, PAYLOAD, CAP_LEN, SKB_INFO = 1, 3, 10, 13, 14


def attribute(kind: int, content: bytes, *, length: int | None = None) -> bytes:
    octets = struct.pack("=HH", 4 + len(content) if length is None else length, kind) + content
    return octets + bytes(-len(octets) % 4)


def message(
    *attributes: bytes, queue: int = 5, kind: int = PACKET_MESSAGE, length: int | None = None
) -> bytes:
    body = struct.pack("!BBH", 2, 0, queue) + b"".join(attributes)
    total = 16 + len(body) if length is None else length
    return struct.pack("=IHHII", total, kind, 0, 0, 0) + body


HEADER = attribute(PACKET_HDR, struct.pack("!IHB", 77, 0x86DD, 3))
WHOLE = message(HEADER, attribute(PAYLOAD, b"packet!"))
EXPECTED = (5, 77, 0x86DD, 3, 0, 0, 7, b"packet!")


def test_one_packet() -> None:
    assert parse_messages(WHOLE) == ([EXPECTED], 0)


def test_every_attribute_in_any_order_and_strange_ones_between() -> None:
    octets = message(
        attribute(SKB_INFO, struct.pack("!I", 3)),
        attribute(99, b"who knows"),
        attribute(PAYLOAD, b"abc"),
        attribute(CAP_LEN, struct.pack("!I", 9000)),
        attribute(MARK, struct.pack("!I", 0xDEADBEEF)),
        HEADER,
        queue=65535,
    )
    assert parse_messages(octets) == (
        [(65535, 77, 0x86DD, 3, 0xDEADBEEF, 3, 9000, b"abc")],
        0,
    )


def test_flags_of_an_attribute_type_are_no_part_of_it() -> None:
    octets = message(HEADER, attribute(0x8000 | PAYLOAD, b"x"))
    assert parse_messages(octets)[0][0][-1] == b"x"


def test_several_messages_of_one_datagram() -> None:
    other = message(HEADER, attribute(PAYLOAD, b"second"), queue=6)
    packets, others = parse_messages(WHOLE + message(kind=2) + other)
    assert [packet[-1] for packet in packets] == [b"packet!", b"second"]
    assert others == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"\0", id="shorter than a header"),
        pytest.param(WHOLE[:15], id="half a header"),
        pytest.param(message(HEADER, length=15), id="length below its header"),
        pytest.param(message(HEADER, length=0), id="length zero"),
        pytest.param(message(HEADER, length=33), id="length beyond the datagram"),
        pytest.param(message(HEADER, length=0xFFFFFFFF), id="length of four gigabytes"),
        pytest.param(struct.pack("=IHHII", 16, PACKET_MESSAGE, 0, 0, 0), id="no nfgenmsg"),
        pytest.param(message(), id="no attributes"),
        pytest.param(message(HEADER), id="no packet"),
        pytest.param(message(HEADER, attribute(PAYLOAD, b"")), id="packet of no octets"),
        pytest.param(message(attribute(PAYLOAD, b"x")), id="no id"),
        pytest.param(
            message(attribute(PACKET_HDR, bytes(6)), attribute(PAYLOAD, b"x")), id="id cut off"
        ),
        pytest.param(
            message(HEADER, attribute(PAYLOAD, b"x", length=3)), id="attribute below its header"
        ),
        pytest.param(
            message(HEADER, attribute(PAYLOAD, b"x", length=0)), id="attribute of length zero"
        ),
        pytest.param(
            message(HEADER, attribute(PAYLOAD, b"x", length=9)), id="attribute beyond the message"
        ),
        pytest.param(
            message(HEADER, attribute(PAYLOAD, b"x", length=0xFFFF)), id="attribute of 64 KiB"
        ),
        pytest.param(message(HEADER, attribute(PAYLOAD, b"x"), kind=2), id="an error"),
        pytest.param(message(HEADER, attribute(PAYLOAD, b"x"), kind=3 << 8 | 1), id="a verdict"),
    ],
)
def test_what_is_no_packet_is_counted(broken: bytes) -> None:
    assert parse_messages(broken) == ([], 1)


def test_nothing_is_nothing() -> None:
    assert parse_messages(b"") == ([], 0)


def test_every_prefix_of_a_packet_is_safe() -> None:
    for length in range(1, len(WHOLE)):
        packets, others = parse_messages(WHOLE[:length])
        assert (packets, others) == ([], 1), length


@given(st.binary(max_size=200))
def test_any_octets_are_parsed_to_their_end(octets: bytes) -> None:
    packets, others = parse_messages(octets)
    assert len(packets) + others <= len(octets) // 16 + 1


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, 255))
def test_any_changed_octet_is_survived(at: int, value: int, more: int) -> None:
    changed = bytearray(WHOLE + WHOLE)
    changed[at] = value
    changed[(at * 7 + 3) % len(changed)] = more
    packets, others = parse_messages(bytes(changed))
    assert all(len(packet[-1]) <= len(changed) for packet in packets)
    assert len(packets) + others <= 6
