"""Options that several commands of `hipgw bench` share, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

FILE: Final = click.Path(path_type=Path, dir_okay=False)

Command = TypeVar("Command", bound=Callable[..., Any])


class Listed(click.ParamType[Any]):
    """Values separated by commas."""

    name = "list"

    def __init__(self, one: click.ParamType[Any]) -> None:
        self._one = one

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Each of them by the type of one; a tuple is taken as it is."""
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        return tuple(self._one.convert(word, param, ctx) for word in words)


def numbers(least: int, most: int) -> Listed:
    """Whole numbers within bounds, separated by commas."""
    return Listed(click.IntRange(least, most))


def words_of(*choices: str) -> Listed:
    """Some of these words, separated by commas."""
    return Listed(click.Choice(choices))


def list_option(
    name: str, variable: str, kind: Listed, default: str, text: str
) -> Callable[[Command], Command]:
    """An option that takes values separated by commas."""
    return click.option(
        name, variable, type=kind, default=default, show_default=True, metavar="LIST", help=text
    )


def rounds_option(default: int) -> Callable[[Command], Command]:
    """`--rounds`."""
    return click.option(
        "--rounds",
        type=click.IntRange(1, 1000),
        default=default,
        show_default=True,
        help="Rounds; fewer than 5 call no difference.",
    )


def seconds_option(command: Command) -> Command:
    """`--seconds` of each iperf3 run."""
    return click.option(
        "--seconds",
        type=click.IntRange(1, 600),
        default=2,
        show_default=True,
        help="Length of each iperf3 run.",
    )(command)


def output_options(command: Command) -> Command:
    """`--json FILE` and `--plot FILE`."""
    for option in (
        click.option(
            "--plot", type=FILE, metavar="FILE", help="Draw bars into FILE, .png or .svg."
        ),
        click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write the report."),
    ):
        command = option(command)
    return command


def rival_options(command: Command) -> Command:
    """`--vs LIST` and `--install`."""
    for option in (
        click.option("--install", is_flag=True, help="Install rivals that are missing (apt-get)."),
        click.option(
            "--vs",
            type=words_of("wireguard-go", "nebula", "strongswan", "openvpn"),
            default=(),
            metavar="LIST",
            help="Rivals in the same namespaces: wireguard-go, nebula, strongswan, openvpn.",
        ),
    ):
        command = option(command)
    return command
