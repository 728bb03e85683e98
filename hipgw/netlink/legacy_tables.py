"""Tables of the legacy packet filter: whether rules in them concern this host's own packets.

A table that was ever listed is there until its namespace goes, so its content is what counts.
Formats: linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h.
"""

from __future__ import annotations

import ctypes
import socket as sockets
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOOKS: Final = 5
NF_INET_FORWARD: Final = 2
ACCEPT: Final = -2
"""As a verdict: -NF_ACCEPT - 1."""
GET_INFO: Final = 64
GET_ENTRIES: Final = 65
NAME_OCTETS: Final = 32
INFO: Final = struct.Struct("=32sI5I5III")
"""struct ipt_getinfo, which ip6t_getinfo equals."""
ENTRIES_HEADER: Final = struct.Struct("=32sI4x")
"""struct ipt_get_entries without its entries, which stand on a boundary of eight octets."""
VERDICT: Final = struct.Struct("=i")
TARGET_HEADER_OCTETS: Final = 32
"""struct xt_entry_target: size, name, revision; a verdict follows in the standard one."""
ENTRIES_MOST: Final = 1 << 24
"""Octets; a longer table is not empty."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One address family."""

    names: Path
    family: int
    level: int
    target_at: int
    """Where an entry has the distance to its target (u16): after struct ipt_ip, and nfcache."""


KINDS: Final = (
    Kind(Path("/proc/thread-self/net/ip_tables_names"), sockets.AF_INET, sockets.IPPROTO_IP, 88),
    Kind(
        Path("/proc/thread-self/net/ip6_tables_names"), sockets.AF_INET6, sockets.IPPROTO_IPV6, 140
    ),
)


def has_legacy_rules() -> bool:
    """Whether there are such rules or policies; True when the kernel does not say."""
    return any(map(_has_rules, KINDS))


def _has_rules(kind: Kind) -> bool:
    """The kernel names the tables that were made in this network namespace."""
    try:
        tables = kind.names.read_text(encoding="ascii").split()
        if not tables:
            return False
        protocol = sockets.IPPROTO_RAW
        with sockets.socket(kind.family, sockets.SOCK_RAW | sockets.SOCK_CLOEXEC, protocol) as way:
            return any(_counts(way, kind, table.encode()) for table in tables)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _counts(way: sockets.socket, kind: Kind, table: bytes) -> bool:
    info = _ask(way, kind.level, GET_INFO, INFO.pack(table, *[0] * 13), INFO.size)
    _, valid, *rest = INFO.unpack(info)
    starts, ends, octets = rest[:HOOKS], rest[HOOKS : 2 * HOOKS], rest[-1]
    hooks = [hook for hook in range(HOOKS) if valid >> hook & 1 and hook != NF_INET_FORWARD]
    if octets > ENTRIES_MOST or any(starts[hook] != ends[hook] for hook in hooks):
        return True
    question = ENTRIES_HEADER.pack(table, octets)
    answer = _ask(way, kind.level, GET_ENTRIES, question, len(question) + octets)
    entries = answer[ENTRIES_HEADER.size :]
    return any(_verdict(entries, ends[hook], kind) != ACCEPT for hook in hooks)


def _verdict(entries: bytes, start: int, kind: Kind) -> int:
    (to_target,) = struct.unpack_from("=H", entries, start + kind.target_at)
    (verdict,) = VERDICT.unpack_from(entries, start + to_target + TARGET_HEADER_OCTETS)
    return int(verdict)


def _ask(way: sockets.socket, level: int, option: int, question: bytes, length: int) -> bytes:
    """What getsockopt(2) answers to a question in its own buffer, which Python's does not ask."""
    buffer = ctypes.create_string_buffer(question, length)
    size = ctypes.c_uint32(length)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.getsockopt(way.fileno(), level, option, buffer, ctypes.byref(size)) != 0:
        raise OSError(ctypes.get_errno(), "the table is not read")
    return buffer.raw[: size.value]
