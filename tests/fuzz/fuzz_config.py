"""Invariant: load_config gives a Config or raises ConfigError with file and line; nothing else.

The input is a configuration file in TOML.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from hipgw.daemon.config import TABLES, Config, changed_keys
from hipgw.daemon.config_file import load_config
from hipgw.errors import ConfigError
from tests.fuzz.target import Target
from tests.fuzz.texts import line_mutator

SAMPLE = Path(__file__).parents[2] / "conf" / "hipgw.toml"
FILE_NAME = "hipgw.toml"
WORDS = (
    b"[[peer]]",
    b"[peer]",
    *(b"[%b]" % name.encode() for name in TABLES),
    b'hit = "2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad"',
    b'lsi = "1.0.0.7"',
    b'addresses = ["192.0.2.1", "2001:db8::1"]',
    b"true",
    b"-1",
    b"1e400",
    b"nan",
    b"99999999999999999999",
    b'""',
    b"''",
    b'"""',
    b"'''",
    b"[",
    b"]",
    b"{",
    b"}",
    b"{a = 1}",
    b"=",
    b".",
    b"#",
    b'"\\u0000"',
    b'"\\ud800"',
    b"1979-05-27T07:32:00Z",
    b"07:32:00",
    b"0x7f",
    b'"auto"',
    b'"/a/b"',
    b'"1.0.0.0/8"',
)


class MemoryFile:
    """As much of a path as `load_config` asks for."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def __str__(self) -> str:
        return FILE_NAME

    def read_bytes(self) -> bytes:
        return self._octets


def run(octets: bytes) -> None:
    """Load; what is refused is refused with a place."""
    try:
        config = load_config(cast("Path", MemoryFile(octets)))
    except ConfigError as error:
        check_refusal(error, octets)
        return
    assert isinstance(config, Config)
    assert len(config.known_peers()) == len(config.peers)
    assert changed_keys(config, config) == ([], [])
    changed_keys(Config(), config)


def check_refusal(error: ConfigError, octets: bytes) -> None:
    """The operator is told file and line."""
    assert error.file == FILE_NAME
    assert str(error).startswith(FILE_NAME)
    lines = len(octets.decode(errors="replace").splitlines())
    assert error.line is None or 1 <= error.line <= lines + 1


def seeds() -> Iterator[bytes]:
    """The documented file, whole, without comments, and table by table."""
    text = SAMPLE.read_bytes()
    bare = b"\n".join(line for line in text.splitlines() if line and not line.startswith(b"#"))
    yield bare
    for part in bare.split(b"\n["):
        yield (part if part.startswith(b"[") else b"[" + part) + b"\n"
    for number, word in enumerate(WORDS):
        yield b"[[peer]]\n" + word + b"\n"
        yield b"[hip]\npuzzle_k = " + word + b"\n"
        yield WORDS[number - 1] + b" = " + word + b"\n"


TARGET = Target("config", run, seeds, line_mutator(WORDS), octets_most=8192)
