"""Asks a daemon of the lab through its control socket: one JSON line out, one back."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from hipgw.errors import HostError


def ask_daemon(
    path: Path, method: str, *, timeout_s: float = 10.0, **params: object
) -> dict[str, Any]:
    """Send one request and return its result.

    Raises:
        HostError: nobody listens, no whole answer in time, or the daemon answered with an error.
    """
    request = json.dumps({"id": 1, "method": method, "params": params}) + "\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(request.encode())
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        raise HostError(f"no answer to {method!r} on {path}: {error}") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), dict):
        said = answer.get("error") if isinstance(answer, dict) else answer
        raise HostError(f"{path} refused {method!r}: {said}")
    result: dict[str, Any] = answer["result"]
    return result
