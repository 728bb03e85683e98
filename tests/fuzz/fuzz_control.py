"""Invariant: a line of a control client is a Request or RefusedError, and its answer is one line.

The input is a line; `take_params` sees what is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from hipgw.daemon.control_protocol import (
    RefusedError,
    Request,
    emit_refusal,
    emit_result,
    parse_request,
    take_params,
)
from tests.fuzz.target import Target
from tests.fuzz.texts import line_mutator

WORDS = (
    b'{"id":1,"method":"status","params":{}}',
    b'"id"',
    b'"method"',
    b'"params"',
    b'{"hit":"2001:22::1"}',
    b"null",
    b"true",
    b"1e999",
    b"NaN",
    b"-0",
    b"9" * 30,
    b'"\\ud800"',
    b'"\\u0000"',
    b"[" * 8,
    b"{}",
    b":",
    b",",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
)
CODES = frozenset({"bad_request", "bad_params"})


def run(octets: bytes) -> None:
    """Read the request, check its parameters, answer it."""
    try:
        request = parse_request(octets)
    except RefusedError as error:
        check_refusal(error, None)
        return
    assert isinstance(request, Request)
    try:
        params = take_params(request.params, hit=str, count=int, wait_s=float, force=bool)
    except RefusedError as error:
        check_refusal(error, request.request_id)
        return
    check_answer(emit_result(request.request_id, params), request.request_id)


def check_refusal(error: RefusedError, request_id: int | str | None) -> None:
    """A refusal says what to do and can be sent."""
    assert error.code in CODES
    assert error.message
    assert error.remedy
    check_answer(emit_refusal(request_id, error), request_id)


def check_answer(line: bytes, request_id: int | str | None) -> None:
    """One line of JSON with the same id."""
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line)["id"] == request_id


def seeds() -> Iterator[bytes]:
    """Requests of each sort."""
    for params in (b"{}", b'{"hit":"x"}', b'{"count":3}', b'{"wait_s":0.5}', b'{"force":true}'):
        yield b'{"id":1,"method":"status","params":' + params + b"}"
    yield b'{"id":"a","method":"ping"}'
    yield from WORDS


TARGET = Target("control", run, seeds, line_mutator(WORDS), octets_most=4096)
