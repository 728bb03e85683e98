"""`hipgw lab demo` as a newcomer runs it, daemons included.

hipgw-demo-PID-raw-a eth0 ------ eth0 hipgw-demo-PID-raw-b    and the same again over UDP
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hipgw.lab.demo import LAB_PREFIX
from hipgw.lab.environment import PACKAGE_PARENT
from hipgw.lab.hosts import process_directory
from hipgw.lab.network import clear_abandoned, leftovers
from hipgw.lab.processes import recorded_processes
from hipgw.lab.state import lab_names

pytestmark = [pytest.mark.netns, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "hipgw", "lab", "demo", "--seconds", "1"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
PATIENCE_S = 300


def started_demo() -> subprocess.Popen[str]:
    return subprocess.Popen(
        COMMAND, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_line(demo: subprocess.Popen[str], words: str) -> str:
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        said.append(line)
        if words in line:
            return line
    pytest.fail(f"the demo never said {words!r}:\n{''.join(said)}")


def labs_of(demo: subprocess.Popen[str]) -> list[str]:
    return [name for name in lab_names() if name.startswith(f"{LAB_PREFIX}{demo.pid}-")]


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    """A demo that has its daemons running."""
    with started_demo() as process:
        wait_for_line(process, "daemons ready")
        yield process
        process.kill()
    clear_abandoned(f"{LAB_PREFIX}{process.pid}-")


def test_the_demo_passes_and_its_figures_are_whole() -> None:
    done = subprocess.run(
        [*COMMAND, "--json"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    transports = json.loads(done.stdout)["transports"]
    assert [each["encapsulation"] for each in transports] == ["raw", "udp"]
    for each in transports:
        exchange = each["base_exchange"]
        assert [packet["name"] for packet in exchange] == ["I1", "R1", "I2", "R2"]
        times_ms = [packet["after_ms"] for packet in exchange]
        assert times_ms == sorted(times_ms)
        assert [(ping["sent"], ping["received"]) for ping in each["pings"]] == [(3, 3), (3, 3)]
        assert ":" in each["pings"][0]["destination"]
        assert each["pings"][1]["destination"].startswith("1.")
        assert len(each["throughputs"]) == 2
        assert all(run["received_bits_per_s"] > 0 for run in each["throughputs"])
        assert "hip0" in each["status"]
    assert "hipgw status" in done.stderr


def test_ctrl_c_leaves_nothing_behind(demo: subprocess.Popen[str]) -> None:
    (lab,) = labs_of(demo)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(PATIENCE_S) != 0
    assert leftovers(lab) == []


def test_sigterm_leaves_nothing_behind(demo: subprocess.Popen[str]) -> None:
    (lab,) = labs_of(demo)
    demo.terminate()
    assert demo.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert leftovers(lab) == []


def test_what_a_killed_demo_left_is_cleared_by_the_next(demo: subprocess.Popen[str]) -> None:
    (lab,) = labs_of(demo)
    daemons = recorded_processes(process_directory(lab))
    assert {record.host for record in daemons if record.role == "daemon"} == {"a", "b"}
    demo.kill()
    demo.wait()
    assert leftovers(lab) != []
    with started_demo() as following:
        assert lab in wait_for_line(following, "cleared what a killed demo left")
        assert leftovers(lab) == []
        assert not any(record.is_running for record in daemons)
        following.send_signal(signal.SIGINT)


def test_a_daemon_that_dies_fails_the_demo(demo: subprocess.Popen[str]) -> None:
    (lab,) = labs_of(demo)
    for record in recorded_processes(process_directory(lab)):
        if record.role == "daemon":
            os.kill(record.pid, signal.SIGKILL)
    assert demo.stdout is not None
    said = demo.stdout.read()
    assert demo.wait(PATIENCE_S) == 1
    assert "hipgw: raw: " in said
    assert leftovers(lab) == []
