"""What the commands that ask the daemon share: their options, the call, and how errors are said."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import IO, Any, Final, TypeVar

import click

from hipgw.compat.control_client import (
    DEFAULT_SOCKET,
    SOCKET_VARIABLE,
    ControlClient,
    ControlError,
    printable,
)

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_CODES: Final = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."

ROWS_AT_ONCE: Final = 1000
"""Rows of a list in one answer; the daemon does nothing else while it writes them."""

Command = TypeVar("Command", bound=Callable[..., Any])


class CommandFailed(click.ClickException):
    """Ends a command: one line `hipgw: <what>: <remedy>` on standard error, exit code 1."""

    exit_code = EXIT_FAILED

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}: {remedy}" if remedy else what)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line; a configuration with several faults has one line for each."""
        for line in self.format_message().splitlines():
            print(f"hipgw: {line.strip()}", file=file or sys.stderr)


class ConfigurationRefused(CommandFailed):
    """The same for a configuration that cannot be used: exit code 2."""

    exit_code = EXIT_USAGE


def json_option(command: Command) -> Command:
    """`--json`: the answer as one JSON document."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the answer as one JSON document."
    )(command)


def control_options(command: Command) -> Command:
    """`--json` and `--socket PATH` for a command that asks the daemon."""
    return json_option(
        click.option(
            "--socket",
            "socket_path",
            metavar="PATH",
            envvar=SOCKET_VARIABLE,
            default=DEFAULT_SOCKET,
            show_default=True,
            show_envvar=True,
            help="Control socket of the daemon.",
        )(command)
    )


def ask(socket_path: str, method: str, *, timeout_s: float = 10.0, **params: object) -> Any:
    """Ask the daemon; the result is the JSON object of that method.

    Raises:
        CommandFailed: no daemon, no permission, no answer, or a refusal.
    """
    try:
        return ControlClient(socket_path, timeout_s=timeout_s).call(method, **params)
    except ControlError as error:
        raise CommandFailed(error.message, error.remedy) from error


def ask_for_all(socket_path: str, method: str) -> Any:
    """Ask for a list that may be too long for one answer, a share at a time."""
    rows: list[Any] = []
    while True:
        answer = ask(socket_path, method, first=len(rows), most=ROWS_AT_ONCE)
        share = answer.get(method)
        if not isinstance(share, list):
            return answer
        rows += share
        if not share or len(rows) >= answer.get("total", 0):
            return {**answer, method: rows}


def print_json(document: object) -> None:
    """One JSON document on standard output, indented, keys in the order of the answer."""
    click.echo(json.dumps(document, indent=2))


def show(
    answer: Any,
    render: Callable[[Any], str],
    *,
    as_json: bool,
    select: Callable[[Any], Any] | None = None,
) -> None:
    """Print an answer of the daemon as JSON, or as the text that `render` makes of it.

    Args:
        answer: the result of a request.
        render: makes text of it.
        as_json: print JSON instead.
        select: takes the part of the answer that is wanted, in either form.

    Raises:
        CommandFailed: the answer is not of the shape that `select` or `render` knows.
    """
    try:
        wanted = select(answer) if select else answer
        text = "" if as_json else render(printable(wanted))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CommandFailed(
            f"the daemon's answer is not as expected ({type(error).__name__}: {error})",
            "daemon and command are of different versions: restart the daemon",
        ) from error
    if as_json:
        print_json(wanted)
    else:
        click.echo(text)
