"""The words of hipconf that change how the daemon works while it runs, with HIPL's output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hipgw.compat.control_client import ControlClient
from hipgw.compat.hipconf_commands import SENT, Reply, WordError

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
    """`get puzzle all`: the difficulty of our puzzles."""
    _check_all(arguments[0])
    return _difficulty(client.call("puzzle"))


def set_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`set puzzle all K`, or `auto` for one that follows the load."""
    _check_all(arguments[0])
    if arguments[1] == "auto":
        return _changed(client, puzzle="auto")
    try:
        k = int(arguments[1])
    except ValueError as error:
        raise WordError(f"Invalid argument '{arguments[1]}': a number of bits or auto") from error
    return _fixed(client, k)


def inc_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`inc puzzle all`: one bit harder, and fixed."""
    _check_all(arguments[0])
    return _fixed(client, client.call("puzzle")["k"] + 1)


def dec_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`dec puzzle all`: one bit easier, and fixed."""
    _check_all(arguments[0])
    return _fixed(client, client.call("puzzle")["k"] - 1)


def new_puzzle(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`new puzzle all`: other puzzles of the same difficulty."""
    _check_all(arguments[0])
    answer = client.call("new_puzzle")
    return Reply(EFFECTIVE, answer)


def _fixed(client: ControlClient, k: int) -> Reply:
    if not 0 <= k <= K_MOST:
        raise WordError(f"Puzzle difficulty {k} is out of range: 0 to {K_MOST}")
    return _changed(client, puzzle="fixed", puzzle_k=k)


def _changed(client: ControlClient, **keys: object) -> Reply:
    client.call("set", **keys)
    reply = _difficulty(client.call("puzzle"))
    return Reply(reply.text + EFFECTIVE, reply.document)


def _difficulty(answer: dict[str, Any]) -> Reply:
    return Reply(f"Puzzle difficulty is: {answer['k']}\n", answer)


def _check_all(word: str) -> None:
    if word != "all":
        raise WordError(
            f'Invalid argument "{word}". Use "all": hipgw has one difficulty for all peers.'
        )


def _switch(word: str) -> bool:
    if word not in SWITCHES:
        raise WordError(f"Invalid argument '{word}'. Use on or off.")
    return SWITCHES[word]
