"""A daemon is killed and starts again: who only sends to it is not left sending into the void.

hipgw-NAME-a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from hipgw.errors import HostError
from hipgw.lab.capture import Sighting, sightings
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import pair
from hipgw.wire import PacketType
from tests.netns.streams import CountingDatagrams, until

pytestmark = pytest.mark.netns

CONTROL = "proto 139 or (udp port 10500 and udp[8:4] = 0)"
"""HIP, and HIP in UDP; the stream is not captured."""


def kill(host: LabHost) -> None:
    daemon = host.daemon
    assert daemon is not None
    os.kill(daemon.pid, signal.SIGKILL)
    (process,) = [each for each in host._started if each.pid == daemon.pid]
    assert process.wait(60) == -signal.SIGKILL


def is_ready(host: LabHost) -> bool:
    try:
        return bool(host.ask("ping", timeout_s=1.0)["pong"])
    except HostError:
        return False


def control(file: Path) -> list[Sighting]:
    return [seen for seen in sightings(file) if seen.packet_type is not None]


@pytest.mark.parametrize("encapsulation", ["raw", "udp"])
def test_a_receiver_that_was_killed_calls_the_sender(encapsulation: str, tmp_path: Path) -> None:
    name = f"loss-{encapsulation}-{os.getpid()}"
    with Lab(pair(underlay="v4"), name=name, encapsulation=encapsulation) as lab:
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        # Nothing answers: b's applications only listen.
        with CountingDatagrams(a, b) as stream:
            stream.wait_for_more()
            kill(b)
            file = tmp_path / "hip.pcap"
            with a.capture(file, filters=CONTROL):
                b.start_daemon()
                until(lambda: is_ready(b), "b runs again")
                stream.wait_for_more(500)
                until(lambda: len(control(file)) >= 4, "a base exchange")
            first = control(file)[0]
            assert first.packet_type is PacketType.I1
            assert str(first.source) == "10.77.0.2", "b begins"

        def states() -> list[str]:
            return [peer["state"] for peer in b.ask("peers")["peers"]]

        until(lambda: states() == ["ESTABLISHED"], lambda: f"b is there: {states()}")


def test_esp_from_nowhere_calls_nobody() -> None:
    with Lab(pair(underlay="v4"), name=f"nowhere-{os.getpid()}") as lab:
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        a.run(["ip", "address", "add", "10.77.0.66/24", "dev", "eth0"])

        def shoot() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, 50) as esp:
                esp.bind(("10.77.0.66", 0))
                for number in range(300, 400):
                    esp.sendto(number.to_bytes(4) + bytes(60), ("10.77.0.2", 0))

        a.call(shoot)

        def dropped() -> int:
            drops = {drop["reason"]: drop["count"] for drop in b.ask("drops")["drops"]}
            return drops.get("spi_unknown", 0)

        until(lambda: dropped() == 100, "all were counted")
        assert b.ask("associations")["associations"] == []
