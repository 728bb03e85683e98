"""What hosts said to each other, out of a capture."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hipgw.lab.capture import Sighting, control_packets, sightings
from hipgw.lab.hosts import LabHost
from hipgw.wire import PacketType

OF_REPEATS: Final = {"replayed", "busy", "r1_counter_old"}
"""Why a packet is dropped whose like has come before, or is in the works."""


def said(file: Path) -> list[Sighting]:
    """The control packets of a capture, each once.

    What is not answered within half a second is sent again, octet for octet, and a busy machine
    may take longer: that is not another packet.  Nor is the R1 that answers it, with a puzzle of
    its own.
    """
    control = [seen for seen in sightings(file) if seen.packet_type is not None]
    found: dict[tuple[str, str, bytes], Sighting] = {}
    for seen, (_, octets) in zip(control, control_packets(file), strict=True):
        same = b"R1" if seen.packet_type is PacketType.R1 else octets
        found.setdefault((str(seen.source), str(seen.destination), same), seen)
    return list(found.values())


def drops(*hosts: LabHost) -> set[str]:
    """Why hosts dropped packets; where one had to say something again, what came of that aside."""
    found = {row["reason"] for host in hosts for row in host.ask("drops")["drops"] if row["count"]}
    entries = [entry for host in hosts for entry in host.ask("associations")["associations"]]
    return found - OF_REPEATS if any(entry["retransmissions"] for entry in entries) else found
