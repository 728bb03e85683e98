"""`iptables` and `nft`: programs that put rules of ours into the packet filter, and take them out.

Rules stand in chains of our own, which bear the name of the interface; each built-in chain gets one
jump to its own of ours, marked with a comment.  Nothing else is read, changed or removed.  The
programs that know how are asked in turn: `iptables` (either kind) and then `nft`; tables in turn,
too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hipgw.errors import HostError

MARK: Final = "hipgw"
"""The comment of each of our rules."""
FAMILIES: Final = (4, 6)
PATIENCE_S: Final = 10.0
APART: Final = ("unshare", "--net", "--")
TOOL_DIRECTORIES: Final = ":/usr/local/sbin:/usr/sbin:/sbin"
LEGACY_TABLES: Final = {
    4: Path("/proc/thread-self/net/ip_tables_names"),
    6: Path("/proc/thread-self/net/ip6_tables_names"),
}


@dataclass(frozen=True, slots=True)
class RuleNames:
    """By what the rules of one kind for one interface are found again."""

    chains: tuple[str, ...]
    """Of ours, for iptables."""
    tables: tuple[str, ...]
    """That may hold them, for iptables: best first."""
    nft_table: str
    """Family and name of a table of our own, for nft."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules of one kind for one interface."""

    names: RuleNames
    lines: Mapping[int, tuple[str, ...]]
    """For iptables-restore, by address family."""
    nft_text: str
    """A ruleset for `nft -f`, in one transaction."""


def own_nft_table(prefix: str, interface: str) -> str:
    """Family and name of a table of ours for an interface."""
    return f"inet {prefix}" + re.sub(r"\W", "_", interface)


class RuleError(HostError):
    """A program that was asked said no; its last line stands in the message."""


class IpTables:
    """`iptables` and `ip6tables` of one kind: over nf_tables, or the legacy one."""

    def __init__(self, suffix: str = "") -> None:
        self._suffix: Final = suffix
        self.name: Final = "iptables" + suffix

    def is_installed(self) -> bool:
        """Whether all programs of it are there."""
        tools = [self._tool(family) for family in FAMILIES]
        return all(_which(tool + end) for tool in tools for end in ("", "-restore"))

    def _tool(self, family: int) -> str:
        return ("iptables" if family == 4 else "ip6tables") + self._suffix

    def _restore(self, family: int, table: str, lines: Sequence[str]) -> None:
        # One transaction: all of it, or nothing.
        tool = f"{self._tool(family)}-restore"
        _run([tool, "-w", "5", "--noflush"], "\n".join([f"*{table}", *lines, "COMMIT", ""]))

    def install(self, rules: RuleSet) -> str:
        """Put the rules in; returns the table.

        Raises:
            RuleError: none of the tables can hold them; nothing is left behind.
        """
        refusals = []
        for table in rules.names.tables:
            made = []
            try:
                for family in FAMILIES:
                    self._restore(family, table, rules.lines[family])
                    made.append(family)
            except RuleError as error:
                refusals.append(str(error))
                for family in made:
                    self._remove_from(family, table, rules.names.chains)
            else:
                return table
        raise RuleError("; ".join(dict.fromkeys(refusals)))

    def trial(self, rules: RuleSet) -> None:
        """Make the rules where nobody is; raises RuleError."""
        for family in FAMILIES:
            text = ["*filter", *rules.lines[family], "COMMIT", ""]
            _run([*APART, f"{self._tool(family)}-restore", "--noflush"], "\n".join(text))

    def remove(self, names: RuleNames) -> int:
        """Take our rules of these names out of every table; returns how many chains went."""
        return sum(
            self._remove_from(family, table, names.chains)
            for family in FAMILIES
            for table in names.tables
            if self._has_table(family, table)
        )

    def _has_table(self, family: int, table: str) -> bool:
        """To list a legacy table makes it."""
        if not self._suffix:
            return True
        try:
            return table in LEGACY_TABLES[family].read_text(encoding="ascii").split()
        except OSError:
            return False

    def _remove_from(self, family: int, table: str, ours: Sequence[str]) -> int:
        try:
            listed = _run([self._tool(family), "-w", "5", "-t", table, "-S"]).splitlines()
        except RuleError:
            return 0  # no such table in this kernel
        words = [line.split() for line in listed]
        jumps = [
            line.replace("-A ", "-D ", 1)
            for line, parts in zip(listed, words, strict=True)
            if parts[:1] == ["-A"] and "-j" in parts and parts[parts.index("-j") + 1] in ours
        ]
        chains = [parts[1] for parts in words if parts[:1] == ["-N"] and parts[1] in ours]
        if not chains:
            return 0
        lines = [*jumps, *(f"-F {chain}" for chain in chains), *(f"-X {chain}" for chain in chains)]
        self._restore(family, table, lines)
        return len(chains)


