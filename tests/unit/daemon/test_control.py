"""The control socket: real unix sockets, hostile lines, many clients, other users."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw.daemon.control import CLIENTS_LIMIT, Access, ControlServer, Method
from hipgw.daemon.control_protocol import (
    LINE_OCTETS_LIMIT,
    RefusedError,
    parse_request,
    take_params,
)
from hipgw.errors import HostError

STRANGER = 54_321
READERS_GROUP = 54_322


async def echo(params: Mapping[str, Any]) -> dict[str, Any]:
    return {"echo": dict(params)}


async def refuse(params: Mapping[str, Any]) -> dict[str, Any]:
    raise RefusedError("not_found", "no such peer", "name another")


async def fail(params: Mapping[str, Any]) -> dict[str, Any]:
    raise KeyError("a bug")


METHODS = {
    "echo": Method(echo),
    "change": Method(echo, Access.CHANGE),
    "refuse": Method(refuse),
    "fail": Method(fail),
}


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that other users may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


def talk(directory: Path, dialogue: Talk) -> tuple[Any, ControlServer]:
    """Run a server and one client's dialogue with it."""

    async def run() -> tuple[Any, ControlServer]:
        server = ControlServer(directory / "sock", METHODS)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(directory / "sock")
        try:
            async with asyncio.timeout(60):
                return await dialogue(reader, writer), server
        finally:
            writer.close()
            await server.close()

    return asyncio.run(run())


def ask(directory: Path, *lines: bytes) -> list[dict[str, Any]]:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[Any]:
        writer.write(b"".join(lines))
        return [json.loads(await reader.readline()) for _ in lines]

    answers: list[dict[str, Any]] = talk(directory, dialogue)[0]
    return answers


