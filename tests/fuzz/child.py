"""Invariant: one process fuzzes one target; libFuzzer ends it, with 77 when the target raised.

Called by `run`: `python -m tests.fuzz.child NAME LIBFUZZER_ARGUMENTS`.  `HIPGW_FUZZ_AGAIN` names a
command that starts this same process anew, which libFuzzer needs for a merge.
"""

from __future__ import annotations

import os
import random
import sys
from importlib import import_module

import atheris

from tests.fuzz.target import PLACES, load


def main() -> None:
    """Instrument, prepare, fuzz; does not return."""
    name, arguments = sys.argv[1], sys.argv[2:]
    for package in PLACES[name].plain:
        import_module(package)
    with atheris.instrument_imports(include=list(PLACES[name].instrument)):
        target = load(name)
    target.prepare()

    def mutate(octets: bytes, most: int, seed: int) -> bytes:
        return target.mutate(octets, most, random.Random(seed), atheris.Mutate)[:most]

    again = os.environ.get("HIPGW_FUZZ_AGAIN", sys.argv[0])
    atheris.Setup([again, *arguments], target.run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
