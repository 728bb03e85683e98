"""What is on the wire, as Wireshark sees it: boring control packets, ESP that the lab's keys open.

a eth0 10.77.0.1 fd00:77::1 ------ 10.77.0.2 fd00:77::2 eth0 b, captured on a
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from hipgw.lab.network import Lab
from tests.netns.seen import said
from tests.netns.streams import until

pytestmark = pytest.mark.netns

SUITES = [
    "aes-128-gcm-16",
    "aes-128-cbc-hmac-sha256",
    "aes-256-cbc-hmac-sha256",
    "null-hmac-sha256",
    "aes-128-gcm-8",
    "aes-128-cbc-hmac-sha1",
]
WORDS = b"a datagram that only the two of us should read"
SERVER = (
    "import socket, sys\n"
    "server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
    "server.bind((sys.argv[1], 4444))\n"
    "print('ready', flush=True)\n"
    "server.settimeout(60)\n"
    "print(server.recvfrom(2000)[0].decode(), flush=True)\n"
)
CLIENT = (
    "import socket, sys\n"
    "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)"
    ".sendto(sys.argv[2].encode(), (sys.argv[1], 4444))\n"
)


@dataclass
class Recorded:
    """A capture with everything that tells what it should show."""

    file: Path
    keys: list[str]
    encapsulation: str

    def dissect(self, shown: str, *fields: str) -> list[dict[str, list[str]]]:
        """The named fields of each packet that the display filter `shown` lets through."""
        command = ["tshark", "-r", str(self.file), "-T", "json", "--no-duplicate-keys"]
        command += ["-Y", shown]
        for option in ("enable_encryption_decode", "enable_authentication_check"):
            command += ["-o", f"esp.{option}:TRUE"]
        for line in self.keys:
            command += ["-o", f"uat:esp_sa:{line}"]
        if self.encapsulation == "udp" and shown == "esp":
            command += ["-d", "udp.port==10500,udpencap"]  # tshark's HIP port knows no ESP
        for name in fields:
            command += ["-e", name]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [packet["_source"].get("layers", {}) for packet in json.loads(said)]


def record(tmp_path: Path, suite: str, encapsulation: str, family: int) -> Recorded:
    """A base exchange, pings over HIT and LSI, and a datagram."""
    settings = {"hip": {"esp_suites": [suite]}}
    file = tmp_path / "wire.pcap"
    with Lab.pair(
        name=f"tshark-{SUITES.index(suite)}-{encapsulation}{family}-{os.getpid()}",
        encapsulation=encapsulation,  # type: ignore[arg-type]
        family=family,  # type: ignore[arg-type]
        settings=settings,
    ) as lab:
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        with a.capture(file):
            a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
            a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.lsi)])
            server = b.popen(["python3", "-c", SERVER, str(b.hit)])
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            a.run(["python3", "-c", CLIENT, str(b.hit), WORDS.decode()])
            assert server.stdout.readline() == WORDS.decode() + "\n"
            server.wait(timeout=60)
            a.run(["hipgw", "close", str(b.hit)])
            until(lambda: not a.ask("associations")["associations"], "CLOSE_ACK is here")
        keys = a.files.esp_keys.read_text().splitlines()
    assert len(keys) == 2
    return Recorded(file, keys, encapsulation)


@pytest.fixture
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Recorded:
    suite, encapsulation, family = request.param
    return record(tmp_path, suite, encapsulation, family)


CASES = [(suite, "raw", 4) for suite in SUITES] + [
    ("aes-128-gcm-16", "udp", 4),
    ("aes-128-cbc-hmac-sha256", "udp", 6),
    ("aes-128-gcm-16", "raw", 6),
]


@pytest.mark.parametrize("recorded", CASES, indirect=True, ids=lambda c: f"{c[0]}-{c[1]}-v{c[2]}")
def test_wireshark_finds_nothing_odd_and_opens_everything(recorded: Recorded) -> None:
    control = recorded.dissect("hip", "hip.packet_type", "hip.checksum.status", "_ws.malformed")
    assert not [packet for packet in control if "_ws.malformed" in packet]
    kinds = [int(packet["hip.packet_type"][0]) for packet in control]
    assert set(kinds) == {1, 2, 3, 4, 18, 19}
    # I1 R1 I2 R2, at the end CLOSE CLOSE_ACK
    assert [one.packet_type for one in said(recorded.file)] == [1, 2, 3, 4, 18, 19]
    if recorded.encapsulation == "raw":
        assert all(packet["hip.checksum.status"] == ["1"] for packet in control)  # good

    esp = recorded.dissect(
        "esp",
        "_ws.malformed",
        "esp.icv_good",
        "esp.protocol",
        "icmpv6.type",
        "icmp.type",
        "udp.dstport",
        "data.data",
    )
    assert not [packet for packet in esp if "_ws.malformed" in packet]
    assert all(packet["esp.icv_good"] == ["1"] for packet in esp)
    # Neighbour discovery and the like never cross: exactly what the programs sent is there.
    assert [int(packet["esp.protocol"][0], 0) for packet in esp] == [58, 58, 1, 1, 17]
    assert [packet["icmpv6.type"][0] for packet in esp[:2]] == ["128", "129"]
    assert [packet["icmp.type"][0] for packet in esp[2:4]] == ["8", "0"]
    assert esp[4]["udp.dstport"][-1] == "4444"
    assert bytes.fromhex(esp[4]["data.data"][-1]) == WORDS


def test_wrong_keys_open_nothing(tmp_path: Path) -> None:
    """The check above can fail: one wrong octet of key, and no packet of that SA verifies."""
    recorded = record(tmp_path, "aes-128-cbc-hmac-sha256", "raw", 4)
    recorded.keys = [
        line[:-3] + ("00" if line[-3:-1] != "00" else "11") + '"' for line in recorded.keys
    ]
    esp = recorded.dissect("esp", "esp.icv_good")
    assert esp
    assert all(packet.get("esp.icv_good") != ["1"] for packet in esp)
