from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from hipgw.errors import HostError
from hipgw.lab.control import ask_daemon


def answering(path: Path, answer: bytes) -> tuple[threading.Thread, list[bytes]]:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(1)
    asked: list[bytes] = []

    def serve() -> None:
        with server:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                asked.append(lines.readline())
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread, asked


def test_a_request_is_one_line_and_its_result_comes_back(tmp_path: Path) -> None:
    thread, asked = answering(tmp_path / "s", b'{"id": 1, "result": {"peers": []}}\n')
    assert ask_daemon(tmp_path / "s", "connect", peer="b") == {"peers": []}
    thread.join()
    assert json.loads(asked[0]) == {"id": 1, "method": "connect", "params": {"peer": "b"}}


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b'{"id": 1, "error": {"code": "unknown_peer", "message": "no"}}\n', "unknown_peer"),
        (b"[]\n", "refused"),
        (b"not json\n", "no answer to 'status'"),
        (b"", "no answer to 'status'"),
    ],
)
def test_any_other_answer_is_an_error(tmp_path: Path, answer: bytes, complaint: str) -> None:
    thread, _ = answering(tmp_path / "s", answer)
    with pytest.raises(HostError, match=complaint):
        ask_daemon(tmp_path / "s", "status")
    thread.join()


def test_no_daemon_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no answer to 'status'"):
        ask_daemon(tmp_path / "s", "status")
