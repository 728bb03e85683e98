"""TOML into frozen dataclasses, strictly: unknown keys, wrong types, wrong values are errors.

A dataclass field made by `option()` carries its reader: a function from the TOML value to the
Python value that raises `ValueError("expected ...")`.  All errors of a file are collected, each
with its line and key, because fixing one per start is tedious.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar

from hipgw.daemon.toml_lines import Place, key_lines, line_of
from hipgw.errors import ConfigError

Reader = Callable[[object], Any]
T = TypeVar("T")

FILE_OCTETS_LIMIT: Final = 16 * 1024 * 1024


class OptionError(ValueError):
    """A value that a key does not take; says what was expected."""


def option(default: Any, reader: Reader, *, reloadable: bool = False) -> Any:
    """A dataclass field that the configuration file may set.

    Args:
        default: the Python value when the key is absent.
        reader: from TOML value to Python value; ValueError says what was expected.
        reloadable: whether a SIGHUP takes a new value over.
    """
    return field(default=default, metadata={"reader": reader, "reloadable": reloadable})


def required(reader: Reader) -> Any:
    """A field of a repeated table that has no default."""
    return field(metadata={"reader": reader, "reloadable": True})


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing wrong with a file."""

    place: Place
    message: str


class Troubles:
    """Collects what is wrong, then raises it as one `ConfigError`."""

    def __init__(self, file: str, lines: dict[Place, int]) -> None:
        self._file = file
        self._lines = lines
        self._found: list[Trouble] = []

    def add(self, place: Place, message: str) -> None:
        """Note one error; the place is a path of names and indexes."""
        self._found.append(Trouble(place, message))

    def error_of(self, trouble: Trouble) -> ConfigError:
        """A `ConfigError` with file, line and key."""
        line = line_of(self._lines, trouble.place)
        return ConfigError(
            trouble.message, file=self._file, line=line, key=spell_place(trouble.place)
        )

    def raise_if_any(self) -> None:
        """Raise the first error; its message holds the others, one on a line, in file order."""
        if not self._found:
            return
        errors = [self.error_of(trouble) for trouble in self._found]
        errors.sort(key=lambda error: error.line or 0)
        first = errors[0]
        rest = "".join(f"\n{error}" for error in errors[1:])
        own = str(first).removeprefix(f"{first.file}:{first.line}: {first.key}: ")
        raise ConfigError(own + rest, file=first.file, line=first.line, key=first.key)


def spell_place(place: Place) -> str:
    """`("peer", 0, "hit")` as `peer[0].hit`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def load_toml(file: FilePath) -> tuple[dict[str, Any], Troubles]:
    """Read and parse a file.

    Raises:
        ConfigError: it cannot be read, is not UTF-8, or is not TOML (with the line).
    """
    name = str(file)
    try:
        octets = file.read_bytes()
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise ConfigError(f"{reason}: expected a readable TOML file", file=name) from error
    if len(octets) > FILE_OCTETS_LIMIT:
        raise ConfigError(f"longer than {FILE_OCTETS_LIMIT} octets", file=name)
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigError("expected UTF-8 text", file=name, line=line) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = _split_decode_error(str(error), text)
        raise ConfigError(f"expected TOML: {message}", file=name, line=line) from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or an endless number
        raise ConfigError(f"expected plain TOML: {error}", file=name) from error
    return document, Troubles(name, key_lines(text))


def _split_decode_error(message: str, text: str) -> tuple[str, int]:
    """Take "(at line 3, column 5)" or "(at end of document)" off tomllib's message."""
    said, _, place = message.rpartition(" (at ")
    if place.startswith("line "):
        return said, int(place.removeprefix("line ").partition(",")[0])
    return said or message, max(len(text.splitlines()), 1)


def read_table(kind: type[T], table: object, place: Place, troubles: Troubles) -> T | None:
    """A TOML table as a dataclass whose fields are options; None when something was wrong."""
    if not isinstance(table, Mapping):
        troubles.add(place, f"expected a table, found {spell_type(table)}")
        return None
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    is_good = True
    for key, value in table.items():
        if key not in known:
            troubles.add((*place, key), unknown_message(key, list(known)))
            is_good = False
            continue
        try:
            values[key] = known[key].metadata["reader"](value)
        except ValueError as error:
            troubles.add((*place, key), str(error))
            is_good = False
    for key, described in known.items():
        if described.default is MISSING and key not in table:
            troubles.add(place, f"expected the key {key!r}")
            is_good = False
    return kind(**values) if is_good else None


def unknown_message(key: str, known: list[str]) -> str:
    """Say that a name is unknown, and what was probably meant."""
    close = get_close_matches(key, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of: {', '.join(known)}"
    return f"unknown key; {hint}"


def spell_type(value: object) -> str:
    """TOML's own word for the type of a value."""
    words = {
        bool: "a boolean",
        int: "an integer",
        float: "a float",
        str: "a string",
        list: "an array",
        dict: "a table",
    }
    return words.get(type(value), type(value).__name__)
