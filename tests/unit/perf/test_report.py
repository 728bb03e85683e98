"""Reports: the JSON document, Markdown, plots, and two of them compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hipgw.errors import HostError
from hipgw.perf import machine
from hipgw.perf.compare import changes, other_machine
from hipgw.perf.figures import Verdict, series
from hipgw.perf.plots import check_plot, draw
from hipgw.perf.report import Report, markdown, parse, read

TCP = "TCP, 1 stream, MTU 1500"
LOST = "UDP lost, 1300 octets, 400 Mbit/s, MTU 1500"
BUSY = (1.0, 0.9, 0.5, 0.8, 1.1)
HERE = {"cpu": "EPYC", "cores": 2, "kernel": "6.18"}


def tunnels(ours: float, busy: tuple[float, ...] = BUSY, **fields: Any) -> Report:
    figures = (
        series("bare veth", "Mbit/s", [10_000 * share for share in busy], TCP),
        series("hipgw udp", "Mbit/s", [ours * share for share in busy], TCP),
        series("openvpn", "Mbit/s", [400 * share for share in busy], TCP),
        series("bare veth", "%", [0.0] * 5, LOST),
        series("hipgw udp", "%", [0.1] * 5, LOST),
    )
    values = {"kind": "tunnel", "machine": HERE, "options": {"rounds": 5}, **fields}
    return Report(figures=figures, reference="bare veth", ours="hipgw udp", **values)


def test_the_document_is_read_as_it_was_written() -> None:
    report = tunnels(4000.0, notes=("A note.",))
    assert parse(json.loads(json.dumps(report.as_json()))) == report


def test_the_document_says_what_it_is() -> None:
    document = tunnels(4000.0).as_json()
    assert document["format"] == "hipgw-bench"
    assert document["version"] == 1
    assert "90 % interval" in document["rule"]
    assert document["figures"][1] == {
        "name": "hipgw udp",
        "unit": "Mbit/s",
        "rounds": (4000.0, 3600.0, 2000.0, 3200.0, 4400.0),
        "group": TCP,
        "also": (),
        "median": 3600.0,
    }
    found = {(one["over"], one["under"]): one for one in document["ratios"]}
    assert set(found) == {
        ("hipgw udp", "bare veth"),
        ("openvpn", "bare veth"),
        ("hipgw udp", "openvpn"),
    }
    assert found["hipgw udp", "openvpn"]["median"] == pytest.approx(10)
    assert found["hipgw udp", "openvpn"]["verdict"] == "more"


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ({"format": "other"}, "format 'other'"),
        ({"version": 2}, "version 2"),
        ({"figures": [{}]}, "KeyError"),
        ({"figures": [{"name": "a", "unit": "", "group": "", "also": [], "rounds": []}]}, "no rou"),
        ({"figures": None}, "no report of hipgw bench"),
        ({"machine": 3}, "no report of hipgw bench"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_report(spoil: dict[str, object], complaint: str) -> None:
    with pytest.raises(HostError, match=complaint):
        parse({**tunnels(1.0).as_json(), **spoil})


@pytest.mark.parametrize("text", ["", "[]", "{}", '"hipgw-bench"', "\x00", "[" * 100])
def test_files_that_hold_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(HostError, match=r"report\.json"):
        read(file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"none\.json"):
        read(tmp_path / "none.json")


def test_markdown_has_a_table_a_group() -> None:
    text = markdown(tunnels(4000.0))
    assert f"### {TCP}" in text
    row = "| openvpn | 360 | 200 .. 440 | 200 .. 440 | 5 | 0.04 [0.04 .. 0.04] | 10 [10 .. 10] |"
    assert row in text
    assert text.count("| / bare veth |") == 1  # nothing was lost on the bare wire: no ratio
    assert "does not contain 1." in text


def test_markdown_of_one_thing_in_many_ways_is_one_table() -> None:
    figures = tuple(
        one
        for size in (64, 1420)
        for one in (
            series("bare cipher", "Mpps", [2.0] * 5, f"{size} octets"),
            series("ESP kernel", "Mpps", [1.9] * 5, f"{size} octets"),
        )
    )
    text = markdown(Report("esp", HERE, {}, figures, "bare cipher"))
    assert "###" not in text
    assert "| 64 octets | 1.9 | 1.9 .. 1.9 | 5 | 0.95 [0.95 .. 0.95] |" in text


def test_values_of_different_units_share_no_table() -> None:
    figures = series("hipgw udp", "ms", [1.0], "ping"), series("hipgw udp", "%", [0.0], LOST)
    text = markdown(Report("tunnel", HERE, {}, figures, "bare veth"))
    assert text.count("###") == 2
    assert "|  | ms |" in text
    assert "|  | % |" in text


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_plot_is_drawn(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"plot.{ending}"
    draw(tunnels(4000.0), file)
    starts = {"png": b"\x89PNG", "svg": b"<?xml"}
    assert file.read_bytes().startswith(starts[ending])


def test_a_plot_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"\.png or \.svg"):
        check_plot(tmp_path / "plot.pdf")
    with pytest.raises(HostError, match="No such file"):
        draw(tunnels(1.0), tmp_path / "none" / "plot.svg")


def test_a_busy_hour_is_no_change() -> None:
    """The second run had half of the machine: relative to the bare wire nothing has changed."""
    quiet, busy = tunnels(4000.0), tunnels(4000.0, tuple(share / 2 for share in BUSY))
    tcp, openvpn = (one for one in changes(quiet, busy) if one.is_relative)
    assert (tcp.group, tcp.name, tcp.unit) == (TCP, "hipgw udp", "of bare veth")
    assert tcp.before == tcp.after == pytest.approx(0.4)
    for change in (tcp, openvpn):
        assert change.ratio is not None
        assert change.ratio.median == pytest.approx(1)
        assert change.ratio.verdict is Verdict.NOISE


def test_a_change_is_called_one() -> None:
    found = {(one.group, one.name): one for one in changes(tunnels(4000.0), tunnels(5000.0))}
    change = found[TCP, "hipgw udp"].ratio
    assert change is not None
    assert change.verdict is Verdict.MORE
    assert change.median == pytest.approx(1.25)
    lost = found[LOST, "hipgw udp"]
    assert not lost.is_relative  # nothing is lost on the bare wire
    assert lost.unit == "%"
    assert found[LOST, "bare veth"].ratio is None


def test_two_reports_that_have_nothing_in_common() -> None:
    with pytest.raises(HostError, match="bench tunnel, the other of bench esp"):
        changes(tunnels(1.0), tunnels(1.0, kind="esp"))
    other = Report("tunnel", HERE, {}, (series("hipgw udp", "kpps", [1.0], TCP),))
    with pytest.raises(HostError, match="no figure in common"):
        changes(tunnels(1.0), other)


def test_another_machine_is_said() -> None:
    there = {**HERE, "cores": 8, "load_1min": 3.0}
    assert other_machine(tunnels(1.0), tunnels(1.0)) == []
    assert other_machine(tunnels(1.0), tunnels(1.0, machine=there)) == ["cores: 2 before, 8 after"]


def test_this_machine_is_described() -> None:
    described = machine.describe()
    assert {"cpu", "cores", "mhz", "governor", "kernel", "load_1min", "libcrypto"} <= set(described)
    assert json.loads(json.dumps(described)) == described
