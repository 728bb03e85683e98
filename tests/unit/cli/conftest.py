from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest

from hipgw.cli.main import hipgw
from tests.unit.cli import answers
from tests.unit.cli.control_server import MemoryControlServer, RefusedError

Invoke = Callable[..., click.testing.Result]


def connect(params: dict[str, object]) -> dict[str, object]:
    if params["target"] == "gw9":
        raise RefusedError("not_found", "no host is called gw9", "name it in /etc/hip/hosts")
    return {"peer": answers.PEER, "took_s": 0.0213}


def close(params: dict[str, object]) -> dict[str, object]:
    everything = [answers.PEER_HIT, answers.QUIET_HIT]
    return {"closed": everything if params["target"] == "all" else everything[:1]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryControlServer]:
    serving = MemoryControlServer(
        tmp_path / "hipgw.sock",
        {
            "status": answers.STATUS,
            "peers": {"peers": answers.STATUS["peers"]},
            "sas": answers.SAS,
            "reload": {
                "taken": ["hip.heartbeat_s", "peer"],
                "restart_needed": ["network.udp_port"],
            },
            "drops": answers.DROPS,
            "connect": connect,
            "close": close,
            "rekey": {"peer": answers.PEER, "took_s": 0.0021},
            "doctor": {"checks": []},
            "identities": {"identities": answers.HITS["hits"][:2]},
            "identity_new": {"identity": answers.HITS["hits"][1]},
            "identity_add": {"identities": []},
            "identity_remove": {"removed": [answers.RSA_HIT]},
            "identity_rotate": {"identity": answers.HITS["hits"][1], "was": answers.QUIET_HIT},
            "pins": answers.PINS,
            "pins_remove": {"removed": answers.PINS["pins"][:1]},
        },
    )
    yield serving
    serving.close()


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs `hipgw` in this process with a clean environment."""
    monkeypatch.delenv("HIPGW_SOCKET", raising=False)

    def run(*arguments: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(hipgw, list(arguments), prog_name="hipgw")

    return run


@pytest.fixture
def ask(invoke: Invoke, server: MemoryControlServer) -> Invoke:
    """Runs `hipgw` against the server."""

    def run(*arguments: str) -> click.testing.Result:
        return invoke(*arguments, "--socket", str(server.path))

    return run
