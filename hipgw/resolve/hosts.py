"""Hosts files: `/etc/hip/hosts` and `/etc/hosts`, with HITs, LSIs and IP addresses on their lines.

Both files have the format of hosts(5): `<HIT, LSI or IP address> name [aliases]`, comments after
`#`.  A HIT is joined to IP addresses by a name that both have, over all files (HIPL manual,
"Easy Methods": HIT -> host name -> IP address).  A line that cannot be read is skipped and
reported: `/etc/hosts` belongs to everybody, so an odd line of somebody else is no error of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address
from pathlib import Path as FilePath
from typing import Final

from hipgw.resolve.peers import is_hit, parse_locator
from hipgw.values import Address, Hit, Lsi

FILE_OCTETS_LIMIT: Final = 64 * 1024 * 1024
"""A longer hosts file is not read: it is a mistake, and would cost the daemon its memory."""


@dataclass(frozen=True, slots=True)
class HostsLine:
    """One usable line: exactly one of `hit`, `lsi`, `address` is set; names are lower case."""

    names: tuple[str, ...]
    hit: Hit | None = None
    lsi: Lsi | None = None
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class LineTrouble:
    """A line that was skipped, and why."""

    file: str
    line: int
    message: str


def parse_hosts(
    text: str, lsi_prefix: IPv4Network, file: str = ""
) -> tuple[list[HostsLine], list[LineTrouble]]:
    """Read the text of a hosts file; never raises.

    Lines with an address that reaches no other host (loopback, multicast, link-local) are usual in
    `/etc/hosts` and are left out without a word.
    """
    lines: list[HostsLine] = []
    troubles: list[LineTrouble] = []
    for number, raw in enumerate(text.splitlines(), 1):
        words = raw.partition("#")[0].split()
        if not words:
            continue
        try:
            line = _parse_line(words, lsi_prefix)
        except ValueError as error:
            troubles.append(LineTrouble(file, number, str(error)))
            continue
        if line is not None:
            lines.append(line)
    return lines, troubles


def _parse_line(words: list[str], lsi_prefix: IPv4Network) -> HostsLine | None:
    if len(words) < 2:
        raise ValueError(f"{words[0]!r} without a name: expected '<HIT, LSI or IP address> name'")
    address = ip_address(words[0])
    names = tuple(word.lower() for word in words[1:])
    if is_hit(address):
        return HostsLine(names, hit=Hit(address.packed))
    if address.version == 4 and address in lsi_prefix:
        return HostsLine(names, lsi=Lsi(address.packed))
    try:
        return HostsLine(names, address=parse_locator(words[0]))
    except ValueError:
        return None


@dataclass(slots=True)
class _NameEntry:
    hits: list[Hit] = field(default_factory=list)
    lsis: list[Lsi] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)


class HostsTable:
    """Lines of all hosts files, joined by name; immutable once built."""

    def __init__(self, lines: Iterable[HostsLine] = ()) -> None:
        self._by_name: dict[str, _NameEntry] = {}
        self._names_of: dict[Hit, list[str]] = {}
        for line in lines:
            self._add(line)

    def _add(self, line: HostsLine) -> None:
        for name in line.names:
            entry = self._by_name.setdefault(name, _NameEntry())
            if line.hit is not None and line.hit not in entry.hits:
                entry.hits.append(line.hit)
            if line.lsi is not None and line.lsi not in entry.lsis:
                entry.lsis.append(line.lsi)
            if line.address is not None and line.address not in entry.addresses:
                entry.addresses.append(line.address)
        if line.hit is not None:
            known = self._names_of.setdefault(line.hit, [])
            known.extend(name for name in line.names if name not in known)

    def hits(self) -> tuple[Hit, ...]:
        """Every HIT of the files, in their order."""
        return tuple(self._names_of)

    def hit_of(self, name: str) -> Hit | None:
        """The first HIT of a name, whatever its case."""
        hits = self.hits_of(name)
        return hits[0] if hits else None

    def hits_of(self, name: str) -> tuple[Hit, ...]:
        """Every HIT of a name, whatever its case, in the order of the files."""
        entry = self._by_name.get(name.lower())
        return tuple(entry.hits) if entry else ()

    def names_of(self, hit: Hit) -> tuple[str, ...]:
        """Names of a HIT, canonical name of its first line first."""
        return tuple(self._names_of.get(hit, ()))

    def addresses_of(self, hit: Hit) -> tuple[Address, ...]:
        """IP addresses that share a name with the HIT."""
        found: dict[Address, None] = {}
        for name in self._names_of.get(hit, ()):
            found.update(dict.fromkeys(self._by_name[name].addresses))
        return tuple(found)

    def fixed_lsis(self) -> dict[Hit, Lsi]:
        """LSIs that share a name with a HIT; of several, the first."""
        fixed: dict[Hit, Lsi] = {}
        for hit, names in self._names_of.items():
            for name in names:
                if self._by_name[name].lsis:
                    fixed.setdefault(hit, self._by_name[name].lsis[0])
        return fixed


class HostsFiles:
    """Hosts files on disk, read again when one of them has changed.

    A file that does not exist counts as empty, and is read once it appears.
    """

    def __init__(self, files: Sequence[FilePath], lsi_prefix: IPv4Network) -> None:
        self._files = tuple(files)
        self._lsi_prefix = lsi_prefix
        self._stamps: tuple[tuple[int, int, int] | None, ...] | None = None
        self.table = HostsTable()
        self.troubles: tuple[LineTrouble, ...] = ()

    def refresh(self) -> bool:
        """Read the files if inode, size or time of change differs; whether anything was read."""
        stamps = tuple(_stamp(file) for file in self._files)
        if stamps == self._stamps:
            return False
        lines: list[HostsLine] = []
        troubles: list[LineTrouble] = []
        for file, stamp in zip(self._files, stamps, strict=True):
            if stamp is None:
                continue
            if stamp[1] > FILE_OCTETS_LIMIT:
                troubles.append(LineTrouble(str(file), 0, f"over {FILE_OCTETS_LIMIT} octets"))
                continue
            try:
                text = file.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                troubles.append(LineTrouble(str(file), 0, error.strerror or "cannot be read"))
                continue
            good, bad = parse_hosts(text, self._lsi_prefix, str(file))
            lines += good
            troubles += bad
        self.table = HostsTable(lines)
        self.troubles = tuple(troubles)
        self._stamps = stamps
        return True


def _stamp(file: FilePath) -> tuple[int, int, int] | None:
    """Inode, octets, nanoseconds of the last change; None when there is no such file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
