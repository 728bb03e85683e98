"""A control socket that speaks the real protocol and answers from a table."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]


class RefusedError(Exception):
    """Raised by an answer to make it an error answer."""

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.document = {"code": code, "message": message, "remedy": remedy}


class MemoryControlServer:
    """Serves one connection after another in a thread; `requests` is what it was asked.

    `raw_answer`, when set, is sent as it is: for answers that are no protocol.
    """

    def __init__(self, path: Path, answers: dict[str, Answer]) -> None:
        self.path = path
        self.answers = answers
        self.requests: list[dict[str, Any]] = []
        self.raw_answer: bytes | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        # A connection wakes accept(); its empty request ends the loop.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(str(self.path))
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            channel, _ = self._listener.accept()
            with channel, channel.makefile("rb") as lines:
                line = lines.readline()
                if not line:
                    return
                request = json.loads(line)
                self.requests.append(request)
                if self.raw_answer is not None:
                    channel.sendall(self.raw_answer)
                else:
                    channel.sendall(json.dumps(self._answer(request)).encode() + b"\n")

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = self.answers[request["method"]]
        try:
            result = answer(request["params"]) if callable(answer) else answer
        except RefusedError as refusal:
            return {"id": request["id"], "error": refusal.document}
        return {"id": request["id"], "result": result}
