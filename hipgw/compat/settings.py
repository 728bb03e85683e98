"""The words of hipconf that change how the daemon works while it runs, with HIPL's output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hipgw.compat.control_client import ControlClient
from hipgw.compat.hipconf_commands import SENT, Reply, WordError, valid_hit

SWITCHES: Final = {"on": True, "off": False}
K_MOST: Final = 28
EFFECTIVE: Final = "New puzzle difficulty effective immediately\n"
"""HIPL's line after each change of it."""


def heartbeat(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`heartbeat SECONDS`: 0 is off."""
    try:
        seconds = int(arguments[0])
    except ValueError as error:
        raise WordError(f"Invalid argument '{arguments[0]}': seconds are a whole number") from error
    return Reply(SENT, client.call("set", heartbeat_s=seconds))


def shotgun(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`shotgun on|off`."""
    return Reply(SENT, client.call("set", shotgun=_switch(arguments[0])))


def locator(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`locator on|off|get`: whether all our locators are announced; which they are, best first."""
    if arguments[0] != "get":
        return Reply(SENT, client.call("set", announce_locators=_switch(arguments[0])))
    answer = client.call("locators")
    return Reply("".join(f"{address}\n" for address in answer["locators"]), answer)


def get_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`get puzzle HIT|all`: the difficulty of our puzzles, for one peer or for everybody else."""
    return _difficulty(client.call("puzzle", **_whose(arguments[0])))


def set_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`set puzzle HIT|all K`; `auto` follows the load, for a HIT as everybody's does."""
    whose, value = _whose(arguments[0]), arguments[1]
    if value == "auto":
        return _changed(client, whose) if whose else _changed(client, whose, puzzle="auto")
    try:
        k = int(value)
    except ValueError as error:
        raise WordError(f"Invalid argument '{value}': a number of bits or auto") from error
    return _fixed(client, whose, k)


def inc_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`inc puzzle HIT|all`: one bit harder, and fixed."""
    whose = _whose(arguments[0])
    return _fixed(client, whose, client.call("puzzle", **whose)["k"] + 1)


def dec_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`dec puzzle HIT|all`: one bit easier, and fixed."""
    whose = _whose(arguments[0])
    return _fixed(client, whose, client.call("puzzle", **whose)["k"] - 1)


def new_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`new puzzle HIT|all`: other puzzles of the same difficulty; everybody gets them."""
    answer = client.call("new_puzzle", **_whose(arguments[0]))
    return Reply(EFFECTIVE, answer)


def _fixed(client: ControlClient, whose: dict[str, str], k: int) -> Reply:
    if not 0 <= k <= K_MOST:
        raise WordError(f"Puzzle difficulty {k} is out of range: 0 to {K_MOST}")
    if whose:
        return _changed(client, whose, k=k)
    return _changed(client, whose, puzzle="fixed", puzzle_k=k)


def _changed(client: ControlClient, whose: dict[str, str], **keys: object) -> Reply:
    client.call("set_peer_puzzle" if whose else "set", **whose, **keys)
    reply = _difficulty(client.call("puzzle", **whose))
    return Reply(reply.text + EFFECTIVE, reply.document)


def _difficulty(answer: dict[str, Any]) -> Reply:
    return Reply(f"Puzzle difficulty is: {answer['k']}\n", answer)


def _whose(word: str) -> dict[str, str]:
    """Parameters for the peer that a word names; none for everybody."""
    return {} if word == "all" else {"hit": valid_hit(word)}


def _switch(word: str) -> bool:
    if word not in SWITCHES:
        raise WordError(f"Invalid argument '{word}'. Use on or off.")
    return SWITCHES[word]
