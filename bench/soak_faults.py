"""What the soak does to its two hosts while traffic runs.

Each fault leaves the network as it was: what comes after it is the daemons' to repair.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost

ESP: Final = 50
HIP: Final = 139
HIP_PORT: Final = 10500
ETHERNET_OCTETS: Final = 14
IPV4: Final = b"\x08\x00"
ETH_P_ALL: Final = 3
FRAME_MOST: Final = 9014
SNIFF_S: Final = 3.0
AHEAD: Final = 1 << 24
"""Of the sequence numbers of now."""
OUTAGE_S: Final = 0.3
NEWCOMER: Final = '\n[[peer]]\nname = "newcomer"\nhit = "2001:22::77"\naddresses = ["10.77.0.9"]\n'


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: for people.
        inflict: does it, and says what it did.
        reasons: at least one of these drop reasons rises on host b.
    """

    name: str
    inflict: Callable[[], str]
    reasons: tuple[str, ...] = ()


def faults(a: LabHost, b: LabHost, random_: random.Random) -> list[Fault]:
    """All of them, for two hosts on two wires."""
    shots = Shots(a, b, random_)
    return [
        Fault("rekey, asked by a", lambda: rekey(a, b)),
        Fault("garbage", shots.garbage, ("spi_unknown", "i1_rate", "hip_checksum", "runt")),
        Fault("replays, out of order", shots.replays, ("esp_replayed", "too_old")),
        Fault("forged ESP", shots.forgeries, ("icv_wrong",)),
        Fault("hip0 of b down and up", lambda: flap(b, "hip0"), ("tun_full",)),
        Fault("handover: eth0 of a down and up", lambda: flap(a, "eth0")),
        Fault("reload of both", lambda: reload(a, b)),
        Fault("the association is closed", lambda: close(a, b)),
        Fault("the wires carry 1500 octets", lambda: narrow(a, b)),
        Fault("hip0 of a down and up", lambda: flap(a, "hip0")),
        Fault("rekey, asked by both", lambda: rekey(a, b) + rekey(b, a)),
        Fault("handover: eth1 of b down and up", lambda: flap(b, "eth1")),
    ]


def rekey(asker: LabHost, peer: LabHost) -> str:
    """New keys; a refusal is the daemon's word that a fault before is not over."""
    try:
        asker.ask("rekey", target=str(peer.hit), timeout_s=40.0)
    except HostError as error:
        return f"{asker.name} could not: {error}; "
    return f"{asker.name} has new keys; "


def flap(host: LabHost, interface: str) -> str:
    """Down for a moment."""
    host.run(["ip", "link", "set", interface, "down"])
    time.sleep(OUTAGE_S)
    host.run(["ip", "link", "set", interface, "up"])
    return f"{interface} was down for {OUTAGE_S:g} s"


def narrow(a: LabHost, b: LabHost) -> str:
    """Both wires carry less for a while."""
    for octets in (1500, 9000):
        for host in (a, b):
            for interface in ("eth0", "eth1"):
                host.run(["ip", "link", "set", interface, "mtu", str(octets)])
        time.sleep(OUTAGE_S)
    return "1500 octets, and 9000 again"


def reload(a: LabHost, b: LabHost) -> str:
    """A peer comes or goes."""
    for host in (a, b):
        text = host.files.config.read_text()
        has_it = NEWCOMER in text
        host.files.config.write_text(text.replace(NEWCOMER, "") if has_it else text + NEWCOMER)
        daemon = host.daemon
        if daemon is None:
            raise HostError(f"the daemon of {host.name} is gone: {host.log_tail()}")
        os.kill(daemon.pid, signal.SIGHUP)
    return "a peer less" if has_it else "a peer more"


def close(a: LabHost, b: LabHost) -> str:
    """Traffic makes another one."""
    try:
        a.ask("close", target=str(b.hit))
    except HostError as error:
        return f"could not: {error}"
    return "closed by a"


class Shots:
    """Packets that a sends, or seems to send, to b."""

    def __init__(self, a: LabHost, b: LabHost, random_: random.Random) -> None:
        self._a = a
        self._b = b
        self._random = random_
        self._target = str(b.addresses[0])

    def garbage(self) -> str:
        """Noise, and noise behind believable heads, to every protocol that b reads."""
        noise = self._random.randbytes
        head = bytes([59, 4, 1, 0x21, 0, 0, 0, 0]) + self._a.hit.packed + self._b.hit.packed

        def shoot() -> None:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_RAW, HIP) as hip,
                socket.socket(socket.AF_INET, socket.SOCK_RAW, ESP) as esp,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            ):
                for octets in range(0, 1400, 7):
                    for shot in (noise(octets), head + noise(octets)):
                        with contextlib.suppress(OSError):  # a full queue: fewer shots
                            hip.sendto(shot, (self._target, 0))
                            esp.sendto(shot, (self._target, 0))
                            udp.sendto(shot, (self._target, HIP_PORT))
                            udp.sendto(bytes(4) + shot, (self._target, HIP_PORT))

        self._a.call(shoot)
        return "1600 packets"

    def replays(self) -> str:
        """Frames that b has had already, in any order."""
        frames = self._sniff(2000)
        self._random.shuffle(frames)
        return f"{self._repeat(frames)} frames again"

    def forgeries(self) -> str:
        """Such frames, with a sequence number to come and one wrong bit behind it."""
        frames = []
        esp = ETHERNET_OCTETS + 20
        for number, frame in enumerate(self._sniff(500)):
            forged = bytearray(frame)
            sequence = int.from_bytes(frame[esp + 4 : esp + 8]) + AHEAD + number
            forged[esp + 4 : esp + 8] = (sequence & 0xFFFFFFFF).to_bytes(4)
            at = self._random.randrange((esp + 8) * 8, len(frame) * 8)
            forged[at // 8] ^= 1 << at % 8
            frames.append(bytes(forged))
        return f"{self._repeat(frames)} frames with one wrong bit"

    def _sniff(self, count: int) -> list[bytes]:
        """ESP frames on their way to b."""
        frames: list[bytes] = []
        end = time.monotonic() + SNIFF_S

        def listen() -> None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap:
                tap.settimeout(SNIFF_S)
                while len(frames) < count and time.monotonic() < end:
                    frame, origin = tap.recvfrom(1 << 17)
                    is_in = origin[2] != socket.PACKET_OUTGOING and origin[0].startswith("eth")
                    if (
                        is_in and len(frame) <= FRAME_MOST
                        and frame[12:14] == IPV4 and frame[ETHERNET_OCTETS + 9] == ESP
                    ):  # fmt: skip
                        frames.append(frame)

        with contextlib.suppress(OSError):
            self._b.call(listen)
        return frames

    def _repeat(self, frames: list[bytes]) -> int:
        def shoot() -> int:
            sent = 0
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
                for frame in frames:
                    is_first = frame[ETHERNET_OCTETS + 16 : ETHERNET_OCTETS + 20] == bytes(
                        map(int, self._target.split("."))
                    )
                    out.bind(("eth0" if is_first else "eth1", 0))
                    with contextlib.suppress(OSError):
                        out.send(frame)
                        sent += 1
            return sent

        return self._a.call(shoot)
