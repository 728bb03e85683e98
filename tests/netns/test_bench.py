"""`hipgw bench tunnel` on real namespaces, shortly.

hipgw-bench-PID-1500-0-a eth0 ------ eth0 hipgw-bench-PID-1500-0-b    and the same again, raw
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hipgw.lab.environment import PACKAGE_PARENT
from hipgw.lab.network import leftovers
from hipgw.lab.state import lab_names
from hipgw.perf.contestants import LAB_PREFIX

pytestmark = [pytest.mark.netns, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "hipgw", "bench", "tunnel", "--seconds", "1", "--rounds", "1"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
PATIENCE_S = 300


def labs_of(pid: int) -> list[str]:
    return [name for name in lab_names() if name.startswith(f"{LAB_PREFIX}{pid}-")]


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
