"""The batch as Python sees it: the descriptor's NumPy dtype, and the check before a kernel runs.

Kernels trust their descriptors; every `def` wrapper of tests and benchmarks passes through
`check_batch` first. Production workers do not: they write the descriptors themselves.
"""

from libc.stdint cimport uint64_t

DESCRIPTOR_DTYPE = [
    ("offset", "u4"),
    ("length", "u4"),
    ("sa_index", "u4"),
    ("verdict", "u1"),
    ("hop_limit", "u1"),
    ("reason", "u2"),
    ("network_octets", "u1"),
    ("traffic_class", "u1"),
    ("next_header", "u1"),
    ("family", "u1"),
]
DESCRIPTOR_OCTETS = sizeof(PacketDesc)


def check_batch(
    Py_ssize_t arena_octets,
    const uint8_t[::1] descriptors,
    Py_ssize_t sa_count,
    Py_ssize_t headroom_octets,
    Py_ssize_t tailroom_octets,
) -> int:
    """Number of descriptors; ValueError when a kernel would leave the arena or the SA table.

    Only FORWARD descriptors are looked at, as in the kernels. Overlapping packets are allowed:
    they spoil each other and nothing else.
    """
    cdef Py_ssize_t octets = descriptors.shape[0]
    cdef const PacketDesc *desc
    cdef Py_ssize_t i
    if octets % <Py_ssize_t>sizeof(PacketDesc):
        raise ValueError(
            f"descriptor array of {octets} octets: expected a multiple of {sizeof(PacketDesc)}")
    if octets == 0:
        return 0
    desc = <const PacketDesc *>&descriptors[0]
    for i in range(octets // <Py_ssize_t>sizeof(PacketDesc)):
        if desc[i].verdict != FORWARD:
            continue
        if desc[i].sa_index >= sa_count:
            raise ValueError(f"descriptor {i}: no SA with index {desc[i].sa_index}")
        if (
            desc[i].offset < headroom_octets
            or <uint64_t>desc[i].offset + desc[i].length + tailroom_octets > <uint64_t>arena_octets
        ):
            raise ValueError(
                f"descriptor {i}: {desc[i].length} octets at {desc[i].offset} with "
                f"{headroom_octets} before and {tailroom_octets} after leave the arena "
                f"of {arena_octets}")
    return octets // sizeof(PacketDesc)
