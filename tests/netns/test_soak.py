"""Twenty seconds of `make soak`: every fault once.

hipgw-soak-PID-a eth0, eth1 ====== eth0, eth1 hipgw-soak-PID-b
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hipgw.lab.environment import PACKAGE_PARENT
from hipgw.lab.state import lab_names

pytestmark = [pytest.mark.netns, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "bench.soak", "--seconds", "20"]
PATIENCE_S = 400


def test_traffic_outlives_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    process = subprocess.Popen(
        [*COMMAND, "--json", str(file)],
        cwd=PACKAGE_PARENT,
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said + complaints
    assert f"soak-{process.pid}" not in lab_names()
    document = json.loads(file.read_text())
    assert document["is_good"]
    assert [check for check in document["checks"] if not check["is_good"]] == []
    assert len({turn["fault"] for turn in document["faults"]}) == 12
    assert {sample["host"] for sample in document["samples"]} == {"a", "b"}
    assert len(document["arrived_octets"]) == 6
    assert min(document["arrived_octets"].values()) > 0
    assert "every packet of a has a name" in said
    assert "soak" in complaints
