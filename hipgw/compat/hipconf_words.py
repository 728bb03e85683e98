"""The words of hipconf: one row each, with its arguments, its help and its handler.

To offer one more word, add its row to `WORDS` and take it out of `NOT_OFFERED`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hipgw.compat import hipconf_commands as commands
from hipgw.compat.acquire import acquire_certificate
from hipgw.compat.control_client import ControlClient
from hipgw.compat.hipconf_commands import Reply
from hipgw.compat.identities import add_hi, del_hi, new_hi, opportunistic
from hipgw.compat.settings import (
    dec_puzzle,
    get_puzzle,
    heartbeat,
    inc_puzzle,
    locator,
    new_puzzle,
    set_puzzle,
    shotgun,
)
from hipgw.compat.upkeep import manual_update


@dataclass(frozen=True, slots=True)
class Word:
    """A command of hipconf.

    Attributes:
        action: its first word.
        kind: its second word ("type" in HIPL), or "" when it has none.
        arguments: what follows, as the usage shows it.
        least: fewest arguments.
        most: most arguments.
        handler: carries it out.
    """

    action: str
    kind: str
    arguments: str
    least: int
    most: int
    handler: Callable[[ControlClient, Sequence[str]], Reply]

    @property
    def usage(self) -> str:
        """Its line in the usage text."""
        return " ".join(part for part in (self.action, self.kind, self.arguments) if part)


WORDS: Final = (
    Word("add", "map", "<hit> <ip> [lsi]", 2, 3, commands.add_map),
    Word("get", "map", "<hit | lsi>", 1, 1, commands.get_map),
    Word("get", "hi", "default | all", 1, 1, commands.get_hi),
    Word("add", "hi", "default | anon|pub <algorithm> <name>", 1, 3, add_hi),
    Word("new", "hi", "anon|pub <algorithm> <name> [keylen]", 1, 4, new_hi),
    Word("del", "hi", "<hit> | all", 1, 1, del_hi),
    Word("set", "opp", "normal | advanced | none", 1, 1, opportunistic),
    Word("opportunistic", "", "off | accept | initiate", 1, 1, opportunistic),
    Word("get", "ha", "<hit> | all", 1, 1, commands.get_ha),
    Word("rst", "", "all|peer_hit <peer_HIT>|<peer_HIT>", 1, 2, commands.rst),
    Word("hit-to-lsi", "", "<hit>", 1, 1, commands.hit_to_lsi),
    Word("lsi-to-hit", "", "<lsi>", 1, 1, commands.lsi_to_hit),
    Word("hit-to-ip", "", "<hit | lsi>", 1, 1, commands.hit_to_ip),
    Word("id-to-addr", "", "<hit | lsi>", 1, 1, commands.get_map),
    Word("get", "puzzle", "<hit> | all", 1, 1, get_puzzle),
    Word("inc", "puzzle", "<hit> | all", 1, 1, inc_puzzle),
    Word("dec", "puzzle", "<hit> | all", 1, 1, dec_puzzle),
    Word("new", "puzzle", "<hit> | all", 1, 1, new_puzzle),
    Word("set", "puzzle", "<hit>|all <bits | auto>", 2, 2, set_puzzle),
    Word("heartbeat", "", "<seconds>", 1, 1, heartbeat),
    Word("shotgun", "", "on|off", 1, 1, shotgun),
    Word("locator", "", "on|off|get", 1, 1, locator),
    Word("default-hip-version", "", "[1 | 2]", 0, 1, commands.default_hip_version),
    Word("manual-update", "", "[hit] [rekey]", 0, 2, manual_update),
    Word("acquire", "certificate", "<hit> [valid-till] [--pem]", 1, 4, acquire_certificate),
)

NOT_OFFERED: Final = {
    ("add", "server"): "registration with a rendezvous or relay server",
    ("add", "service"): "rendezvous and relay service",
    ("add", "escrow"): "escrow, withdrawn by HIPL",
    ("del", "map"): "taking a mapping back; it ends with the daemon",
    ("del", "server"): "registration with a rendezvous or relay server",
    ("del", "service"): "rendezvous and relay service",
    ("del", "escrow"): "escrow, withdrawn by HIPL",
    ("set", "blind"): "blinded HITs, withdrawn by HIPL",
    ("set", "tcptimeout"): "TCP sysctls",
    ("run", ""): "programs under LD_PRELOAD; applications use HITs, LSIs or names as they are",
    ("load", ""): "configuration loaded at run time",
    ("reinit", ""): "rendezvous and relay service",
    ("nat", ""): "NAT traversal modes at run time",
    ("puzzle", ""): "the word of 2009; say get, set, inc, dec or new puzzle",
    ("transform", ""): "order of transforms at run time",
    ("debug", ""): "log level at run time",
    ("handoff", ""): "handover modes",
    ("broadcast", ""): "I1 to the local broadcast address",
    ("nsupdate", ""): "dynamic DNS update",
    ("hit-to-ip-set", ""): "look-up in the hit-to-ip zone",
    ("hit-to-ip-zone", ""): "look-up in the hit-to-ip zone",
    ("hipproxy", ""): "proxy for hosts without HIP",
    ("opendht", ""): "DHT look-up",
    ("dht", ""): "DHT look-up",
    ("bos", ""): "BOS packets, withdrawn by HIPL",
    ("hi3", ""): "Hi3, withdrawn by HIPL",
    ("buddies", ""): "buddies, withdrawn by HIPL",
    ("datapacket", ""): "HIP data packets",
    ("restart", ""): "restart by hipconf; use the service manager",
}
"""(action, kind) of HIPL's words that hipgw does not take yet -> what they are about.

A kind of "" stands for every kind of that action.
"""

ACTIONS: Final = frozenset(word.action for word in WORDS) | {action for action, _ in NOT_OFFERED}
