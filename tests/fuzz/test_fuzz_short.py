"""Invariant: no kept input, and none of some thousand new ones, breaks the invariant of its target.

A short, repeatable part of what `make fuzz` does at length (docs/fuzzing.md).  New inputs come from
our own mutator with a fixed seed; the runner itself is tried on a target that is broken on purpose.
"""

from __future__ import annotations

import random
import subprocess
import sys
from importlib.util import find_spec
from ipaddress import IPv4Address
from itertools import product
from pathlib import Path

import pytest

from hipgw.proto import State
from hipgw.wire import PacketType
from tests.fuzz.editing import Sealing, checksummed, edited, edits_of
from tests.fuzz.fuzz_engine import ENTRIES_MOST, library
from tests.fuzz.havoc import havoc_of
from tests.fuzz.run import KEPT_OCTETS_MOST
from tests.fuzz.script import emit_script, parse_script
from tests.fuzz.target import CORPUS, PLACES, kept_inputs, load
from tests.fuzz.tlvs import join, split
from tests.fuzz.world import Flavour, Snapshot, build, peer_host_id, sizes_of

ROOT = Path(__file__).parents[2]
NEW_INPUTS = {
    "packet": 3000,
    "parameters": 8000,
    "crypto": 1500,
    "engine": 500,
    "hosts": 3000,
    "config": 600,
    "control": 3000,
}
SEEDS_MOST = 300
TARGETS = sorted(name for name, place in PLACES.items() if place.weight)


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs(name: str) -> None:
    target = load(name)
    files = kept_inputs(name)
    assert files
    assert sum(file.stat().st_size for file in files) <= KEPT_OCTETS_MOST
    for file in files:
        octets = file.read_bytes()
        assert len(octets) <= target.octets_most, file.name
        target.run(octets)


@pytest.mark.parametrize("name", TARGETS)
def test_new_inputs(name: str) -> None:
    target = load(name)
    rng = random.Random(7401)
    seeds = list(target.seeds())
    pool = [file.read_bytes() for file in kept_inputs(name)]
    pool += rng.sample(seeds, min(len(seeds), SEEDS_MOST))
    for _ in range(NEW_INPUTS[name]):
        at = rng.randrange(len(pool))
        octets = target.mutate(pool[at], target.octets_most, rng, havoc_of(rng))
        assert len(octets) <= target.octets_most
        try:
            target.run(octets)
        except Exception as error:
            pytest.fail(f"{name} with {octets.hex()}: {error!r}")
        if not rng.randrange(8):
            pool[at] = octets


def test_every_kept_folder_has_a_target() -> None:
    assert sorted(folder.name for folder in CORPUS.iterdir()) == TARGETS


def test_scripts_read_back() -> None:
    for file in kept_inputs("engine"):
        script = parse_script(file.read_bytes())
        assert parse_script(emit_script(script)) == script


def test_packets_are_put_together_again() -> None:
    for payload, _ in library()[1]:
        assert join(split(payload)) == payload


def test_an_edited_packet_gets_through_to_what_it_tests() -> None:
    """MAC and signature are made right again, so the parameter itself decides."""
    world = build(State.I2_SENT, Flavour.NODE_IS_LOW)
    payload, path = world.node.inbox[0]
    assert payload[2] == PacketType.R2
    sealing = Sealing(world.peer, peer_host_id(world))
    wrong_index = bytes([0, 0, 0, 3, 255])  # octet 3 of ESP_INFO: KEYMAT index
    octets = edited(payload, edits_of(wrong_index), library()[0], sealing)
    world.receive(world.node, (checksummed(octets, path), path))
    assert world.node.endpoint.counters["hip_malformed"] == 1
    octets = edited(payload, (), library()[0], sealing)
    world.receive(world.node, (checksummed(octets, path), path))
    assert world.node.state(world.peer.hit) is State.ESTABLISHED


@pytest.mark.parametrize("state", State)
def test_a_copy_of_a_world_leaves_the_original_alone(state: State) -> None:
    world = build(state, Flavour.TWO_IDENTITIES)
    snapshot, sizes = Snapshot(world), sizes_of(world.node.endpoint)
    copy = snapshot.copy()
    copy.wait(1000.0)
    copy.want(copy.node)
    copy.pump()
    assert copy.node.state(copy.peer.hit) is State.ESTABLISHED
    assert world.node.state(world.peer.hit) is state
    assert sizes_of(world.node.endpoint) == sizes


@pytest.mark.parametrize("state", [State.UNASSOCIATED, State.ESTABLISHED])
def test_tables_are_bounded_under_a_flood(state: State) -> None:
    world = Snapshot(build(state, Flavour.NODE_IS_LOW)).copy()
    node = world.node
    parcels = [one for one in library()[1] if one[1].local.version == 4]
    own = [one for one in parcels if one[0][24:40] == node.hit.packed]
    i1s = [one for one in own if one[0][2] == PacketType.I1]
    parcels = [one for pair in product(i1s[:1], own) for one in pair]
    entries = sizes_of(node.endpoint).entries
    for number in range(1500):
        payload, path = parcels[number % len(parcels)]
        stranger = payload[:22] + number.to_bytes(2, "big") + payload[24:]
        way = type(path)(path.local, IPv4Address(0x0A000000 + number))
        world.receive(node, (checksummed(stranger, way), way))
        world.now += 0.01
    assert sum(node.endpoint.counters.values()) > 0
    assert sizes_of(node.endpoint).entries - entries <= ENTRIES_MOST


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", "--no-keep", "--seed", "1", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_the_runner_sees_a_fault() -> None:
    done = fuzz("--target", "planted", "--runs", "50", "--seconds", "240")
    if find_spec("atheris") is None:
        assert done.returncode == 2
        assert "atheris" in done.stderr
        return
    assert done.returncode == 1, done.stdout + done.stderr
    command = done.stdout.strip().splitlines()[-1]
    crash = Path(command.rpartition(" ")[2])
    assert crash.read_bytes().startswith(b"bad")
    again = fuzz("--target", "planted", "--replay", str(crash))
    assert again.returncode == 1
    assert "AssertionError" in again.stderr


def test_the_runner_is_content_where_nothing_is_wrong() -> None:
    done = fuzz("--target", "control", "--runs", "300", "--seconds", "240")
    if find_spec("atheris") is None:
        assert done.returncode == 2
        return
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 crashes" in done.stdout
