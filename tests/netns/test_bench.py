"""`hipgw bench tunnel` on real namespaces, shortly.

hipgw-bench-PID-1500-0-a eth0 ------ eth0 hipgw-bench-PID-1500-0-b    and the same again, raw
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hipgw.lab.environment import PACKAGE_PARENT
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab, leftovers
from hipgw.lab.state import lab_names
from hipgw.perf import iperf, pinging
from hipgw.perf.contestants import LAB_PREFIX

pytestmark = [pytest.mark.netns, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "hipgw", "bench", "tunnel", "--seconds", "1", "--rounds", "1"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
PATIENCE_S = 300


def labs_of(pid: int) -> list[str]:
    return [name for name in lab_names() if name.startswith(f"{LAB_PREFIX}{pid}-")]


@pytest.fixture
def wire() -> Iterator[tuple[LabHost, LabHost]]:
    """Two hosts without daemons."""
    with Lab.pair(name=f"{LAB_PREFIX}{os.getpid()}-wire") as lab:
        yield lab.host("a"), lab.host("b")


def test_a_measurement_leaves_no_process_and_no_descriptor(wire: tuple[LabHost, LabHost]) -> None:
    a, b = wire
    before = sorted(Path("/proc/self/fd").iterdir())
    pinged = pinging.start(a, str(b.addresses[0]), 2)
    assert iperf.udp(a, b, str(b.addresses[0]), 1, octets=1000, mbit_per_s=1).sent
    assert pinging.median_ms(a, pinged) > 0
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert pinged.returncode == 0


def test_a_server_of_iperf3_says_little_however_long_it_runs(
    wire: tuple[LabHost, LabHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for somebody who reads, and its streams with it."""
    a, b = wire
    popen = b.popen

    def with_a_small_pipe(argv: Sequence[str]) -> subprocess.Popen[str]:
        process = popen(argv)
        assert process.stdout is not None
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        return process

    monkeypatch.setattr(b, "popen", with_a_small_pipe)
    run = iperf.tcp(a, b, str(b.addresses[0]), 2, streams=14)
    assert run.octets > 0


def test_a_short_run(tmp_path: Path) -> None:
    file = tmp_path / "tunnel.json"
    options = ["--streams", "1", "--udp-rate", "50", "--udp-blast", ""]
    options += ["--encapsulation", "udp,raw", "--json", str(file)]
    process = subprocess.Popen(
        [*COMMAND, *options],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, complaints
    assert labs_of(process.pid) == []
    document = json.loads(file.read_text())
    names = {"bare veth", "hipgw udp", "hipgw raw"}
    found = {(one["group"], one["name"]): one["rounds"] for one in document["figures"]}
    for group in (
        "TCP, 1 stream, MTU 1500",
        "ping, idle, MTU 1500",
        "ping under TCP, MTU 1500",
        "UDP lost, 1300 octets, 50 Mbit/s, MTU 1500",
    ):
        assert {name for of, name in found if of == group} == names
        assert f"### {group}" in said
    spent = [rounds for (group, _), rounds in found.items() if group.startswith("CPU, ")]
    assert len(spent) == 2  # the bare wire has no processes
    assert all(one[0] > 0 for one in spent)
    assert all(one["verdict"] == "too few rounds" for one in document["ratios"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_ended_early_it_leaves_nothing(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMAND, "--encapsulation", "udp"],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "bringing up" in line:
                break
        labs = labs_of(process.pid)
        process.send_signal(number)
        process.stderr.read()
        assert process.wait(PATIENCE_S) != 0
    assert all(leftovers(lab) == [] for lab in labs)
    assert labs_of(process.pid) == []
