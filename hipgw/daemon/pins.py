"""Who was found at an address in opportunistic mode, and must be found there again.

One line a pin in the file `pins` of the state directory, in the form of a hosts file with the
address first: `ADDRESS HIT # since DATE`.  Trust on first use, as ssh(1) has it for known_hosts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Final

from hipgw.daemon.state_files import STATE_OCTETS_LIMIT, write_atomically
from hipgw.resolve import parse_locator
from hipgw.values import Address, Hit

FILE_NAME: Final = "pins"
PINS_MOST: Final = 10_000
HEAD: Final = """\
# Hosts found in opportunistic mode: ADDRESS HIT # since DATE.
# See `hipgw pins`; a line that is wrong is ignored.
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pin:
    """One address and who is there."""

    address: Address
    hit: Hit
    since: str
    """UTC, as in ISO 8601; "" when the file does not say."""


class Pins:
    """Pins by address, in memory and in the file."""

    def __init__(
        self, directory: FilePath, today: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Read the file; one that cannot be read costs its pins, never the start."""
        self.file: Final = directory / FILE_NAME
        self._today = today
        self._lock = asyncio.Lock()
        self._pins: dict[Address, Pin] = {}
        try:
            with self.file.open("rb") as stream:
                text = stream.read(STATE_OCTETS_LIMIT).decode(errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("pins not read", extra={"file": self.file, "reason": error.strerror})
            return
        for number, line in enumerate(text.splitlines(), 1):
            try:
                pin = parse_pin(line)
            except ValueError as error:
                log.warning(
                    "pin unusable", extra={"file": f"{self.file}:{number}", "reason": error}
                )
                continue
            if pin is not None:
                self._pins[pin.address] = pin

    def all(self) -> list[Pin]:
        """Every pin, in the order in which they were made."""
        return list(self._pins.values())

    def hit_at(self, address: Address) -> Hit | None:
        """Who must be at an address, or None."""
        pin = self._pins.get(address)
        return None if pin is None else pin.hit

    async def keep(self, address: Address, hit: Hit) -> bool:
        """Pin whoever was found at an address that has no pin yet; whether it is written.

        An older pin goes when there are too many.
        """
        if address in self._pins:
            return self._pins[address].hit == hit
        while len(self._pins) >= PINS_MOST:
            del self._pins[next(iter(self._pins))]
        since = self._today().strftime("%Y-%m-%dT%H:%M:%SZ")
        self._pins[address] = Pin(address, hit, since)
        return await self._write()

    async def remove(self, is_meant: Callable[[Pin], bool]) -> list[Pin]:
        """Forget pins; returns which."""
        gone = [pin for pin in self._pins.values() if is_meant(pin)]
        for pin in gone:
            del self._pins[pin.address]
        if gone:
            await self._write()
        return gone

    async def _write(self) -> bool:
        async with self._lock:
            lines = [emit_pin(pin) for pin in self._pins.values()]
            try:
                await asyncio.to_thread(
                    write_atomically, self.file, (HEAD + "".join(lines)).encode()
                )
            except OSError as error:
                log.warning("pins not written", extra={"file": self.file, "reason": error})
                return False
        return True


def parse_pin(line: str) -> Pin | None:
    """Read a line; None for an empty one.

    Raises:
        ValueError: it is no pin; says why.
    """
    content, _, comment = line.partition("#")
    words = content.split()
    if not words:
        return None
    if len(words) != 2:
        raise ValueError(f"expected an address and a HIT, found {len(words)} words")
    hit = Hit.parse(words[1])
    if not hit.version:
        raise ValueError(f"{hit} is no HIT")
    return Pin(parse_locator(words[0]), hit, comment.strip().removeprefix("since ").strip())


def emit_pin(pin: Pin) -> str:
    """The line of a pin."""
    since = f" # since {pin.since}" if pin.since else ""
    return f"{pin.address} {pin.hit}{since}\n"
