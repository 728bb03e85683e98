"""Invariant: a line that is changed is still text of the same language, more or less.

Mutation of line-oriented text: whole lines, whole words, or octets.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.fuzz.target import Havoc, Mutate


def line_mutator(words: Sequence[bytes]) -> Mutate:
    """A mutator that knows some words of a language."""

    def mutate(octets: bytes, most: int, rng: random.Random, havoc: Havoc) -> bytes:
        if rng.random() < 0.4:
            return havoc(octets, most)
        lines = octets.split(b"\n")
        at = rng.randrange(len(lines))
        choice = rng.randrange(6)
        if choice == 0:
            lines.insert(at, rng.choice(lines))
        elif choice == 1:
            del lines[at]
        elif choice == 2:
            lines[at] = rng.choice(words)
        elif choice == 3:
            parts = lines[at].split(b" ")
            parts[rng.randrange(len(parts))] = rng.choice(words)
            lines[at] = b" ".join(parts)
        elif choice == 4:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice(words) + lines[at][place:]
        else:
            lines[at] = havoc(lines[at], most)
        return b"\n".join(lines)[:most]

    return mutate
