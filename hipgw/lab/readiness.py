"""Waiting for a started program to say that it is ready."""

from __future__ import annotations

import os
import select
import subprocess
import time
from typing import Any

from hipgw.errors import HostError


def wait_for_words(process: subprocess.Popen[Any], words: str, *, patience_s: float) -> None:
    """Return when `words` have appeared on the standard output of `process`, which is a pipe.

    Raises:
        HostError: it ended or stayed silent; has what it said so far.
    """
    program = process.args[0] if isinstance(process.args, list) else process.args
    if process.stdout is None:
        raise HostError(f"the output of {program!r} cannot be read: start it with a pipe")
    output, said = process.stdout.fileno(), ""
    deadline = time.monotonic() + patience_s
    while words not in said:
        left_s = max(0.0, deadline - time.monotonic())
        if not select.select([output], [], [], left_s)[0]:
            raise HostError(f"{program!r} is not ready after {patience_s:g} s: {said.strip()}")
        more = os.read(output, 4096).decode(errors="replace")
        if not more:
            raise HostError(f"{program!r} ended before it was ready: {said.strip()}")
        said += more