def test_several_requests_on_one_connection(directory: Path) -> None:
    answers = ask(
        directory,
        b'{"id": 1, "method": "echo", "params": {"a": [1]}}\n',
        b'{"id": "x", "method": "change"}\n',
    )
    assert answers == [
        {"id": 1, "result": {"echo": {"a": [1]}}},
        {"id": "x", "result": {"echo": {}}},
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"\n", "bad_request"),
        (b"\xff\xfe\n", "bad_request"),
        (b"[" * 60_000 + b"\n", "bad_request"),
        (b"[]\n", "bad_request"),
        (b"{}\n", "bad_request"),
        (b'{"id": {}, "method": "echo"}\n', "bad_request"),
        (b'{"id": true, "method": "echo"}\n', "bad_request"),
        (b'{"method": "echo", "params": 3}\n', "bad_request"),
        (b'{"id": 1' + b"0" * 5000 + b"}\n", "bad_request"),
        (b'{"method": "dance"}\n', "unknown_method"),
        (b'{"method": "refuse"}\n', "not_found"),
        (b'{"method": "fail"}\n', "internal"),
    ],
)
def test_nonsense_is_answered_and_the_connection_lives(
    directory: Path, line: bytes, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = ask(directory, line, b'{"id": 7, "method": "echo"}\n')
    assert first["error"]["code"] == code
    assert set(first["error"]) == {"code", "message", "remedy"}
    assert second == {"id": 7, "result": {"echo": {}}}


def test_a_lone_surrogate_is_echoed_as_ascii(directory: Path) -> None:
    (answer,) = ask(directory, b'{"id": "\\ud800", "method": "echo"}\n')
    assert answer["id"] == "\ud800"


def test_a_line_that_is_too_long_ends_the_connection(directory: Path) -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        writer.write(b"x" * (LINE_OCTETS_LIMIT + 10))
        answer = json.loads(await reader.readline())
        try:
            rest = await reader.read()
        except ConnectionResetError:
            rest = b""
        return answer, rest

    (answer, rest), server = talk(directory, dialogue)
    assert answer["error"]["code"] == "too_long"
    assert rest == b""
    assert server.counters["control_too_long"] == 1


def test_a_client_that_goes_away_in_the_middle_harms_nobody(directory: Path) -> None:
    async def run() -> dict[str, Any]:
        server = ControlServer(directory / "sock", METHODS)
        await server.start()
        for octets in (b"", b'{"id"', b'{"method":"echo"}\n' * 500):
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            channel.connect(str(directory / "sock"))
            channel.sendall(octets)
            channel.close()
        reader, writer = await asyncio.open_unix_connection(directory / "sock")
        writer.write(b'{"id": 1, "method": "echo"}\n')
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        await server.close()
        return answer

    assert asyncio.run(run()) == {"id": 1, "result": {"echo": {}}}


def test_more_clients_than_the_limit_are_told_so(directory: Path) -> None:
    async def run() -> list[dict[str, Any]]:
        server = ControlServer(directory / "sock", METHODS)
        await server.start()
        held = []
        for _ in range(CLIENTS_LIMIT):
            held.append(await asyncio.open_unix_connection(directory / "sock"))
            held[-1][1].write(b'{"id": 1, "method": "echo"}\n')
            await held[-1][0].readline()
        reader, writer = await asyncio.open_unix_connection(directory / "sock")
        answers = [json.loads(await reader.readline())]
        writer.close()
        held.pop()[1].close()
        for _ in range(6000):
            await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_unix_connection(directory / "sock")
            writer.write(b'{"id": 1, "method": "echo"}\n')
            answer = json.loads(await reader.readline())
            writer.close()
            if "result" in answer:
                break
        answers.append(answer)
        for _, other in held:
            other.close()
        await server.close()
        return answers

    refused, accepted = asyncio.run(run())
    assert refused["error"]["code"] == "busy"
    assert "result" in accepted


def ask_as_user(
    directory: Path, lines: list[bytes], *, uid: int, groups: list[int], group: int | None
) -> list[dict[str, Any]] | str:
    """What another user of this host is answered, or the name of the error he gets."""
    assert os.geteuid() == 0, "this test becomes another user: run it as root"
    go_read, go_write = os.pipe()
    said_read, said_write = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"child failed"
        try:
            os.read(go_read, 1)
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            channel.connect(str(directory / "sock"))
            channel.sendall(b"".join(lines))
            stream = channel.makefile("rb")
            said = b"".join(stream.readline() for _ in lines)
        except OSError as error:
            said = type(error).__name__.encode()
        finally:
            os.write(said_write, said)
            os._exit(0)

    async def serve() -> bytes:
        server = ControlServer(directory / "sock", METHODS, group)
        await server.start()
        (directory / "sock").chmod(0o666 if uid == STRANGER and not groups else 0o660)
        os.write(go_write, b"g")
        try:
            async with asyncio.timeout(60):
                return await asyncio.get_running_loop().run_in_executor(
                    None, os.read, said_read, 65536
                )
        finally:
            await server.close()

    try:
        said = asyncio.run(serve())
    finally:
        os.waitpid(child, 0)
        for descriptor in (go_read, go_write, said_read, said_write):
            os.close(descriptor)
    if b"{" not in said:
        return said.decode()
    return [json.loads(line) for line in said.splitlines()]


ECHO = b'{"id": 1, "method": "echo"}\n'
CHANGE = b'{"id": 2, "method": "change"}\n'


@pytest.mark.netns
def test_a_member_of_the_group_may_look_but_not_change(directory: Path) -> None:
    answers = ask_as_user(
        directory, [ECHO, CHANGE], uid=STRANGER, groups=[READERS_GROUP], group=READERS_GROUP
    )
    assert isinstance(answers, list)
    assert answers[0] == {"id": 1, "result": {"echo": {}}}
    assert answers[1]["error"]["code"] == "denied"
    assert answers[1]["error"]["remedy"] == "run as root"


@pytest.mark.netns
@pytest.mark.parametrize("group", [None, READERS_GROUP])
def test_a_stranger_is_refused_even_if_the_socket_lets_him_in(
    directory: Path, group: int | None
) -> None:
    answers = ask_as_user(directory, [ECHO], uid=STRANGER, groups=[], group=group)
    assert isinstance(answers, list)
    assert answers[0]["error"]["code"] == "denied"


@pytest.mark.netns
def test_the_socket_lets_strangers_not_in(directory: Path) -> None:
    answers = ask_as_user(directory, [ECHO], uid=STRANGER, groups=[9], group=READERS_GROUP)
    assert answers == "PermissionError"


def test_the_socket_is_for_its_owner_and_goes_with_the_server(directory: Path) -> None:
    async def run() -> int:
        server = ControlServer(directory / "sock", METHODS)
        await server.start()
        mode = stat.S_IMODE((directory / "sock").stat().st_mode)
        await server.close()
        return mode

    assert asyncio.run(run()) == 0o600
    assert not (directory / "sock").exists()


def test_a_path_that_cannot_be_bound_is_named(directory: Path) -> None:
    server = ControlServer(directory / "missing" / "sock", METHODS)
    with pytest.raises(HostError, match=r"missing/sock.*\[control\] socket"):
        asyncio.run(server.start())


def test_parameters_are_checked_by_name_and_type() -> None:
    assert take_params({"wait_s": 3}, wait_s=float, target=str) == {"wait_s": 3}
    for params, word in [({"x": 1}, "'x'"), ({"target": 1}, "target"), ({"wait_s": True}, "wait")]:
        with pytest.raises(RefusedError, match=word) as caught:
            take_params(params, wait_s=float, target=str)
        assert caught.value.code == "bad_params"


@given(st.binary(max_size=200))
def test_any_line_is_a_request_or_refused(line: bytes) -> None:
    try:
        assert isinstance(parse_request(line).method, str)
    except RefusedError as refusal:
        code = refusal.code
    else:
        code = "bad_request"
    assert code == "bad_request"
