"""Whether this host has a packet filter that packets of its own would pass.

Looked at, not understood: any table of the legacy kind, and any chain of nf_tables that stands in
the way of IP packets, counts.  Formats: nf_tables' netlink messages, linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import errno
import socket as sockets
import struct
from pathlib import Path
from typing import Final

from hipgw.netlink.next_hop import attributes
from hipgw.netlink.rtnetlink_events import MESSAGE_HEADER, messages

LEGACY_TABLES: Final = (Path("/proc/net/ip_tables_names"), Path("/proc/net/ip6_tables_names"))
NETLINK_NETFILTER: Final = 12
NF_FAMILIES: Final = frozenset({1, 2, 10})
"""inet, ip, ip6 of linux/netfilter.h."""
NFT_GETCHAIN: Final = 10 << 8 | 4
NFT_NEWCHAIN: Final = 10 << 8 | 3
NFTA_CHAIN_HOOK: Final = 4
NLA_TYPE_MASK: Final = 0x3FFF
NLM_F_REQUEST_DUMP: Final = 0x1 | 0x300
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
FILTER_HEADER: Final = struct.Struct(">BBH")
"""struct nfgenmsg: family, version, resource."""
ERROR: Final = struct.Struct("=i")
NO_NF_TABLES: Final = frozenset(
    {errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.ENOENT}
)
"""What a kernel without them answers."""
READ_OCTETS: Final = 65536
PATIENCE_S: Final = 1.0


def has_filter() -> bool:
    """Whether rules of somebody may stand in the way; True when the kernel does not say."""
    return _has_legacy_tables() or _has_chains()


def _has_legacy_tables() -> bool:
    """The kernel names those that were made in this network namespace."""
    for names in LEGACY_TABLES:
        try:
            if names.read_text(encoding="ascii").strip():
                return True
        except FileNotFoundError:
            continue
        except OSError:
            return True
    return False


def _has_chains() -> bool:
    request = MESSAGE_HEADER.pack(
        MESSAGE_HEADER.size + FILTER_HEADER.size, NFT_GETCHAIN, NLM_F_REQUEST_DUMP, 1, 0
    ) + FILTER_HEADER.pack(0, 0, 0)
    try:
        with sockets.socket(
            sockets.AF_NETLINK, sockets.SOCK_RAW | sockets.SOCK_CLOEXEC, NETLINK_NETFILTER
        ) as channel:
            channel.settimeout(PATIENCE_S)
            channel.send(request)
            while True:
                verdict = _read(channel.recv(READ_OCTETS))
                if verdict is not None:
                    return verdict
    except OSError as error:
        return error.errno not in NO_NF_TABLES


def _read(octets: bytes) -> bool | None:
    """What a datagram of the dump says, None while it goes on."""
    for kind, body in messages(octets):
        if kind == NLMSG_DONE:
            return False
        if kind == NLMSG_ERROR:
            return -ERROR.unpack_from(body)[0] not in NO_NF_TABLES
        if kind == NFT_NEWCHAIN and body[:1] and body[0] in NF_FAMILIES:
            found = attributes(body, FILTER_HEADER.size)
            if any(number & NLA_TYPE_MASK == NFTA_CHAIN_HOOK for number, _ in found):
                return True
    return None
