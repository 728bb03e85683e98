from __future__ import annotations

import subprocess
import sys

import pytest

from hipgw.errors import HostError
from hipgw.lab.readiness import wait_for_words


def program(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_it_returns_when_the_words_were_said() -> None:
    with program("print('now listening on', flush=True); input()") as process:
        wait_for_words(process, "listening", patience_s=10)
        assert process.poll() is None
        process.communicate("\n")


def test_a_program_that_ends_is_quoted() -> None:
    with (
        program("print('no such device')") as process,
        pytest.raises(HostError, match="ended before it was ready: no such device"),
    ):
        wait_for_words(process, "listening", patience_s=10)


def test_a_silent_program_is_given_up() -> None:
    with program("input()") as process:
        with pytest.raises(HostError, match=r"not ready after 0\.1 s"):
            wait_for_words(process, "listening", patience_s=0.1)
        process.communicate("\n")


def test_an_output_that_is_no_pipe_is_refused() -> None:
    with (
        subprocess.Popen(["true"]) as process,
        pytest.raises(HostError, match="start it with a pipe"),
    ):
        wait_for_words(process, "x", patience_s=1)
