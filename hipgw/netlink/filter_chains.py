"""Whether this host has a packet filter that packets of its own would pass.

Looked at, not understood: any rule, and any policy other than to accept, counts, but for those that
only see packets between other hosts (FORWARD).  What looks at arriving packets counts, too: it may
remember what this host has sent.  Formats: netlink messages of linux/netfilter/nf_tables.h;
for the legacy kind `legacy_tables`.
"""

from __future__ import annotations

import errno
import socket as sockets
import struct
from typing import Final

from hipgw.netlink.legacy_tables import has_legacy_rules
from hipgw.netlink.next_hop import attributes
from hipgw.netlink.rtnetlink_events import MESSAGE_HEADER, messages

NETLINK_NETFILTER: Final = 12
NF_FAMILIES: Final = frozenset({1, 2, 10})
"""inet, ip, ip6 of linux/netfilter.h."""
NFT_GETCHAIN: Final = 10 << 8 | 4
NFT_NEWCHAIN: Final = 10 << 8 | 3
NFTA_CHAIN_HOOK: Final = 4
NFTA_CHAIN_POLICY: Final = 5
NFTA_CHAIN_USE: Final = 6
"""How many rules it has."""
NFTA_HOOK_HOOKNUM: Final = 1
NF_INET_FORWARD: Final = 2
NF_ACCEPT: Final = 1
NLA_TYPE_MASK: Final = 0x3FFF
NLM_F_REQUEST_DUMP: Final = 0x1 | 0x300
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
FILTER_HEADER: Final = struct.Struct(">BBH")
"""struct nfgenmsg: family, version, resource."""
ERROR: Final = struct.Struct("=i")
NUMBER: Final = struct.Struct(">I")
NO_NF_TABLES: Final = frozenset(
    {errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.ENOENT}
)
"""What a kernel without them answers."""
READ_OCTETS: Final = 65536
PATIENCE_S: Final = 1.0


def has_filter() -> bool:
    """Whether rules of somebody may stand in the way; True when the kernel does not say."""
    return has_legacy_rules() or _has_chains()


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
        if kind == NFT_NEWCHAIN and body[:1] and body[0] in NF_FAMILIES and _counts(body):
            return True
    return None


def _counts(body: bytes) -> bool:
    """Whether a chain may do something to packets to or from this host itself."""
    found = _by_number(body, FILTER_HEADER.size)
    if NFTA_CHAIN_HOOK not in found:
        return False  # somebody jumps to it, or nobody does
    place = _by_number(found[NFTA_CHAIN_HOOK], 0)
    if _number(place.get(NFTA_HOOK_HOOKNUM)) == NF_INET_FORWARD:
        return False
    is_empty = _number(found.get(NFTA_CHAIN_USE)) == 0
    return not is_empty or _number(found.get(NFTA_CHAIN_POLICY)) != NF_ACCEPT


def _by_number(octets: bytes, position: int) -> dict[int, bytes]:
    return {number & NLA_TYPE_MASK: value for number, value in attributes(octets, position)}


def _number(value: bytes | None) -> int | None:
    return None if value is None or len(value) != NUMBER.size else int(NUMBER.unpack(value)[0])
