"""HIT or LSI?  Which family an inbound packet to a local port is for.

BEET carries neither inner addresses nor their family (RFC 7402 appendix B), and TCP and UDP have
the same number over both.  The data path knows the flows that it has seen going out; for the rest
it asks here, and we look at who holds the port (proc(5), /proc/net/tcp and the others).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path as FilePath
from typing import Final

from hipgw.values import Hit, Lsi

FAMILY_HIT: Final = 6
FAMILY_LSI: Final = 4
TABLES: Final = {6: ("tcp6", "tcp"), 17: ("udp6", "udp"), 136: ("udplite6", "udplite")}
"""IP protocol number -> files of its sockets, IPv6 first."""
KNOWN_S: Final = 0.5
"""How long a table that names a holder of the port is believed."""
READS_PER_S: Final = 10.0
"""Reading a table takes milliseconds: a peer who tries ports costs a tenth of a core at most."""
WILDCARDS: Final = (bytes(16), bytes(4))
MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"

Holders = dict[int, set[bytes]]
"""Local port -> local addresses of the sockets that hold it, 16 or 4 octets each."""


class PortFamilies:
    """Decides the family of a local port by the sockets of this network namespace."""

    def __init__(
        self,
        hits: Iterable[Hit],
        lsis: Iterable[Lsi],
        *,
        directory: FilePath = FilePath("/proc/net"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.set_own(hits, lsis)
        self._directory = directory
        self._clock = clock
        self._cache: dict[int, tuple[float, Holders]] = {}
        self._reads_left = READS_PER_S
        self._refilled_at = clock()

    def set_own(self, hits: Iterable[Hit], lsis: Iterable[Lsi]) -> None:
        """These are the HITs and LSIs of this host."""
        self._hits = {hit.packed for hit in hits}
        self._lsis = {lsi.packed for lsi in lsis}

    def family_of(self, protocol: int, port: int) -> int | None:
        """`FAMILY_LSI` if only IPv4 sockets take the port, else `FAMILY_HIT`; None if none does.

        A socket on the very HIT or LSI counts more than one on every address.
        """
        holders = self._holders(protocol, port)
        if holders & self._hits:
            return FAMILY_HIT
        if holders & self._lsis:
            return FAMILY_LSI
        if WILDCARDS[0] in holders:
            return FAMILY_HIT
        return FAMILY_LSI if WILDCARDS[1] in holders else None

    def _holders(self, protocol: int, port: int) -> set[bytes]:
        """Local addresses of the sockets that hold a port.

        A server may have been started a moment ago, so a table without a holder is read again.
        """
        now = self._clock()
        read_at, table = self._cache.get(protocol, (now - KNOWN_S, {}))
        is_fresh = now - read_at < KNOWN_S
        if (port in table and is_fresh) or not self._may_read(now):
            return table.get(port, set())
        table = {}
        for name in TABLES.get(protocol, ()):
            try:
                text = (self._directory / name).read_text()
            except OSError:
                continue
            for address, holder in parse_sockets(text):
                table.setdefault(holder, set()).add(address)
        self._cache[protocol] = (now, table)
        return table.get(port, set())

    def _may_read(self, now: float) -> bool:
        since_s = max(now - self._refilled_at, 0.0)
        self._reads_left = min(self._reads_left + since_s * READS_PER_S, READS_PER_S)
        self._refilled_at = now
        if self._reads_left < 1.0:
            return False
        self._reads_left -= 1.0
        return True


def parse_sockets(text: str) -> list[tuple[bytes, int]]:
    """Local address and port of each socket of a /proc/net table; odd lines are left out."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split(maxsplit=2)
        if len(words) < 2:
            continue
        address, _, port = words[1].partition(":")
        try:
            packed = bytes.fromhex(address)
            number = int(port, 16)
        except ValueError:
            continue
        if len(packed) not in (4, 16):
            continue
        # The kernel prints each 32-bit word as a number, so on little-endian hosts octets turn.
        turned = b"".join(_word(packed[at : at + 4]) for at in range(0, len(packed), 4))
        found.append((turned.removeprefix(MAPPED_PREFIX), number))
    return found


def _word(octets: bytes) -> bytes:
    return int.from_bytes(octets, "big").to_bytes(4, sys.byteorder)
