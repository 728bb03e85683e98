"""One iperf3 TCP run between two hosts of a lab."""

from __future__ import annotations

import json

from hipgw.lab.hosts import LabHost
from hipgw.lab.readiness import wait_for_words


def tcp_mbit_per_s(client: LabHost, server: LabHost, destination: str, seconds: int) -> float:
    """Received Mbit/s of one stream."""
    serving = server.popen(["iperf3", "-s", "-1", "--forceflush"])
    wait_for_words(serving, "listening", patience_s=10)
    done = client.run(
        ["iperf3", "-c", destination, "-t", str(seconds), "-J"], timeout_s=seconds + 30
    )
    serving.wait(timeout=10)
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e6
