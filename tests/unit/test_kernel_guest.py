"""The runner of `make test-kernel`: its exit status, whatever becomes of the guest."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.guest import (
    DIED,
    TIME_IS_UP,
    TREE,
    Machine,
    fresh_job,
    job_script,
    pytest_words,
    run_guest,
)


def outcome(script: str, job: Path, *, limit_s: float = 20.0) -> tuple[int, str]:
    """A program in place of the guest; it finds the job directory in $JOB."""
    fresh_job(job, pytest_words(["-q"]))
    output = io.StringIO()
    machine = Machine("test", ("/bin/sh", "-c", script), {"JOB": str(job)})
    return run_guest(machine, job, limit_s=limit_s, output=output), output.getvalue()


@pytest.mark.parametrize("status", [0, 1, 5])
def test_status_of_the_tests_is_that_of_the_guest(tmp_path: Path, status: int) -> None:
    script = f"echo two passed >$JOB/log; echo {status} >$JOB/status"
    code, said = outcome(script, tmp_path / "job")
    assert code == status
    assert said.startswith("two passed\n")


def test_a_guest_that_does_not_boot_is_a_failure(tmp_path: Path) -> None:
    code, said = outcome("echo Kernel panic; exit 0", tmp_path / "job")
    assert code == DIED
    assert "before it booted" in said
    assert "  Kernel panic\n" in said


def test_a_guest_that_dies_in_the_tests_is_a_failure(tmp_path: Path) -> None:
    code, said = outcome("echo 6.1 >$JOB/boot; echo one >$JOB/log", tmp_path / "job")
    assert code == DIED
    assert "while it ran the tests" in said


def test_a_guest_that_hangs_is_ended_with_all_its_children(tmp_path: Path) -> None:
    job = tmp_path / "job"
    script = "sleep 1000 & echo $! >$JOB/child; sleep 1000"
    code, said = outcome(script, job, limit_s=0.5)
    assert code == TIME_IS_UP
    assert "not done after 0.5 s" in said
    child = Path(f"/proc/{int((job / 'child').read_text())}/stat")
    assert not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z"


def test_results_of_the_last_run_do_not_count(tmp_path: Path) -> None:
    job = tmp_path / "job"
    outcome("echo 0 >$JOB/status", job)
    assert outcome("exit 0", job)[0] == DIED


def test_the_guest_runs_this_tree() -> None:
    script = job_script(pytest_words(["-q", "tests/kernel"]))
    assert f"cd {TREE} || exit 1" in script
    assert "--junitxml=/mnt/job/junit.xml -q tests/kernel" in script


def test_kernel_tests_are_not_collected_outside_a_guest() -> None:
    """Asked for by name they are an error, not a silent success."""
    asked = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/kernel"],
        cwd=TREE, check=False, capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert asked.returncode == 5
    assert "no tests ran" in asked.stdout
