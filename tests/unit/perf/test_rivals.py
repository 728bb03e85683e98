"""What is known of rivals without starting one; plans; CPU time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hipgw.errors import HostError
from hipgw.perf import cpu_time
from hipgw.perf.contestants import Way
from hipgw.perf.rivals.table import RIVALS, missing_packages, rivals_of
from hipgw.perf.tunnel import TunnelPlan, steps


def test_rivals_by_name() -> None:
    names = ["openvpn", "nebula", "openvpn"]
    assert [rival.name for rival in rivals_of(names)] == ["openvpn", "nebula"]
    with pytest.raises(HostError, match="no rival 'tinc': choose from wireguard-go, nebula"):
        rivals_of(["tinc"])


def test_what_is_missing_is_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    rivals = list(RIVALS.values())
    assert missing_packages(rivals) == [name for rival in rivals for name in rival.packages]
    assert missing_packages([]) == []


def test_ways_of_hipgw() -> None:
    assert Way("udp").name == "hipgw udp"
    assert Way("udp").settings == {}
    several = Way("udp", workers=4)
    assert several.name == "hipgw udp, 4 workers"
    assert several.settings == {"datapath": {"workers": 4}}
    way = Way("raw", has_offloads=False, intercept="nfqueue")
    assert way.name == "hipgw raw, nfqueue, no offloads"
    assert way.settings == {
        "offload": {"tun": "off", "udp": "off"},
        "datapath": {"intercept": "nfqueue"},
    }


def test_a_plan_knows_its_length() -> None:
    plan = TunnelPlan(rounds=2, seconds=1, mtus=(1500, 9000), streams=(1, 4), blast_octets=())
    assert plan.measurements == 2 + 3 + 0 + 1
    assert steps(plan, rivals=1) == 2 * 2 * (1 + 2 + 1) * 6
    assert plan.lasting_s(1) == steps(plan, 1) * 3


def test_cpu_time_of_a_process_and_its_children() -> None:
    """A child of a child burns; both ends of the pipe know when."""
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint('burnt', flush=True)\ninput()"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "burnt\n"
        assert cpu_time.spent_s([process.pid]) >= 0.15
        process.communicate("\n")
    assert cpu_time.spent_s([process.pid]) == 0
