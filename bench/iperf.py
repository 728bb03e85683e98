"""One iperf3 TCP run between two hosts of a lab."""

from __future__ import annotations

from hipgw.lab.hosts import LabHost
from hipgw.perf.iperf import tcp


def tcp_mbit_per_s(client: LabHost, server: LabHost, destination: str, seconds: int) -> float:
    return tcp(client, server, destination, seconds).mbit_per_s
