"""The control socket's language: one JSON object a line, each way.

Request `{"id": 1, "method": "status", "params": {}}`; answer `{"id": 1, "result": {...}}` or
`{"id": 1, "error": {"code": "...", "message": "...", "remedy": "..."}}`.  `id` is an integer, a
string or null, and comes back as it was.  Nothing here does I/O, and nothing a client sends raises
anything but `RefusedError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hipgw.errors import LocalProtocolError

LINE_OCTETS_LIMIT: Final = 64 * 1024
"""Longest request, line feed included."""

RequestId = int | str | None


class RefusedError(LocalProtocolError):
    """A request that is answered with an error.

    Codes: `bad_request` (no request at all), `too_long`, `busy`, `denied`, `unknown_method`,
    `bad_params`, `not_found`, `conflict`, `failed`, `timeout`, `internal`.
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message
        self.remedy: Final = remedy


@dataclass(frozen=True, slots=True)
class Request:
    """One well-formed request; whether the method exists is the server's business."""

    request_id: RequestId
    method: str
    params: Mapping[str, Any]


def parse_request(line: bytes) -> Request:
    """Read one line.

    Raises:
        RefusedError: `bad_request`, with what was expected.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            "bad_request", "not JSON", 'send one object a line: {"id":1,"method":"ping"}'
        ) from error
    if not isinstance(document, dict):
        raise RefusedError("bad_request", "not a JSON object", 'send {"id":1,"method":"ping"}')
    request_id = document.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise RefusedError("bad_request", "id is of the wrong type", "use an integer or a string")
    method = document.get("method")
    if not isinstance(method, str):
        raise RefusedError("bad_request", "no method", 'name one: {"id":1,"method":"ping"}')
    params = document.get("params", {})
    if not isinstance(params, dict):
        raise RefusedError("bad_request", "params is no object", 'use "params":{...}')
    return Request(request_id, method, params)


def emit_result(request_id: RequestId, result: Mapping[str, Any]) -> bytes:
    """One answer line."""
    return _emit({"id": request_id, "result": result})


def emit_refusal(request_id: RequestId, refusal: RefusedError) -> bytes:
    """One error line."""
    error = {"code": refusal.code, "message": refusal.message, "remedy": refusal.remedy}
    return _emit({"id": request_id, "error": error})


def _emit(document: Mapping[str, Any]) -> bytes:
    # ASCII, so that a lone surrogate in an echoed string cannot break the encoding.
    return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"


def take_params(params: Mapping[str, Any], **kinds: type) -> dict[str, Any]:
    """Check the parameters of a method: all named ones are optional and of the named type.

    Raises:
        RefusedError: `bad_params`; names the parameter.
    """
    for name, value in params.items():
        if name not in kinds:
            known = ", ".join(kinds) or "none"
            raise RefusedError("bad_params", f"unknown parameter {name!r}", f"known: {known}")
        kind = kinds[name]
        is_good = isinstance(value, kind) or (kind is float and isinstance(value, int))
        if not is_good or (isinstance(value, bool) and kind is not bool):
            raise RefusedError("bad_params", f"{name} is of the wrong type", f"use {kind.__name__}")
    return dict(params)
