"""`hipconf`: HIPL's configuration tool, word for word, on hipgw's control socket.

Both forms of HIPL are read: `hipconf daemon get ha all` (2013) and `hipconf get ha all` (2009).
The words are the table of `hipconf_words`; this file reads a command line against it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from hipgw.compat.control_client import ControlClient, ControlError, printable, socket_path
from hipgw.compat.hipconf_commands import WordError
from hipgw.compat.hipconf_words import ACTIONS, NOT_OFFERED, WORDS, Word

DAEMON: Final = "daemon"
FIREWALL_KEYWORDS: Final = ("firewall", "hipfw", "fw")
REFUSED: Final = 1

USAGE: Final = """\
Usage to communicate with HIP daemon:
 {program} daemon <command>

HIP daemon commands:
{commands}
Usage to communicate with HIP firewall:
 {program} firewall <command>

HIP firewall commands:
get ha <hit> | all  (not offered yet)

Options: --json (the answer as one JSON document), --socket PATH (or HIPGW_SOCKET)
"""


class TerminalClient(ControlClient):
    """A client whose answers may be printed: see `printable`."""

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Ask, and make the texts of the answer printable."""
        answer: dict[str, Any] = printable(super().call(method, **params))
        return answer


def usage(program: str) -> str:
    """The text that HIPL prints for a command line of too few words, drawn from the table."""
    commands = "".join(f"{word.usage}\n" for word in WORDS)
    return USAGE.format(program=program, commands=commands)


def run(words: Sequence[str], *, program: str = "hipconf") -> int:
    """Carry out one command line; `words` are its words without the program's name.

    Returns:
        The exit code: 0 done, 1 refused or failed.  Output goes to standard output, every
        complaint to standard error.
    """
    try:
        rest, path, as_json = _take_options(words)
        if len(rest) == 1 and rest[0] in {"-h", "--help"}:
            print(usage(program), end="")
            return 0
        if not rest or (len(rest) == 1 and rest[0] not in ACTIONS):
            print(f"Invalid arguments.\n{usage(program)}", end="", file=sys.stderr)
            return REFUSED
        word, arguments = find_word(_without_process(rest, program))
        client = ControlClient(path) if as_json else TerminalClient(path)
        reply = word.handler(client, arguments)
    except WordError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except ControlError as error:
        print(f"hipconf: {' '.join(str(error).split())}", file=sys.stderr)
        return REFUSED
    except (KeyError, TypeError, AttributeError) as error:
        print(
            f"hipconf: the daemon's answer is not as expected ({type(error).__name__}: {error}): "
            "restart it, versions differ",
            file=sys.stderr,
        )
        return REFUSED
    if reply.octets and not as_json:
        sys.stdout.flush()
        sys.stdout.buffer.write(reply.octets)
        sys.stdout.buffer.flush()
        return 0
    print(json.dumps(reply.document, indent=2) if as_json else reply.text, end="")
    if as_json:
        print()
    return 0


def main() -> None:
    """Entry point of the `hipconf` script."""
    sys.exit(run(sys.argv[1:]))


def find_word(words: Sequence[str]) -> tuple[Word, list[str]]:
    """The row of the table that `words` (action first) names, and the arguments left for it.

    Raises:
        WordError: no such action or type, too few or too many arguments, or a word of HIPL that
            hipgw does not offer yet.
    """
    action = words[0]
    if action not in ACTIONS:
        raise WordError(f"Invalid action argument '{action}'")
    kind = words[1] if len(words) > 1 else ""
    for word in WORDS:
        if word.action != action or (word.kind and word.kind != kind):
            continue
        arguments = list(words[2 if word.kind else 1 :])
        if len(arguments) < word.least:
            raise WordError(f"Not enough arguments given for the action '{action}'")
        if len(arguments) > word.most:
            raise WordError(f"Too many arguments given for the action '{action}': {word.usage}")
        return word, arguments
    for (refused_action, refused_kind), subject in NOT_OFFERED.items():
        if refused_action == action and refused_kind in {"", kind}:
            said = f"{action} {refused_kind}".strip()
            raise WordError(f"not offered yet in hipgw: {said} ({subject})")
    if not kind:
        raise WordError(f"Not enough arguments given for the action '{action}'")
    raise WordError(f"Invalid type argument '{kind}'")


def _without_process(words: list[str], program: str) -> list[str]:
    """Strip `daemon`; a 2009 line begins with its action."""
    first = words[0]
    if first == DAEMON:
        return words[1:]
    if first in FIREWALL_KEYWORDS:
        raise WordError(f"not offered yet in hipgw: {program} {first} (host firewall)")
    if first in ACTIONS:
        return words
    raise WordError(
        f"Invalid target process argument '{first}'. Expected '{DAEMON}' or 'firewall'."
    )


def _take_options(words: Sequence[str]) -> tuple[list[str], str, bool]:
    """Split a line into (words, socket path, whether JSON is wanted)."""
    rest: list[str] = []
    path, as_json = socket_path(), False
    left = iter(words)
    for word in left:
        if word == "--json":
            as_json = True
        elif word == "--socket":
            path = next(left, "")
            if not path:
                raise WordError("--socket needs a path")
        elif word.startswith("--socket="):
            path = word.partition("=")[2]
        else:
            rest.append(word)
    return rest, path, as_json
