"""On which line of a TOML file a key stands: tomllib keeps no positions, operators need them.

The scanner walks the text once and knows just enough of TOML 1.0 to skip comments, strings of all
four kinds and multi-line arrays.  It is only asked about files that tomllib accepted, so it never
has to report an error; a place that it cannot find is None.
"""

from __future__ import annotations

import tomllib
from typing import Final

Place = tuple[str | int, ...]
"""Path of a value: table names, index for `[[array of tables]]`, key."""

QUOTES: Final = ('"""', "'''", '"', "'")


def key_lines(text: str) -> dict[Place, int]:
    """Line number, from 1, of every table header and of every `key =` of a TOML text."""
    places: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    number = 0
    lines = text.splitlines()
    while number < len(lines):
        first = number
        depth, quote = _scan_line(lines[number], 0, "")
        number += 1
        while number < len(lines) and (depth > 0 or quote):
            depth, quote = _scan_line(lines[number], depth, quote)
            number += 1
        stripped = lines[first].strip()  # a key and its "=" stand on one line (TOML 1.0)
        if stripped.startswith("[["):
            name = _split_key(stripped[2:].partition("]]")[0])
            index = counts.get(name, -1) + 1
            counts[name] = index
            table = (*name, index)
            places[table] = first + 1
        elif stripped.startswith("["):
            table = _split_key(stripped[1:].partition("]")[0])
            places.setdefault(table, first + 1)
        elif stripped and not stripped.startswith("#"):
            places.setdefault(table + _split_key(_before_equals(stripped)), first + 1)
    return places


def line_of(places: dict[Place, int], place: Place) -> int | None:
    """The line of a place, or of the nearest thing around it."""
    while place:
        if place in places:
            return places[place]
        place = place[:-1]
    return None


def _scan_line(line: str, depth: int, quote: str) -> tuple[int, str]:
    """Brackets and multi-line string that are open after a line, from those open before it."""
    position = 0
    if quote:
        position = _end_of_string(line, 0, quote)
        if position < 0:
            return depth, quote
    while position < len(line):
        opening = next((q for q in QUOTES if line.startswith(q, position)), "")
        if opening:
            position = _end_of_string(line, position + len(opening), opening)
            if position < 0:
                return depth, opening if len(opening) == 3 else ""
            continue
        character = line[position]
        if character == "#":
            break
        depth += (character in "[{") - (character in "]}")
        position += 1
    return depth, ""


def _end_of_string(text: str, position: int, quote: str) -> int:
    """Offset behind the closing quote, or -1; a backslash protects in the `"` kinds."""
    while position < len(text):
        if text[position] == "\\" and quote[0] == '"':
            position += 2
        elif text.startswith(quote, position):
            return position + len(quote)
        else:
            position += 1
    return -1


def _before_equals(statement: str) -> str:
    """The key part of `key = value`, where the key may hold quoted equals signs."""
    position = 0
    while position < len(statement) and statement[position] != "=":
        if statement[position] in "\"'":
            quote = statement[position]
            end = _end_of_string(statement, position + 1, quote)
            position = end if end > 0 else len(statement)
        else:
            position += 1
    return statement[:position]


def _split_key(text: str) -> Place:
    """`a."b.c".d` to its parts, with tomllib's own rules for quoting."""
    try:
        nested = tomllib.loads(f"{text.strip()} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts: list[str | int] = []
    value: object = nested
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        parts.append(key)
    return tuple(parts)
