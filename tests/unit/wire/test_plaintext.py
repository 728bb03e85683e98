"""Padding inside ENCRYPTED (RFC 7401 section 5.2.18)."""

from __future__ import annotations

import pytest

from hipgw.errors import LocalProtocolError, WireError
from hipgw.wire import HostId, emit_parameter, pad_plaintext, parse_parameters
from hipgw.wire import strip_plaintext_padding as strip

ODD = emit_parameter(HostId(5, b"k" * 6))  # 16 octets, no padding wanted
EVEN = emit_parameter(HostId(5, b"k" * 14))  # 24 octets, 8 to fill


def test_lengths_of_the_examples() -> None:
    assert (len(ODD), len(EVEN)) == (16, 24)


def test_pad() -> None:
    assert pad_plaintext(EVEN, 16) == EVEN + b"\x08" * 8
    assert pad_plaintext(ODD, 16) == ODD
    assert pad_plaintext(EVEN, 8) == EVEN
    assert pad_plaintext(EVEN, 1) == EVEN
    assert pad_plaintext(b"", 16) == b""


@pytest.mark.parametrize(("tlvs", "block"), [(b"abc", 16), (EVEN, 0), (EVEN, 17)])
def test_what_cannot_be_padded(tlvs: bytes, block: int) -> None:
    with pytest.raises(LocalProtocolError):
        pad_plaintext(tlvs, block)


@pytest.mark.parametrize(
    "tail",
    [b"", b"\x08" * 8, b"\x10" * 16, b"\x04" * 4, b"\x0f" * 15, b"\0\0\0", b"\x01", b"\x55\xaa"],
)
@pytest.mark.parametrize("tlvs", [ODD, EVEN, ODD + EVEN])
def test_strip(tlvs: bytes, tail: bytes) -> None:
    """PKCS #5 of any length up to a block, and scraps too short for a head."""
    assert strip(tlvs + tail) == tlvs


def test_strip_nothing_but_padding() -> None:
    assert strip(b"\x10" * 16) == b""
    assert strip(b"") == b""


def test_strip_keeps_looking_at_lengths() -> None:
    for octets in (b"\x09" * 8, b"\x11" * 17, b"\x11" * 32, ODD[:-8], ODD + b"\x02\xc1\x00\x10"):
        with pytest.raises(WireError) as caught:
            strip(octets)
        assert caught.value.reason == "hip_malformed"


def test_lenient_parse() -> None:
    expected = (HostId(5, b"k" * 14),)
    assert parse_parameters(EVEN + b"\x08" * 8, lenient_tail=True) == expected
    with pytest.raises(WireError):
        parse_parameters(EVEN + b"\x08" * 8)
