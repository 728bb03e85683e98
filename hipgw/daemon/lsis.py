"""The LSIs of this host and its peers, the same after a restart.

The rules are those of `hipgw.policy.lsis`; this adds the file, and the LSIs that the resolver
knows to be fixed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path as FilePath
from typing import Any, Final

from hipgw.daemon.state_files import read_json, write_json
from hipgw.policy import LsiConflictError, LsiTable
from hipgw.resolve import Resolver
from hipgw.values import Hit, Lsi

FILE_NAME: Final = "lsis.json"
FILE_VERSION: Final = 1

log = logging.getLogger(__name__)


class LsiRegistry:
    """HIT <-> LSI of this host, kept in `lsis.json` of the state directory."""

    def __init__(
        self,
        prefix: IPv4Network,
        directory: FilePath,
        resolver: Resolver,
        is_in_use: Callable[[Hit], bool] = lambda _: False,
    ) -> None:
        """Read the file.

        Args:
            prefix: where LSIs live.
            directory: state directory; it exists.
            resolver: knows the LSIs that the operator fixed.
            is_in_use: whether a peer has an association now, so that it keeps its LSI.
        """
        self._table = LsiTable(prefix)
        self._file: Final = directory / FILE_NAME
        self._resolver = resolver
        self._is_in_use = is_in_use
        self._saved: dict[Hit, Lsi] = {}
        self._aliases: dict[Hit, Hit] = {}
        """Own HITs of HIPv1, to those of the same identities in HIPv2."""
        self._unstored: set[Hit] = set()

    def start(
        self, own_hits: Sequence[Hit], aliases: Mapping[Hit, Hit] | None = None
    ) -> tuple[Lsi, ...]:
        """Fill the table: own identities, then fixed LSIs, then those of the last run.

        Args:
            own_hits: of this host's identities.
            aliases: other HITs of the same identities, in HIPv1, which share their LSIs.

        Returns:
            The LSIs of this host's identities, in their order.
        """
        self._aliases = dict(aliases or {})
        own = tuple(self._table.give_own(hit) for hit in own_hits)
        self.apply_fixed(may_move_others=True)
        self._saved = _parse_entries(read_json(self._file))
        for hit in self._table.restore(self._saved):
            log.warning("LSI of the last run is taken", extra={"peer_hit": hit})
        return own

    def check_room(self) -> None:
        """Raise LsiConflictError if one more identity of this host would get no LSI."""
        self._table.lowest_free()

    def add_own(self, hit: Hit, aliases: Sequence[Hit] = ()) -> Lsi:
        """The LSI of one more identity of this host, and of its other HITs."""
        self._aliases |= dict.fromkeys(aliases, hit)
        return self._table.give_own(hit)

    def release_own(self, hit: Hit) -> None:
        """An identity of this host is no more."""
        self._aliases = {alias: own for alias, own in self._aliases.items() if own != hit}
        self._table.release_own(hit)

    def keep_out(self, hit: Hit) -> None:
        """Never write the LSI of this HIT: an anonymous HI is not stored (RFC 7401 5.1.2)."""
        self._unstored.add(hit)

    def apply_fixed(self, *, may_move_others: bool = False) -> list[LsiConflictError]:
        """Take over what configuration and hosts files fix; returns what they cannot have."""
        conflicts = []
        for hit, lsi in self._resolver.fixed_lsis().items():
            try:
                self._table.fix(hit, lsi, may_move_others=may_move_others)
            except LsiConflictError as error:
                conflicts.append(error)
                log.warning("LSI refused", extra={"peer_hit": hit, "lsi": lsi, "reason": error})
        return conflicts

    def fix(self, hit: Hit, lsi: Lsi) -> None:
        """Give a HIT this LSI now; raises LsiConflictError when another HIT has it."""
        self._table.fix(hit, lsi)

    def hit_to_lsi(self, hit: Hit) -> Lsi:
        """The LSI of a HIT, given now if it has none; LsiConflictError when none is free."""
        return self._table.give(self._aliases.get(hit, hit), self._is_in_use)

    def known_lsi(self, hit: Hit) -> Lsi | None:
        """The LSI of a HIT if it has one; gives none."""
        return self._table.lsi_of(self._aliases.get(hit, hit))

    def lsi_to_hit(self, lsi: Lsi) -> Hit | None:
        """The HIT behind an LSI, or None."""
        return self._table.hit_of(lsi)

    def unsaved(self) -> dict[Hit, Lsi] | None:
        """What `save` has to write, or None when nothing came or went since."""
        entries = self._table.automatic()
        self._unstored &= entries.keys()
        for hit in self._unstored:
            del entries[hit]
        return None if entries == self._saved else entries

    def save(self, entries: dict[Hit, Lsi]) -> None:
        """Write the file; may run on another thread, since `entries` is a copy.

        Raises:
            OSError: the disk refused; `unsaved` will offer the entries again.
        """
        listed = {str(hit): str(lsi) for hit, lsi in entries.items()}
        write_json(self._file, {"version": FILE_VERSION, "lsis": listed})
        self._saved = entries


def _parse_entries(content: dict[str, Any]) -> dict[Hit, Lsi]:
    """Usable entries of the file; others are left out."""
    listed = content.get("lsis")
    entries: dict[Hit, Lsi] = {}
    if not isinstance(listed, dict):
        return entries
    for hit, lsi in listed.items():
        try:
            entries[Hit.parse(hit)] = Lsi.parse(lsi)
        except (TypeError, ValueError):
            log.warning("entry of the LSI file unusable", extra={"file": FILE_NAME})
    return entries
