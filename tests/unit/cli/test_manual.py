"""The manual pages name every command, option and key that there is, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from hipgw.cli.main import SUBCOMMANDS, hipgw
from hipgw.compat.hipconf_words import WORDS
from hipgw.daemon.config import TABLES, HostIdentityOptions, PeerOptions

ROOT = Path(__file__).parents[3]
MANUAL = ROOT / "docs" / "man"
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
HIPGW = (MANUAL / "hipgw.8").read_text()
HIPCONF = (MANUAL / "hipconf.8").read_text()
TOML = (MANUAL / "hipgw.toml.5").read_text()


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands(hipgw))


def options_of(command: click.Command) -> set[str]:
    """Long options, without dashes; --help is said once for all commands."""
    return {
        name.lstrip("-")
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--") and name != "--help"
    }


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_and_option_is_in_hipgw_8(path: tuple[str, ...]) -> None:
    words = " ".join(path)
    assert re.search(rf"^\.It .*\bCm {re.escape(words)}\b", HIPGW, re.M)
    for option in options_of(ALL[path]):
        assert re.search(rf"\bFl -{re.escape(option)}\b", HIPGW), f"{words} --{option}"


def test_hipgw_8_names_no_option_that_does_not_exist() -> None:
    there_are = {"help"} | options_of(hipgw)
    for command in ALL.values():
        there_are |= options_of(command)
    assert set(re.findall(r"\bFl -([a-z][a-z-]*)", HIPGW)) == there_are


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_an_example_in_the_docs(path: tuple[str, ...]) -> None:
    assert f"$ hipgw {' '.join(path)}" in COMMANDS


def test_help_summary_of_each_subcommand_is_not_empty() -> None:
    for name, entry in SUBCOMMANDS.items():
        assert entry.summary.endswith("."), name


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.usage)
def test_every_word_is_in_hipconf_8(word: object) -> None:
    said = f"{word.action} {word.kind}".strip()  # type: ignore[attr-defined]
    assert re.search(rf"^\.It Cm {re.escape(said)}\b", HIPCONF, re.M)


def keys_in_manual() -> dict[str, list[str]]:
    """Keys of hipgw.toml.5 by table, in order."""
    found: dict[str, list[str]] = {}
    table = ""
    for line in TOML.splitlines():
        if heading := re.fullmatch(r"\.Ss Tables? (\w+)", line):
            table = heading[1]
            found[table] = []
        elif item := re.match(r"\.It Li (\w+) = ", line):
            found[table].append(item[1])
    return found


def test_every_key_is_in_hipgw_toml_5() -> None:
    expected = {name: [key.name for key in fields(kind)] for name, kind in TABLES.items()}
    expected["host_identity"] = [key.name for key in fields(HostIdentityOptions)]
    expected["peer"] = [key.name for key in fields(PeerOptions)]
    assert keys_in_manual() == expected


def test_defaults_in_hipgw_toml_5_are_those_of_the_shipped_file() -> None:
    shipped = tomllib.loads((ROOT / "conf" / "hipgw.toml").read_text())
    lines = TOML.replace("\\(dq", '"').splitlines()
    said: dict[str, list[str]] = {}
    table = ""
    for line in lines:
        if heading := re.fullmatch(r"\.Ss Table (\w+)", line):
            table = heading[1]
            said[table] = []
        elif line.startswith(".Ss "):
            table = ""
        elif table and line.startswith(".It Li "):
            said[table].append(line.removeprefix(".It Li "))
    assert {
        name: tomllib.loads("\n".join(assignments)) for name, assignments in said.items()
    } == shipped


@pytest.mark.parametrize("page", sorted(MANUAL.iterdir()), ids=lambda page: page.name)
def test_page_is_whole_mdoc(page: Path) -> None:
    text = page.read_text()
    name, _, section = page.name.rpartition(".")
    assert f"\n.Dt {name.upper()} {section}\n.Os\n.Sh NAME\n.Nm {name}\n.Nd " in text
    macros = [line.split()[0] for line in text.splitlines() if line.startswith(".")]
    assert macros.count(".Bl") == macros.count(".El")
    assert macros.count(".Bd") == macros.count(".Ed")
    for target, number in re.findall(r"^\.Xr (hip\S+) (\d)", text, re.M):
        assert (MANUAL / f"{target}.{number}").exists()
