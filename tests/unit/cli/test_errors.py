"""What a user reads when something is wrong: one line, a remedy, the documented exit code."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hipgw.cli.main import SUBCOMMANDS
from hipgw.compat.control_client import ControlClient, ControlError
from tests.unit.cli import answers
from tests.unit.cli.conftest import Invoke
from tests.unit.cli.control_server import MemoryControlServer

ASKING = (["status"], ["peers"], ["sas"], ["drops"], ["connect", "gw2"], ["close", "--all"])


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    assert line.startswith("hipgw: ")
    return line


@pytest.mark.parametrize("command", ASKING, ids=lambda words: words[0])
def test_no_daemon(invoke: Invoke, tmp_path: Path, command: list[str]) -> None:
    said = invoke(*command, "--socket", str(tmp_path / "none.sock"))
    line = one_line(said.stderr)
    assert f"no daemon answers on {tmp_path}/none.sock: start one with `hipgw run`" in line
    assert said.stdout == ""
    assert said.exit_code == 1


def test_socket_left_behind_by_a_dead_daemon(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    said = invoke("status", "--socket", str(path))
    assert "no daemon answers" in one_line(said.stderr)
    assert said.exit_code == 1


def test_socket_from_the_environment(
    invoke: Invoke, server: MemoryControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIPGW_SOCKET", str(server.path))
    assert invoke("status").output.startswith("interface: hip0\n")


def test_permission_denied(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "connect", refuse)
    said = invoke("status", "--socket", str(tmp_path / "s"))
    assert one_line(said.stderr) == (
        f"hipgw: no permission to use {tmp_path}/s: "
        "run as root or as a member of the socket's group"
    )
    assert said.exit_code == 1


def test_refusal_of_the_daemon(ask: Invoke) -> None:
    said = ask("connect", "gw9")
    assert said.stderr == "hipgw: no host is called gw9: name it in /etc/hip/hosts\n"
    assert said.exit_code == 1


def test_error_with_json_keeps_standard_output_empty(ask: Invoke) -> None:
    said = ask("connect", "gw9", "--json")
    assert said.stdout == ""
    assert said.exit_code == 1


@pytest.mark.parametrize(
    "raw",
    [b"SSH-2.0-OpenSSH_9.2\n", b"[]\n", b"{}\n", b'{"id":1,"result":7}\n', b"\xff\xfe\n", b"\n"],
)
def test_answer_that_is_no_protocol(ask: Invoke, server: MemoryControlServer, raw: bytes) -> None:
    server.raw_answer = raw
    said = ask("status")
    assert "does not speak hipgw's control protocol" in one_line(said.stderr)
    assert said.exit_code == 1


def test_daemon_that_hangs_up(ask: Invoke, server: MemoryControlServer) -> None:
    server.raw_answer = b'{"id":1,'
    said = ask("status")
    assert "hung up without an answer" in one_line(said.stderr)


def test_no_answer_in_time(server: MemoryControlServer, tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(ControlError) as caught:
            ControlClient(str(path), timeout_s=0.05).call("status")
    assert caught.value.code == "timeout"
    assert "0.05 seconds" in caught.value.message


def test_answer_in_many_pieces_and_large(server: MemoryControlServer) -> None:
    server.answers["status"] = {"blob": "x" * 1_000_000}
    assert len(ControlClient(str(server.path)).call("status")["blob"]) == 1_000_000


def test_endless_answer_is_cut_off(
    server: MemoryControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hipgw.compat.control_client.ANSWER_LIMIT_OCTETS", 1000)
    server.raw_answer = b"x" * 5000
    with pytest.raises(ControlError, match="longer than 1000 octets"):
        ControlClient(str(server.path)).call("status")


@pytest.mark.parametrize("answer", [{}, {"peers": 7}, {"peers": [{}]}, {"peers": ["x"]}])
def test_answer_of_another_version(
    ask: Invoke, server: MemoryControlServer, answer: dict[str, object]
) -> None:
    server.answers["drops"] = {"drops": list(answer)}
    assert ask("drops", "--json").exit_code == (1 if answer else 0)
    server.answers["peers"] = answer
    said = ask("peers")
    assert "the daemon's answer is not as expected" in one_line(said.stderr)
    assert said.exit_code == 1
    assert json.loads(ask("peers", "--json").stdout) == answer


def test_name_from_a_peer_cannot_command_the_terminal(
    ask: Invoke, server: MemoryControlServer
) -> None:
    evil = "gw\x1b[2J\npeer: forged\x9b\u202e"
    server.answers["status"] = {**answers.STATUS, "peers": [{**answers.PEER, "name": evil}]}
    assert "\npeer: gw?[2J?peer: forged??\n" in ask("status").stdout
    document = ask("status", "--json").stdout
    assert document.isascii()
    assert "\x1b" not in document
    assert json.loads(document)["peers"][0]["name"] == evil


def test_socket_path_too_long(invoke: Invoke) -> None:
    said = invoke("status", "--socket", "/" + "x" * 200)
    assert "cannot use" in one_line(said.stderr)
    assert said.exit_code == 1


@pytest.mark.parametrize(
    "command",
    [
        ["frobnicate"],
        ["status", "--frobnicate"],
        ["connect"],
        ["connect", "gw2", "--wait", "soon"],
        ["close"],
        ["close", "gw2", "--all"],
        ["key", "new", "--algorithm", "dsa"],
        ["key", "new", "--name", "../escape"],
        ["key", "show", "--pem", "--json"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(invoke: Invoke, command: list[str]) -> None:
    said = invoke(*command)
    assert said.exit_code == 2
    assert said.stdout == ""
    assert said.stderr


@pytest.mark.parametrize("name", [name for name in SUBCOMMANDS if name not in {"lab", "hipconf"}])
def test_help_has_examples_and_exit_codes(invoke: Invoke, name: str) -> None:
    said = invoke(
        name, *{"key": ["new"], "identity": ["new"], "pins": ["list"]}.get(name, []), "--help"
    )
    assert said.exit_code == 0
    assert "Examples:\n" in said.stdout
    assert "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration." in said.stdout


def test_script_prints_the_error_and_ends_with_its_code(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from hipgw.cli.main import main; main()", "status"],
        env={**os.environ, "HIPGW_SOCKET": str(tmp_path / "none.sock")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert "no daemon answers" in one_line(said.stderr)
