"""Rules that send packets to HITs, LSIs and routed subnets to netfilter queues, and their removal.

They stand in chains of our own, which bear the name of the interface; each built-in chain gets one
jump to its own of ours, marked with a comment.  Nothing else is read, changed or removed.  The
programs that know how are asked in turn: `iptables` (either kind) and then `nft`; tables in turn,
too: `security` comes after the rules of `filter`, so what the operator forbids there stays
forbidden; `filter` is for kernels without it.

A rule names the outgoing interface.  When a daemon was killed, its interface is gone, and what is
left of its rules matches nothing until the next start takes it away.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hipgw.errors import HostError

MARK: Final = "hipgw"
"""The comment of each of our rules."""
HOOKS: Final = {"OUTPUT": "HIPGW-OUT-", "FORWARD": "HIPGW-FWD-"}
"""Built-in chains, and ours less the interface: at most 25 letters of 28."""
TABLES: Final = ("security", "filter")
PRIORITY_SECURITY: Final = 50
PATIENCE_S: Final = 10.0
APART: Final = ("unshare", "--net", "--")
TOOL_DIRECTORIES: Final = ":/usr/local/sbin:/usr/sbin:/sbin"
LEGACY_TABLES: Final = {4: Path("/proc/net/ip_tables_names"), 6: Path("/proc/net/ip6_tables_names")}


@dataclass(frozen=True, slots=True)
class QueueRules:
    """What goes to which queues."""

    interface: str
    hit_prefixes: tuple[str, ...]
    lsi_prefix: str
    queue_first: int
    queue_count: int = 1
    subnets: tuple[str, ...] = ()
    """Prefixes behind peers."""
    subnet_queue: int = 0
    """Where packets to them go, cut by the kernel."""

    def routed(self, family: int) -> tuple[str, ...]:
        """The prefixes of one address family, without those that lie in others."""
        kind = ipaddress.IPv4Network if family == 4 else ipaddress.IPv6Network
        given = [kind(one) for one in self.subnets if (":" in one) == (family == 6)]
        return tuple(str(one) for one in ipaddress.collapse_addresses(given))  # type: ignore[type-var]

    def networks(self, family: int) -> tuple[str, ...]:
        """Destinations of one address family."""
        return (self.lsi_prefix,) if family == 4 else self.hit_prefixes

    @property
    def queue_last(self) -> int:
        """The queues are queue_first to queue_last."""
        return self.queue_first + self.queue_count - 1


class RuleError(HostError):
    """A program that was asked said no; its last line stands in the message."""


class IpTables:
    """`iptables` and `ip6tables` of one kind: over nf_tables, or the legacy one."""

    def __init__(self, suffix: str = "") -> None:
        self._suffix: Final = suffix
        self.name: Final = "iptables" + suffix

    def is_installed(self) -> bool:
        """Whether all programs of it are there."""
        tools = [self._tool(family) for family in (4, 6)]
        return all(_which(tool + end) for tool in tools for end in ("", "-restore"))

    def _tool(self, family: int) -> str:
        return ("iptables" if family == 4 else "ip6tables") + self._suffix

    def _restore(self, family: int, table: str, lines: Sequence[str]) -> None:
        # One transaction: all of it, or nothing.
        tool = f"{self._tool(family)}-restore"
        _run([tool, "-w", "5", "--noflush"], "\n".join([f"*{table}", *lines, "COMMIT", ""]))

    def install(self, rules: QueueRules) -> str:
        """Put the rules in; returns the table.

        Raises:
            RuleError: none of the tables can hold them; nothing is left behind.
        """
        refusals = []
        for table in TABLES:
            try:
                for family in (4, 6):
                    self._restore(family, table, list(rule_lines(rules, family)))
            except RuleError as error:
                refusals.append(str(error))
                self.remove(rules.interface)
            else:
                return table
        raise RuleError("; ".join(dict.fromkeys(refusals)))

    def trial(self, rules: QueueRules) -> None:
        """Make the rules where nobody is; raises RuleError."""
        for family in (4, 6):
            text = ["*filter", *rule_lines(rules, family), "COMMIT", ""]
            _run([*APART, f"{self._tool(family)}-restore", "--noflush"], "\n".join(text))

    def remove(self, interface: str) -> int:
        """Take our rules for an interface out of every table; returns how many chains went."""
        count = 0
        for family in (4, 6):
            for table in TABLES:
                if self._has_table(family, table):
                    count += self._remove_from(family, table, interface)
        return count

    def _has_table(self, family: int, table: str) -> bool:
        """To list a legacy table makes it."""
        if not self._suffix:
            return True
        try:
            return table in LEGACY_TABLES[family].read_text(encoding="ascii").split()
        except OSError:
            return False

    def _remove_from(self, family: int, table: str, interface: str) -> int:
        ours = {prefix + interface for prefix in HOOKS.values()}
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
    """`nft`: a table of our own for each interface."""

    name: Final = "nft"

    def is_installed(self) -> bool:
        """Whether the program is there."""
        return _which("nft") is not None

    def install(self, rules: QueueRules) -> str:
        """Put the rules in; returns the table.

        Raises:
            RuleError: this kernel has no `queue` for nft, or no nf_tables.
        """
        _run(["nft", "-f", "-"], nft_text(rules))
        return nft_table(rules.interface)

    def trial(self, rules: QueueRules) -> None:
        """Make the rules where nobody is; raises RuleError."""
        _run([*APART, "nft", "-f", "-"], nft_text(rules))

    def remove(self, interface: str) -> int:
        """Take our table for an interface away; returns how many went."""
        table = nft_table(interface)
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


def rule_lines(rules: QueueRules, family: int) -> Iterator[str]:
    """Lines for iptables-restore: our chains, their rules, and the jumps to them.

    Several queues are chosen by addresses, so all packets of a pair of hosts stay in order.
    """
    mark = f"-m comment --comment {MARK}"
    where = f"--queue-num {rules.queue_first}"
    if rules.queue_count > 1:
        where = f"--queue-balance {rules.queue_first}:{rules.queue_last}"
    for hook, prefix in HOOKS.items():
        chain = prefix + rules.interface
        yield f":{chain} - [0:0]"
        for network in rules.networks(family):
            yield (
                f"-A {chain} -d {network} -o {rules.interface} {mark} "
                f"-j NFQUEUE {where} --queue-bypass"
            )
        for network in rules.routed(family):
            yield (
                f"-A {chain} -d {network} -o {rules.interface} {mark} "
                f"-j NFQUEUE --queue-num {rules.subnet_queue} --queue-bypass"
            )
        yield f"-I {hook} 1 {mark} -j {chain}"


def nft_table(interface: str) -> str:
    """Family and name of our table for an interface."""
    return "inet hipgw_" + re.sub(r"\W", "_", interface)


def nft_text(rules: QueueRules) -> str:
    """A ruleset for `nft -f`: our table, made afresh, in one transaction."""
    table = nft_table(rules.interface)
    last = f"-{rules.queue_last}" if rules.queue_count > 1 else ""
    lines = [f"table {table} {{}}", f"delete table {table}", f"table {table} {{"]
    for hook in HOOKS:
        lines += [
            f" chain {hook.lower()} {{",
            f"  type filter hook {hook.lower()} priority {PRIORITY_SECURITY}; policy accept;",
        ]
        for word, family in (("ip", 4), ("ip6", 6)):
            for networks, queue in (
                (rules.networks(family), f"{rules.queue_first}{last}"),
                (rules.routed(family), f"{rules.subnet_queue}"),
            ):
                if networks:
                    lines.append(
                        f'  oifname "{rules.interface}" {word} daddr {{ {", ".join(networks)} }} '
                        f'queue num {queue} bypass comment "{MARK}"'
                    )
        lines.append(" }")
    return "\n".join([*lines, "}", ""])


def install_rules(rules: QueueRules) -> str:
    """Put the rules in with the first program that can, in place of what is left of older ones.

    Returns:
        "PROGRAM, table TABLE".

    Raises:
        HostError: no program is installed, or none can.
    """
    tools = known_tools()
    if not tools:
        raise HostError(
            'intercept = "nfqueue" needs iptables or nft: install one (`apt install iptables`), or '
            'say intercept = "tun"'
        )
    refusals = []
    for tool in tools:
        try:
            tool.remove(rules.interface)
            return f"{tool.name}, table {tool.install(rules)}"
        except RuleError as error:
            refusals.append(f"{tool.name}: {error}")
    raise HostError(
        f"no rule to a netfilter queue can be made ({'; '.join(refusals)}): load the kernel's "
        'xt_NFQUEUE or nft_queue, run as root, or say intercept = "tun"'
    )


def remove_rules(interface: str) -> int:
    """Take away whatever rules of ours there are for an interface.

    Returns:
        How many chains or tables there were.

    Raises:
        HostError: a program found them and could not remove them.
    """
    return sum(tool.remove(interface) for tool in known_tools())


def trial(rules: QueueRules) -> dict[str, str]:
    """Whether each program that is installed can make the rules, in a throw-away namespace.

    Returns:
        Program -> "" when it can, else its complaint; needs root.
    """
    found = {}
    for tool in known_tools():
        try:
            tool.trial(rules)
        except RuleError as error:
            found[tool.name] = str(error)
        else:
            found[tool.name] = ""
    return found


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
