"""Round-trip times between two hosts of a lab, while nothing else goes on or under load."""

from __future__ import annotations

import re
import statistics
import subprocess
from typing import Final

from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost

PAUSE_S: Final = 0.02
PATIENCE_S: Final = 60.0
"""After the end of what went on beside."""
TIME: Final = re.compile(r"time=([\d.]+) ms")


def start(client: LabHost, destination: str, count: int) -> subprocess.Popen[str]:
    """Send `count` echo requests; `median_ms` waits for them."""
    argv = ["ping", "-n", "-i", str(PAUSE_S), "-W", "1", "-c", str(count), destination]
    return client.popen(argv)


def median_ms(client: LabHost, pinging: subprocess.Popen[str]) -> float:
    """The median of those that came back to a host, once all are sent.

    Raises:
        HostError: none did, or it does not end.
    """
    try:
        said, _ = pinging.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise HostError(f"ping on host {client.name} does not end") from error
    finally:
        client.finish(pinging)
    times = [float(found) for found in TIME.findall(said)]
    if not times:
        raise HostError(f"no ping came back: {said.strip().splitlines()[-1:]}")
    return statistics.median(times)
