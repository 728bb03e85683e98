"""One iperf3 run between two hosts of a lab, over whatever joins them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.readiness import wait_for_words

READY_PATIENCE_S: Final = 30.0
GRACE_S: Final = 60.0
"""How much longer than asked a run may take."""
MOST_MBIT_PER_S: Final = 0
"""As much as goes."""


@dataclass(frozen=True, slots=True)
class TcpRun:
    """What arrived of all streams."""

    mbit_per_s: float
    octets: int


@dataclass(frozen=True, slots=True)
class UdpRun:
    """Datagrams of one stream."""

    sent: int
    lost: int
    seconds: float

    @property
    def lost_percent(self) -> float:
        """Of those sent; all are lost when none was sent."""
        return 100 * self.lost / self.sent if self.sent else 100.0

    @property
    def packets_per_s(self) -> float:
        """Delivered."""
        return (self.sent - self.lost) / self.seconds


def tcp(
    client: LabHost, server: LabHost, destination: str, seconds: int, *, streams: int = 1
) -> TcpRun:
    """Send as much as goes for some seconds.

    Raises:
        HostError: iperf3 is not there, or failed, or nothing arrived.
    """
    options = ["-P", str(streams)] if streams > 1 else []
    end = _run(client, server, destination, seconds, options)["end"]["sum_received"]
    if not end["bytes"]:
        raise HostError(f"iperf3 to {destination}: nothing arrived in {seconds} s")
    return TcpRun(float(end["bits_per_second"]) / 1e6, int(end["bytes"]))


def udp(
    client: LabHost,
    server: LabHost,
    destination: str,
    seconds: int,
    *,
    octets: int,
    mbit_per_s: int = MOST_MBIT_PER_S,
) -> UdpRun:
    """Send datagrams of `octets` of payload at a rate, or as fast as goes.

    Raises:
        HostError: iperf3 is not there, or failed.
    """
    rate = f"{mbit_per_s}M" if mbit_per_s else "0"
    options = ["-u", "-l", str(octets), "-b", rate]
    end = _run(client, server, destination, seconds, options)["end"]["sum"]
    return UdpRun(int(end["packets"]), int(end["lost_packets"]), float(end["seconds"]))


def _run(
    client: LabHost, server: LabHost, destination: str, seconds: int, options: Sequence[str]
) -> dict[str, Any]:
    # Nobody reads what the server says later: no report a second, so that no pipe is ever full.
    serving = server.popen(["iperf3", "-s", "-1", "-i", "0", "--forceflush"])
    try:
        wait_for_words(serving, "listening", patience_s=READY_PATIENCE_S)
        command = ["iperf3", "-c", destination, "-t", str(seconds), "-J", *options]
        done = client.run(command, check=False, timeout_s=seconds + GRACE_S)
    finally:
        server.finish(serving)
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        raise HostError(f"iperf3 to {destination} said nothing: {done.stderr.strip()}") from error
    if "error" in said or done.returncode != 0:
        raise HostError(f"iperf3 to {destination}: {said.get('error', 'failed')}")
    return dict(said)
