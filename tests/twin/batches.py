"""Arenas and descriptor arrays for the kernels, and what they hold afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hipgw._fastpath.descriptor import DESCRIPTOR_DTYPE
from hipgw._fastpath.reasons import REASON_NAMES

DESCRIPTOR: Final = np.dtype(DESCRIPTOR_DTYPE)
FORWARD: Final = 0
DROP: Final = 1
FILL: Final = 0xA5
ROOM: Final = 64
"""Octets before and after each packet: what `esp_seal_batch` asks for, and no more."""


@dataclass
class Batch:
    """Packets side by side in one arena, each with `room` octets of FILL on either side."""

    arena: NDArray[np.uint8]
    desc: NDArray[np.void]

    @classmethod
    def of(cls, packets: Sequence[bytes], room: int = ROOM, **fields: object) -> Batch:
        """Lay out `packets`; `fields` are scalars or one value per packet."""
        desc = np.zeros(len(packets), DESCRIPTOR)
        arena = np.full(sum(len(p) + 2 * room for p in packets), FILL, np.uint8)
        at = 0
        for index, packet in enumerate(packets):
            at += room
            arena[at : at + len(packet)] = np.frombuffer(packet, np.uint8)
            desc[index]["offset"], desc[index]["length"] = at, len(packet)
            at += len(packet) + room
        for name, value in fields.items():
            desc[name] = value
        return cls(arena, desc)

    @property
    def raw(self) -> NDArray[np.uint8]:
        """The descriptor array as the wrappers take it."""
        return self.desc.view(np.uint8)

    def packet(self, index: int) -> bytes:
        start, length = int(self.desc[index]["offset"]), int(self.desc[index]["length"])
        return self.arena[start : start + length].tobytes()

    def packets(self) -> list[bytes]:
        return [self.packet(index) for index in range(len(self.desc))]

    def reason(self, index: int) -> str:
        """Name of the drop reason, "none" when still forwarded."""
        if self.desc[index]["verdict"] == FORWARD:
            return "none"
        return REASON_NAMES[self.desc[index]["reason"]]

    def untouched_outside(self) -> bool:
        """Whether every octet outside the packets still has FILL."""
        inside = np.zeros(len(self.arena), bool)
        for row in self.desc:
            inside[int(row["offset"]) : int(row["offset"]) + int(row["length"])] = True
        return bool((self.arena[~inside] == FILL).all())
