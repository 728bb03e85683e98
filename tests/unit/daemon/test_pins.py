"""The file of pins: what is written comes back, what is wrong is left out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw.daemon.pins import FILE_NAME, PINS_MOST, Pin, Pins, emit_pin, parse_pin
from hipgw.values import Hit

ONE, OTHER = (Hit.parse(f"2001:22::{number}") for number in (1, 2))
V4, V6 = IPv4Address("192.0.2.2"), IPv6Address("2001:db8::2")
DAY = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)


def pins(directory: Path) -> Pins:
    return Pins(directory, lambda: DAY)


def test_a_pin_is_there_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        kept = pins(tmp_path)
        assert await kept.keep(V4, ONE)
        assert await kept.keep(V6, ONE)
        again = pins(tmp_path)
        assert again.all() == [
            Pin(V4, ONE, "2026-11-22T19:30:00Z"),
            Pin(V6, ONE, again.all()[1].since),
        ]
        assert (again.hit_at(V4), again.hit_at(IPv4Address("192.0.2.3"))) == (ONE, None)

    asyncio.run(story())
    assert (
        "192.0.2.2 2001:22::1 # since 2026-11-22T19:30:00Z\n" in (tmp_path / FILE_NAME).read_text()
    )
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_pin_is_never_moved_to_another_host(tmp_path: Path) -> None:
    async def story() -> None:
        kept = pins(tmp_path)
        await kept.keep(V4, ONE)
        assert not await kept.keep(V4, OTHER)
        assert kept.hit_at(V4) == ONE
        assert [pin.hit for pin in await kept.remove(lambda pin: pin.address == V4)] == [ONE]
        assert await kept.keep(V4, OTHER)
        assert pins(tmp_path).hit_at(V4) == OTHER

    asyncio.run(story())


def test_the_oldest_goes_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hipgw.daemon.pins.PINS_MOST", 2)
    assert PINS_MOST > 2

    async def story() -> None:
        kept = pins(tmp_path)
        for number in range(3):
            await kept.keep(IPv4Address(f"192.0.2.{number + 1}"), ONE)
        assert [str(pin.address) for pin in kept.all()] == ["192.0.2.2", "192.0.2.3"]

    asyncio.run(story())


@pytest.mark.parametrize(
    "line",
    [
        "192.0.2.2",
        "192.0.2.2 2001:22::1 more",
        "192.0.2.2 2001:db8::1",
        "2001:22::1 192.0.2.2",
        "127.0.0.1 2001:22::1",
        "2001:22::1 2001:22::2",
        "elsewhere 2001:22::1",
    ],
)
def test_a_wrong_line_is_no_pin(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_pin(line)
    (tmp_path / FILE_NAME).write_text(f"# a comment\n\n{line}\n2001:db8::2 2001:22::1\n")
    assert pins(tmp_path).all() == [Pin(V6, ONE, "")]


def test_a_file_that_cannot_be_read_costs_its_pins_alone(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    kept = pins(tmp_path)
    assert kept.all() == []
    assert not asyncio.run(kept.keep(V4, ONE)), "it cannot be written either"
    assert kept.hit_at(V4) == ONE


@given(st.text(max_size=60))
def test_any_line_is_a_pin_or_a_value_error(line: str) -> None:
    try:
        pin = parse_pin(line)
    except ValueError:
        return
    if pin is not None:
        assert parse_pin(emit_pin(pin)) == pin
