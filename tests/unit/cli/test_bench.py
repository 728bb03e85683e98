"""`hipgw bench` as far as it goes without root: help, refusals, esp, compare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hipgw.perf.figures import series
from hipgw.perf.report import Report
from tests.unit.cli.conftest import Invoke

QUICK = ["bench", "esp", "--suites", "aes-gcm-16", "--sizes", "64", "--batches", "8"]
QUICK += ["--backends", "libcrypto", "--rounds", "5"]


@pytest.mark.parametrize("command", ["esp", "tunnel", "bex", "nfqueue", "compare"])
def test_help_has_an_example(invoke: Invoke, command: str) -> None:
    said = invoke("bench", command, "--help")
    assert said.exit_code == 0
    assert f"  hipgw bench {command}" in said.output.partition("Examples:")[2]
    assert "Exit codes:" in said.output


def test_esp_writes_what_it_prints(invoke: Invoke, tmp_path: Path) -> None:
    files = tmp_path / "esp.json", tmp_path / "esp.svg"
    said = invoke(*QUICK, "--json", str(files[0]), "--plot", str(files[1]))
    assert said.exit_code == 0
    assert "| seal AES_GCM_16, libcrypto, 64 octets, batch 8 |" in said.stdout
    document = json.loads(files[0].read_text())
    assert document["kind"] == "esp"
    assert [len(figure["rounds"]) for figure in document["figures"]] == [5] * 4
    assert files[1].read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "complaint", "code"),
    [
        (["bench"], "say what: esp, tunnel", 2),
        (["bench", "--vs", "nebula", "esp"], "after esp", 2),
        (["bench", "--vs", "tinc"], "'tinc' is not one of", 2),
        (["bench", "tunnel", "--mtu", "1500,100"], "100 is not in the range", 2),
        (["bench", "esp", "--suites", "ROT13"], "no ESP suite 'ROT13': choose from", 2),
        ([*QUICK, "--backends", "neon"], "no backend 'neon' here", 1),
        ([*QUICK, "--plot", "bars.pdf"], "ends with .png or .svg", 1),
        ([*QUICK, "--json", "/nowhere/at/all.json"], "/nowhere/at/all.json: no such directory", 1),
        (["bench", "compare", "/nowhere/a", "/nowhere/b"], "/nowhere/a: ", 1),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_refusals(invoke: Invoke, arguments: list[str], complaint: str, code: int) -> None:
    said = invoke(*arguments)
    assert complaint in said.stderr
    assert said.exit_code == code
    assert said.stdout == ""


def written(path: Path, ours: float, cores: int) -> str:
    figures = (
        series("bare veth", "Mbit/s", [10.0, 9.0, 8.0, 9.0, 10.0], "TCP"),
        series("hipgw udp", "Mbit/s", [ours] * 5, "TCP"),
    )
    machine = {"cpu": "EPYC", "cores": cores, "kernel": "6.18"}
    path.write_text(json.dumps(Report("tunnel", machine, {}, figures, "bare veth").as_json()))
    return str(path)


def test_compare_says_what_is_noise(invoke: Invoke, tmp_path: Path) -> None:
    before, after = written(tmp_path / "a", 4.0, 2), written(tmp_path / "b", 4.2, 8)
    said = invoke("bench", "compare", before, after)
    assert said.exit_code == 0
    assert said.stderr == "another machine: cores: 2 before, 8 after\n"
    assert "inside the noise" in said.stdout.splitlines()[1]
    far = written(tmp_path / "c", 8.0, 2)
    (ours, bare) = sorted(
        json.loads(invoke("bench", "compare", before, far, "--json").stdout)["changes"],
        key=lambda change: str(change["name"]), reverse=True,
    )  # fmt: skip
    assert (ours["name"], ours["verdict"], ours["unit"]) == ("hipgw udp", "more", "of bare veth")
    assert ours["ratio"]["median"] == pytest.approx(2)
    assert bare["verdict"] == "inside the noise"
