"""Invariant: each parameter class raises only WireError, and reads what it writes as it was.

The input is a HIP version (lowest bit of octet 0), a class (octet 1) and contents.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from hipgw.errors import LocalProtocolError, WireError
from hipgw.wire import (
    PARAMETERS,
    PARAMETERS_V1,
    LocatorSet,
    Parameter,
    emit_parameter,
    parse_parameters,
)
from tests.fuzz.fuzz_packet import seeds as packets
from tests.fuzz.target import Havoc, Target
from tests.fuzz.tlvs import emit, split

TABLES = {2: PARAMETERS, 1: PARAMETERS_V1}
KINDS = {version: [table[number] for number in sorted(table)] for version, table in TABLES.items()}
CONTENTS_MOST = 1024


def run(octets: bytes) -> None:
    """Read contents alone and in a TLV; write; read again."""
    if len(octets) < 2:
        return
    version = 1 + octets[0] % 2
    kinds = KINDS[version]
    kind, contents = kinds[octets[1] % len(kinds)], octets[2:]
    parameter = _read(kind, contents)
    framed = _read_tlvs(emit((kind.TYPE, contents)), version)
    if parameter is None:
        assert framed is None
        return
    assert framed == (parameter,)
    assert parameter.wire_type == kind.TYPE
    assert len(repr(parameter)) > len(kind.__name__)
    assert hash(parameter) == hash(kind.parse(contents))
    try:
        again = parameter.contents()
        tlv = emit_parameter(parameter)
    except LocalProtocolError:
        is_timeless = isinstance(parameter, LocatorSet) and not all(
            one.lifetime_s for one in parameter.locators
        )
        assert is_timeless, f"{kind.__name__} is read and not written"
        return
    assert kind.parse(again) == parameter
    assert parse_parameters(tlv, version=version) == (parameter,)


def _read(kind: type[Parameter], contents: bytes) -> Parameter | None:
    try:
        return kind.parse(contents)
    except WireError as error:
        check_refusal(error)
        return None


def _read_tlvs(octets: bytes, version: int) -> tuple[Parameter, ...] | None:
    try:
        return parse_parameters(octets, version=version)
    except WireError as error:
        check_refusal(error)
        return None


def check_refusal(error: WireError) -> None:
    """Contents can only be malformed."""
    assert error.reason == "hip_malformed"


def mutate(octets: bytes, most: int, rng: random.Random, havoc: Havoc) -> bytes:
    """Keep the class most of the time."""
    head = octets[:2].ljust(2, b"\0")
    if rng.random() < 0.1:
        return rng.randbytes(2) + octets[2:]
    if rng.random() < 0.2:  # lengths near those of a list of records
        return head + (octets[2:] * 2)[: rng.randrange(2 * len(octets) + 1)][: most - 2]
    return head + havoc(octets[2:], most - 2)


def seeds() -> Iterator[bytes]:
    """Parameters of the captures, and zeros and ones for every class."""
    for version, table in TABLES.items():
        numbers = sorted(table)
        for packet in packets():
            for number, contents in split(packet).tlvs:
                if number in table:
                    yield bytes([version - 1, numbers.index(number)]) + contents
        for index in range(len(numbers)):
            for size in (1, 4, 8, 12, 16, 20, 24, 36, 48):
                yield bytes([version - 1, index]) + bytes(size)
                yield bytes([version - 1, index]) + b"\1" * size


TARGET = Target("parameters", run, seeds, mutate, octets_most=CONTENTS_MOST)
