from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hipgw.compat import hipconf
from tests.unit.cli import answers
from tests.unit.cli.control_server import MemoryControlServer, RefusedError

Hipconf = Callable[[str], tuple[int, str, str]]


def map_add(params: dict[str, object]) -> dict[str, object]:
    if params["lsi"] == "9.9.9.9":
        raise RefusedError("wrong_lsi", "9.9.9.9 is not an LSI", "choose one in 1.0.0.0/8")
    return {"hit": params["hit"], "ip": params["ip"], "lsi": params["lsi"] or "1.0.0.7"}


def map_get(params: dict[str, object]) -> dict[str, object]:
    if params["target"] == answers.QUIET_HIT:
        raise RefusedError("not_found", "nothing is known of it", "add it")
    ips = [] if params["target"] == "1.0.0.8" else ["192.0.2.2", "2001:db8::2"]
    return {"hit": answers.PEER_HIT, "lsi": "1.0.0.2", "ips": ips}


def puzzle(params: dict[str, object]) -> dict[str, object]:
    if "hit" in params:
        return {"hit": params["hit"], "k": 5, "own": True}
    return {"k": 10, "mode": "fixed", "least": 10, "ceiling": 10, "peers": []}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryControlServer]:
    serving = MemoryControlServer(
        tmp_path / "hipgw.sock",
        {
            "hits": answers.HITS,
            "associations": answers.ASSOCIATIONS,
            "map_add": map_add,
            "map_get": map_get,
            "close": {"closed": [answers.PEER_HIT]},
            "hit_to_lsi": {"hit": answers.PEER_HIT, "lsi": "1.0.0.2"},
            "lsi_to_hit": {"lsi": "1.0.0.2", "hit": answers.PEER_HIT},
            "locators": {"locators": ["192.0.2.1", "2001:db8::1"], "announce_locators": False},
            "puzzle": puzzle,
            "new_puzzle": puzzle,
            "set_peer_puzzle": puzzle,
            "set": lambda params: {"set": params},
            "default_hip_version": {"version": 2},
            "set_default_hip_version": lambda params: {"version": params["version"]},
            "manual_update": {"peers": 1},
            "identity_add": {"identities": []},
            "identity_new": {"identity": answers.HITS["hits"][0]},
            "identity_remove": {"removed": [answers.RSA_HIT]},
            "opportunistic_set": {"answer": True, "initiate": True, "pin": True},
        },
    )
    yield serving
    serving.close()


@pytest.fixture
def run(
    server: MemoryControlServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Hipconf:
    """Runs a line of hipconf against the server: (exit code, standard output, standard error)."""
    monkeypatch.setenv("HIPGW_SOCKET", str(server.path))

    def call(line: str) -> tuple[int, str, str]:
        code = hipconf.run(line.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
