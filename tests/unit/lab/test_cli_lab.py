from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from hipgw.cli.lab import TOPOLOGY_NAMES, lab
from hipgw.lab import state as lab_state
from hipgw.lab.topology import TOPOLOGIES


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setattr(lab_state, "LAB_ROOT", tmp_path / "hipgw-lab")
    return CliRunner()


@pytest.mark.parametrize("command", ["up", "run", "exec", "down", "list", "demo"])
def test_help_has_examples_and_exit_codes(runner: CliRunner, command: str) -> None:
    result = runner.invoke(lab, [command, "--help"])
    assert result.exit_code == 0
    assert f"hipgw lab {command}" in result.output
    assert "xit code" in result.output


def test_the_command_line_knows_every_topology() -> None:
    assert set(TOPOLOGY_NAMES) == set(TOPOLOGIES)


@pytest.mark.parametrize(
    "argv",
    [
        ["up", "pair"], ["run", "pair"], ["down", "x"], ["down", "--all"], ["list"], ["demo"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_who_is_not_root_is_told_what_to_do(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = runner.invoke(lab, argv)
    assert result.exit_code == 1
    assert "needs root" in result.output
    assert "sudo" in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["up", "star"], "'star' is not"),
        (["up", "pair", "--mtu", "1000"], "1280"),
        (["up", "pair", "--name", "No"], "lab name 'No'"),
        (["up", "pair", "--underlay", "v4", "--family", "6"], "--underlay v6 or both"),
        (["run", "pair", "--underlay", "v6", "--family", "4"], "--underlay v4 or both"),
        (["down"], "name of a lab or --all"),
        (["down", "x", "--all"], "name of a lab or --all"),
        (["exec", "x", "a"], "COMMAND"),
        (["exec", "x", "a", "--"], "COMMAND"),
    ],
)
def test_wrong_usage_ends_with_2(runner: CliRunner, argv: list[str], said: str) -> None:
    result = runner.invoke(lab, argv)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize("argv", [["down", "x"], ["exec", "x", "a", "--", "true"]])
def test_an_unknown_lab_ends_with_1(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    result = runner.invoke(lab, argv)
    assert result.exit_code == 1
    assert "no lab called x" in result.output


def test_the_list_names_labs_that_were_cut_short(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    lab_state.claim_name("broken")
    host = lab_state.HostState("a", ("10.77.0.1",), ("eth0",), "2001:22::1", "1.0.1.1")
    lab_state.claim_name("whole")
    lab_state.save_state(
        lab_state.new_state(
            "whole", "pair", (host,), mtu_octets=9000, encapsulation="udp", is_owned=True
        )
    )
    result = runner.invoke(lab, ["list"])
    assert result.exit_code == 0
    assert "not complete" in result.output
    assert f"held by process {os.getpid()}" in result.output
    documents = json.loads(runner.invoke(lab, ["list", "--json"]).output)["labs"]
    assert [document["name"] for document in documents] == ["broken", "whole"]
    assert documents[1]["mtu_octets"] == 9000
    assert not documents[1]["is_abandoned"]


def test_an_empty_list_says_how_to_fill_it(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    result = runner.invoke(lab, ["list"])
    assert result.exit_code == 0
    assert "hipgw lab run pair" in result.output
