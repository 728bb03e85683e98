"""Invariant: a target is a pure function of octets that raises only when something is broken.

The list of targets, and what the runner and the tests need to know of each.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

Havoc = Callable[[bytes, int], bytes]
"""Changes octets at random, up to a number of octets: libFuzzer's in a run, ours in a test."""
Mutate = Callable[[bytes, int, random.Random, Havoc], bytes]
"""Like `Havoc`, but keeps the input plausible."""

CORPUS = Path(__file__).parent / "corpus"
OCTETS_MOST = 4096


@dataclass(frozen=True)
class Target:
    """One thing to fuzz.

    Attributes:
        name: as `--target` and the corpus folder say it.
        run: takes an input; raises when the invariant does not hold.
        seeds: inputs to begin with, besides the kept corpus.
        mutate: makes the next input out of another.
        prepare: costly work to be done once, before coverage counts.
        octets_most: longest input.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Mutate = lambda octets, most, _rng, havoc: havoc(octets, most)
    prepare: Callable[[], None] = lambda: None
    octets_most: int = OCTETS_MOST


@dataclass(frozen=True)
class Place:
    """Where a target is, what its coverage counts, and its share of a run of all targets.

    Packages of `plain` are imported before those of `instrument` and so are not instrumented, which
    would make them slow: the engine is not after the branches of a hash function.
    """

    module: str
    weight: int
    instrument: tuple[str, ...] = ("hipgw",)
    plain: tuple[str, ...] = ()


PLACES = {
    "packet": Place("fuzz_packet", 3),
    "parameters": Place("fuzz_parameters", 2),
    "crypto": Place("fuzz_crypto", 1, plain=("hipgw.wire",)),
    "engine": Place("fuzz_engine", 6, plain=("hipgw.crypto",)),
    "hosts": Place("fuzz_hosts", 1),
    "config": Place("fuzz_config", 1, ("hipgw", "tomllib")),
    "control": Place("fuzz_control", 1),
    "planted": Place("planted", 0, ("tests",)),
}


def load(name: str) -> Target:
    """Import a target; the first import decides whether its code is instrumented."""
    module = import_module(f"tests.fuzz.{PLACES[name].module}")
    return cast("Target", module.TARGET)


def kept_inputs(name: str) -> list[Path]:
    """The kept corpus of a target, in a fixed order."""
    folder = CORPUS / name
    return sorted(folder.iterdir()) if folder.is_dir() else []
