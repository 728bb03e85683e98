"""Rules that send packets to HITs, LSIs and routed subnets to netfilter queues, and their removal.

Table `security` comes after the rules of `filter`, so what the operator forbids there stays
forbidden; `filter` is for kernels without it.  `filter_tools` makes them.

A rule names the outgoing interface.  When a daemon was killed, its interface is gone, and what is
left of its rules matches nothing until the next start takes it away.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hipgw.errors import HostError
from hipgw.netlink.filter_tools import (
    FAMILIES,
    MARK,
    RuleError,
    RuleNames,
    RuleSet,
    install_first,
    known_tools,
    own_nft_table,
    remove_named,
)

HOOKS: Final = {"OUTPUT": "HIPGW-OUT-", "FORWARD": "HIPGW-FWD-"}
"""Built-in chains, and ours less the interface: at most 25 letters of 28."""
TABLES: Final = ("security", "filter")
PRIORITY_SECURITY: Final = 50
NFT_PREFIX: Final = "hipgw_"


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


def nft_text(rules: QueueRules) -> str:
    """A ruleset for `nft -f`: our table, made afresh, in one transaction."""
    table = names_of(rules.interface).nft_table
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


def names_of(interface: str) -> RuleNames:
    """By what they are found again."""
    chains = tuple(prefix + interface for prefix in HOOKS.values())
    return RuleNames(chains, TABLES, own_nft_table(NFT_PREFIX, interface))


def _rule_set(rules: QueueRules) -> RuleSet:
    lines = {family: tuple(rule_lines(rules, family)) for family in FAMILIES}
    return RuleSet(names_of(rules.interface), lines, nft_text(rules))


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
    try:
        return install_first(_rule_set(rules), tools)
    except RuleError as error:
        raise HostError(
            f"no rule to a netfilter queue can be made ({error}): load the kernel's "
            'xt_NFQUEUE or nft_queue, run as root, or say intercept = "tun"'
        ) from error


def remove_rules(interface: str) -> int:
    """Take away whatever rules of ours there are for an interface.

    Returns:
        How many chains or tables there were.

    Raises:
        HostError: a program found them and could not remove them.
    """
    return remove_named(names_of(interface))


def trial(rules: QueueRules) -> dict[str, str]:
    """Whether each program that is installed can make the rules, in a throw-away namespace.

    Returns:
        Program -> "" when it can, else its complaint; needs root.
    """
    found = {}
    for tool in known_tools():
        try:
            tool.trial(_rule_set(rules))
        except RuleError as error:
            found[tool.name] = str(error)
        else:
            found[tool.name] = ""
    return found
