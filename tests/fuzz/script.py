"""Invariant: any octets are a script, and a script that is emitted reads back as itself.

What a run of the engine does, step by step, in a form that survives being mutated: octet 0 picks
the world, then each step has a head of `HEAD_OCTETS` and up to 255 octets of edits.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from enum import IntEnum

from tests.fuzz.editing import EDIT_OCTETS
from tests.fuzz.target import Havoc

HEAD_OCTETS = 5
EDITS_OCTETS_MOST = 255
STEPS_MOST = 24


class Do(IntEnum):
    """What a step does; numbers of `Step.verb`, modulo their count."""

    DELIVER = 0
    """A packet that is under way to the node, changed."""
    REPLAY = 1
    """A packet that was sent to the node at any time, changed."""
    FORGE = 2
    """A packet made of nothing, with the peer's keys."""
    REFLECT = 3
    """A packet of the node's own."""
    PEER = 4
    """The peer receives what is under way to it."""
    WAIT = 5
    """Time passes."""
    ASK = 6
    """The operator or the data plane of the node or of the peer wants something."""
    JOB = 7
    """A job that was held back ends."""
    FLOOD = 8
    """The last packet again, many times, each a little different."""
    RAW = 9
    """Octets of the script itself."""
    LIBRARY = 10
    """A packet out of another world."""


class Flag(IntEnum):
    """Bits of `Step.flags`."""

    KEEP_MAC = 1
    KEEP_SIGNATURE = 2
    KEEP_IN_INBOX = 4
    OTHER_ENCAPSULATION = 8
    OTHER_SOURCE = 16
    HOLD_JOBS = 32
    LEAVE_PEER = 64
    """The peer does not get what the node sends until a later step."""
    KEEP_CHECKSUM = 128


@dataclass(frozen=True)
class Step:
    """One step; any numbers will do."""

    verb: int
    which: int
    flags: int
    amount: int
    edits: bytes = b""

    def has(self, flag: Flag) -> bool:
        return bool(self.flags & flag)


@dataclass(frozen=True)
class Script:
    """A world and steps."""

    world: int
    steps: tuple[Step, ...]


def parse_script(octets: bytes) -> Script:
    """Read any octets."""
    steps = []
    offset = 1
    while offset + HEAD_OCTETS <= len(octets) and len(steps) < STEPS_MOST:
        verb, which, flags, amount, length = octets[offset : offset + HEAD_OCTETS]
        offset += HEAD_OCTETS
        steps.append(Step(verb, which, flags, amount, octets[offset : offset + length]))
        offset += length
    return Script(octets[0] if octets else 0, tuple(steps))


def emit_script(script: Script) -> bytes:
    """Write a script; edits beyond 255 octets are cut off."""
    parts = [bytes([script.world])]
    for step in script.steps:
        edits = step.edits[:EDITS_OCTETS_MOST]
        parts.append(bytes([step.verb, step.which, step.flags, step.amount, len(edits)]) + edits)
    return b"".join(parts)


def mutate_script(octets: bytes, most: int, rng: random.Random, havoc: Havoc) -> bytes:
    """Change steps as steps, and edits as edits."""
    if rng.random() < 0.05:
        return havoc(octets, most)
    script = parse_script(octets)
    for _ in range(rng.choice((1, 1, 2, 3))):
        script = _one_change(script, rng, havoc)
    return emit_script(script)[:most]


def _one_change(script: Script, rng: random.Random, havoc: Havoc) -> Script:
    steps = list(script.steps)
    at = rng.randrange(len(steps)) if steps else 0
    choice = rng.randrange(14)
    if not steps or choice < 2:
        steps.insert(rng.randrange(len(steps) + 1), _random_step(rng))
    elif choice == 2:
        return replace(script, world=rng.randrange(256))
    elif choice == 3:
        del steps[at]
    elif choice == 4:
        steps.insert(at, steps[rng.randrange(len(steps))])
    elif choice == 5:
        other = rng.randrange(len(steps))
        steps[at], steps[other] = steps[other], steps[at]
    elif choice == 6:
        steps[at] = replace(steps[at], which=rng.randrange(256))
    elif choice == 7:
        steps[at] = replace(steps[at], flags=steps[at].flags ^ 1 << rng.randrange(8))
    elif choice == 8:
        steps[at] = replace(steps[at], amount=rng.randrange(256), verb=rng.randrange(len(Do)))
    elif choice == 9:
        steps[at] = replace(steps[at], edits=havoc(steps[at].edits, EDITS_OCTETS_MOST))
    elif choice == 10 and steps[at].edits:
        start = rng.randrange(len(steps[at].edits)) // EDIT_OCTETS * EDIT_OCTETS
        edits = steps[at].edits
        steps[at] = replace(steps[at], edits=edits[:start] + edits[start + EDIT_OCTETS :])
    else:
        steps[at] = replace(steps[at], edits=steps[at].edits + _random_edit(rng))
    return replace(script, steps=tuple(steps[:STEPS_MOST]))


def _random_step(rng: random.Random) -> Step:
    edits = b"".join(_random_edit(rng) for _ in range(rng.choice((0, 0, 1, 1, 2))))
    flags = rng.choice((0, 0, 0, 1 << rng.randrange(8), rng.randrange(256)))
    return Step(rng.randrange(len(Do)), rng.randrange(256), flags, rng.randrange(256), edits)


def _random_edit(rng: random.Random) -> bytes:
    place = rng.choice((rng.randrange(16), rng.randrange(256), rng.randrange(0x10000)))
    value = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes([rng.randrange(36), rng.randrange(16), place >> 8, place & 255, value])
