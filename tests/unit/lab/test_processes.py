from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hipgw.lab.processes import (
    ProcessRecord,
    end_processes,
    forget_process,
    record_process,
    recorded_processes,
    start_ticks,
)

STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def recorded(directory: Path, pid: int) -> ProcessRecord:
    record = record_process(directory, pid, host="a", role="daemon")
    assert record is not None
    return record


def test_a_running_process_is_remembered_over_a_restart_of_its_maker(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    record = recorded(tmp_path / "processes", sleeper.pid)
    assert recorded_processes(tmp_path / "processes") == [record]
    assert record.start_ticks == start_ticks(sleeper.pid)


def test_no_directory_means_no_processes(tmp_path: Path) -> None:
    assert recorded_processes(tmp_path / "none") == []


def test_ending_reports_nothing_when_sigterm_was_enough(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    assert end_processes([recorded(tmp_path, sleeper.pid)]) == []
    assert sleeper.wait() == -signal.SIGTERM
    assert recorded_processes(tmp_path) == []


def test_a_process_that_ignores_sigterm_is_killed(
    tmp_path: Path, stubborn: subprocess.Popen[bytes]
) -> None:
    record = recorded(tmp_path, stubborn.pid)
    assert end_processes([record], patience_s=0.2) == [record]
    assert stubborn.wait() == -signal.SIGKILL


def test_another_process_with_the_same_id_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    record = recorded(tmp_path, sleeper.pid)
    earlier = replace(record, start_ticks=record.start_ticks - 1)
    assert not earlier.is_running
    assert end_processes([earlier]) == []
    assert sleeper.poll() is None


def test_a_zombie_does_not_run(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert start_ticks(sleeper.pid) is None


def test_a_process_that_has_ended_is_not_recorded(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert record_process(tmp_path, process.pid, host="a", role="command") is None
    assert list(tmp_path.iterdir()) == []


def test_a_forgotten_process_is_not_listed(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    recorded(tmp_path, sleeper.pid)
    forget_process(tmp_path, sleeper.pid)
    forget_process(tmp_path, sleeper.pid)
    assert recorded_processes(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "host": 1}'])
def test_a_damaged_record_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "1.json").write_text(content)
    assert recorded_processes(tmp_path) == []
