"""The asking side of the control socket: one JSON line out, one JSON line back.

Standard library only and cheap to import, because every `hipgw status` pays for it.  Each call
opens its own connection, so a client holds nothing while its user reads.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any, Final

from hipgw.errors import HipgwError

DEFAULT_SOCKET: Final = "/run/hipgw/hipgw.sock"
SOCKET_VARIABLE: Final = "HIPGW_SOCKET"
ANSWER_LIMIT_OCTETS: Final = 16 * 1024 * 1024
READ_OCTETS: Final = 65536


class ControlError(HipgwError):
    """The daemon refused, failed, or could not be asked.

    Attributes:
        code: a word for programs: "not_running", "permission_denied", "timeout", "bad_answer" from
            this side, anything else from the daemon.
        message: what went wrong, one line.
        remedy: what the user can do, one line or "".
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}: {remedy}" if remedy else message)
        self.code: Final = code
        self.message: Final = message
        self.remedy: Final = remedy


def printable(value: Any) -> Any:
    """A JSON value whose texts may go to a terminal: what is not printable becomes "?".

    Names can come from peers (the Domain Identifier of a HOST_ID), and a peer must not be able to
    move a cursor or forge a line.
    """
    if isinstance(value, str):
        return "".join(character if character.isprintable() else "?" for character in value)
    if isinstance(value, list):
        return [printable(item) for item in value]
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    return value


def socket_path() -> str:
    """The control socket that the environment names, else the default one."""
    return os.environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET


class ControlClient:
    """Asks one daemon through its unix socket."""

    def __init__(self, path: str | None = None, *, timeout_s: float = 10.0) -> None:
        self.path: Final = path or socket_path()
        self.timeout_s: Final = timeout_s

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send one request and return its result.

        Args:
            method: name of the request, as the control socket knows it.
            params: JSON values by name.

        Raises:
            ControlError: no daemon, no permission, no answer in time, or an error answer.
        """
        request = json.dumps({"id": 1, "method": method, "params": params}) + "\n"
        deadline_s = time.monotonic() + self.timeout_s
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
                channel.settimeout(self.timeout_s)
                channel.connect(self.path)
                channel.sendall(request.encode())
                line = self._read_line(channel, deadline_s)
        except OSError as error:
            raise self._unreachable(error) from error
        return self._result_of(line)

    def _read_line(self, channel: socket.socket, deadline_s: float) -> bytes:
        """Read up to the newline; raises TimeoutError past `deadline_s` (CLOCK_MONOTONIC)."""
        chunks: list[bytes] = []
        length_octets = 0
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            channel.settimeout(left_s)
            chunk = channel.recv(READ_OCTETS)
            if not chunk:
                raise ControlError(
                    "bad_answer",
                    f"the daemon on {self.path} hung up without an answer",
                    "look at its log: it may have just stopped, or refused this user",
                )
            end = chunk.find(b"\n")
            if end >= 0:
                chunks.append(chunk[:end])
                return b"".join(chunks)
            chunks.append(chunk)
            length_octets += len(chunk)
            if length_octets > ANSWER_LIMIT_OCTETS:
                raise ControlError(
                    "bad_answer",
                    f"the answer on {self.path} is longer than {ANSWER_LIMIT_OCTETS} octets",
                    "check that the socket belongs to hipgw",
                )

    def _result_of(self, line: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise self._nonsense() from error
        if not isinstance(answer, dict):
            raise self._nonsense()
        result, refusal = answer.get("result"), answer.get("error")
        if isinstance(refusal, dict):
            raise ControlError(
                str(refusal.get("code", "failed")),
                printable(str(refusal.get("message", "the daemon gave no reason"))),
                printable(str(refusal.get("remedy") or "")),
            )
        if not isinstance(result, dict):
            raise self._nonsense()
        return result

    def _nonsense(self) -> ControlError:
        return ControlError(
            "bad_answer",
            f"what answers on {self.path} does not speak hipgw's control protocol",
            "check --socket and HIPGW_SOCKET",
        )

    def _unreachable(self, error: OSError) -> ControlError:
        if isinstance(error, TimeoutError):
            return ControlError(
                "timeout",
                f"no answer from the daemon within {self.timeout_s:g} seconds",
                "see its log, or try again",
            )
        if isinstance(error, PermissionError):
            return ControlError(
                "permission_denied",
                f"no permission to use {self.path}",
                "run as root or as a member of the socket's group",
            )
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return ControlError(
                "not_running",
                f"no daemon answers on {self.path}",
                "start one with `hipgw run`, or name its socket with --socket or HIPGW_SOCKET",
            )
        return ControlError(
            "bad_socket",
            f"cannot use {self.path} ({error.strerror or error})",
            "check --socket and HIPGW_SOCKET",
        )
