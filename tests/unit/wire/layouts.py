"""Checks that every parameter test makes, against octets written by hand from the RFC figures."""

from __future__ import annotations

import pytest

from hipgw.errors import LocalProtocolError, WireError
from hipgw.wire import Parameter, emit_parameter, parse_parameters


def check_layout(parameter: Parameter, number: int, contents: str, version: int = 2) -> None:
    """`contents` is hex; the TLV around it is built here by the rule of RFC 7401 section 5.2.1."""
    octets = bytes.fromhex(contents)
    tlv = number.to_bytes(2, "big") + len(octets).to_bytes(2, "big") + octets
    while len(tlv) % 8:
        tlv += b"\0"
    assert type(parameter).parse(octets) == parameter
    assert emit_parameter(parameter) == tlv
    assert parse_parameters(tlv, version=version) == (parameter,)


def check_read(kind: type[Parameter], contents: str, expected: Parameter) -> None:
    """Octets that may be received, but that we write otherwise (reserved fields set, and so on)."""
    assert kind.parse(bytes.fromhex(contents)) == expected


def check_malformed(kind: type[Parameter], contents: str) -> None:
    """Contents that break the layout: the error names the reason and the parameter's type."""
    with pytest.raises(WireError) as caught:
        kind.parse(bytes.fromhex(contents))
    assert caught.value.reason == "hip_malformed"
    assert caught.value.parameter_type == kind.TYPE


def check_refused(parameter: Parameter) -> None:
    """A value that must not be sent."""
    with pytest.raises(LocalProtocolError):
        emit_parameter(parameter)
