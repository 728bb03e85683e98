"""Rules that lower the MSS of TCP connections through tunnel devices of ours to what these carry.

One chain for both directions, between other networks alone (FORWARD): this host's own connections
know the route.  "To the path" is the smaller of the routes towards both ends, or what the kernel
has learnt of one of them.  `filter_tools` puts them in.
"""

from __future__ import annotations

from collections.abc import Iterator
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

CHAIN_PREFIX: Final = "HIPGW-MSS-"
NFT_PREFIX: Final = "hipgw.mss_"
"""No name of rules to queues has a dot."""
TABLES: Final = ("mangle", "security", "filter")
PRIORITY_MANGLE: Final = -150
OPENING: Final = "-p tcp --tcp-flags SYN,RST SYN"


def names_of(interface: str) -> RuleNames:
    """By what they are found again; for `[network] interface`."""
    return RuleNames((CHAIN_PREFIX + interface,), TABLES, own_nft_table(NFT_PREFIX, interface))


def rule_lines(interface: str, devices: str) -> Iterator[str]:
    """Lines for iptables-restore, the same for both address families."""
    chain = CHAIN_PREFIX + interface
    mark = f"-m comment --comment {MARK}"
    yield f":{chain} - [0:0]"
    for way in ("-i", "-o"):
        yield f"-A {chain} {way} {devices}+ {OPENING} {mark} -j TCPMSS --clamp-mss-to-pmtu"
    yield f"-I FORWARD 1 {OPENING} {mark} -j {chain}"


def nft_text(interface: str, devices: str) -> str:
    """A ruleset for `nft -f`: our table, made afresh, in one transaction."""
    table = names_of(interface).nft_table
    lines = [
        f"table {table} {{}}",
        f"delete table {table}",
        f"table {table} {{",
        " chain forward {",
        f"  type filter hook forward priority {PRIORITY_MANGLE}; policy accept;",
    ]
    lines += [
        f'  {way} "{devices}*" tcp flags & (syn | rst) == syn '
        f'tcp option maxseg size set rt mtu comment "{MARK}"'
        for way in ("iifname", "oifname")
    ]
    return "\n".join([*lines, " }", "}", ""])


def install_mss_rules(interface: str, devices: str) -> str:
    """Put the rules in with the first program that can; there are none yet.

    Args:
        interface: `[network] interface`, which names the chain.
        devices: how the names of its tunnel devices begin.

    Returns:
        "PROGRAM, table TABLE".

    Raises:
        HostError: no program is installed, or none can.
    """
    tools = known_tools()
    if not tools:
        raise HostError("neither iptables nor nft is installed")
    lines = tuple(rule_lines(interface, devices))
    rules = RuleSet(
        names_of(interface), dict.fromkeys(FAMILIES, lines), nft_text(interface, devices)
    )
    try:
        return install_first(rules, tools, is_fresh=True)
    except RuleError as error:
        raise HostError(
            f"no rule for it can be made ({error}): the kernel lacks xt_TCPMSS and nft_exthdr, or "
            "the permission is missing"
        ) from error


def remove_mss_rules(interface: str, where: str = "") -> int:
    """Take away whatever such rules of ours there are for an interface.

    Args:
        interface: `[network] interface`.
        where: what `install_mss_rules` has returned; "" for looking everywhere.

    Returns:
        How many chains or tables there were.

    Raises:
        HostError: a program found them and could not remove them.
    """
    return remove_named(names_of(interface), where)