class NfTables:
    """`nft`: a table of our own for each kind of rules and each interface."""

    name: Final = "nft"

    def is_installed(self) -> bool:
        """Whether the program is there."""
        return _which("nft") is not None

    def install(self, rules: RuleSet) -> str:
        """Put the rules in; returns the table.

        Raises:
            RuleError: this kernel lacks what the rules need, or has no nf_tables.
        """
        _run(["nft", "-f", "-"], rules.nft_text)
        return rules.names.nft_table

    def trial(self, rules: RuleSet) -> None:
        """Make the rules where nobody is; raises RuleError."""
        _run([*APART, "nft", "-f", "-"], rules.nft_text)

    def remove(self, names: RuleNames) -> int:
        """Take our table of this name away; returns how many went."""
        table = names.nft_table
        try:
            listed = _run(["nft", "list", "tables", "inet"]).split("\n")
        except RuleError:
            return 0
        if f"table {table}" not in listed:
            return 0
        _run(["nft", "delete", "table", *table.split()])
        return 1


Tool = IpTables | NfTables


def known_tools() -> list[Tool]:
    """Whoever may be asked on this host, best first."""
    return [tool for tool in (IpTables(), IpTables("-legacy"), NfTables()) if tool.is_installed()]


def install_first(rules: RuleSet, tools: Sequence[Tool], *, is_fresh: bool = False) -> str:
    """Put rules in with the first program that can, in place of what is left of older ones.

    Args:
        rules: what to put in.
        tools: whom to ask, in turn.
        is_fresh: nothing is left of older ones.

    Returns:
        "PROGRAM, table TABLE".

    Raises:
        RuleError: none can; what each said.
    """
    refusals = []
    for tool in tools:
        try:
            if not is_fresh:
                tool.remove(rules.names)
            return f"{tool.name}, table {tool.install(rules)}"
        except RuleError as error:
            refusals.append(f"{tool.name}: {error}")
    raise RuleError("; ".join(refusals))


def remove_named(names: RuleNames, where: str = "") -> int:
    """Take away whatever rules of ours there are of these names.

    Args:
        names: of the rules.
        where: what `install_first` has returned; "" for looking everywhere.

    Returns:
        How many chains or tables there were.

    Raises:
        RuleError: a program found them and could not remove them.
    """
    tools = known_tools()
    if where:
        program, _, table = where.partition(", table ")
        tools = [tool for tool in tools if tool.name == program]
        names = replace(names, tables=(table,))
    return sum(tool.remove(names) for tool in tools)


def _search_path() -> str:
    return os.environ.get("PATH", "/usr/bin:/bin") + TOOL_DIRECTORIES


def _which(program: str) -> str | None:
    return shutil.which(program, path=_search_path())


def _run(argv: Sequence[str], stdin: str = "") -> str:
    """What a program printed; raises RuleError."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PATIENCE_S,
            env={"PATH": _search_path(), "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise RuleError(f"{argv[0]} did not end in {PATIENCE_S:.0f} s") from error
    except OSError as error:
        raise RuleError(f"{argv[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuleError(said[0].strip() if said else f"{argv[0]} ended with {done.returncode}")
    return done.stdout
