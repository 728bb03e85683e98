"""The words of hipconf about addresses and puzzles, with HIPL's output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hipgw.compat.control_client import ControlClient
from hipgw.compat.hipconf_commands import SENT, Reply, WordError, valid_hit

REKEY: Final = "rekey"


def manual_update(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`manual-update [HIT] [rekey]`: run the UPDATE exchange, with all peers or one."""
    hits = [word for word in arguments if word != REKEY]
    if len(hits) > 1:
        raise WordError("manual-update: say [hit] [rekey]")
    params: dict[str, object] = {"target": valid_hit(hits[0])} if hits else {}
    if len(hits) < len(arguments):
        params["rekey"] = True
    return Reply(SENT, client.call("manual_update", **params))


def locator(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`locator get`: our own locators, the best one first, a line each."""
    if arguments[0] != "get":
        raise WordError(
            f"not offered yet in hipgw: locator {arguments[0]} "
            "(set [hip] announce_locators in hipgw.toml)"
        )
    answer = client.call("locators")
    return Reply("".join(f"{address}\n" for address in answer["locators"]), answer)


def get_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`get puzzle all`: the difficulty of our puzzles."""
    if arguments[0] != "all":
        raise WordError(f'Invalid argument "{arguments[0]}". Use "all".')
    answer = client.call("puzzle")
    return Reply(f"Puzzle difficulty is: {answer['k']}\n", answer)
