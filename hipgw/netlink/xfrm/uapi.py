"""Numbers of <linux/xfrm.h>, <linux/netlink.h> and <linux/udp.h>, spelled as there."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

NETLINK_XFRM: Final = 6
SOL_NETLINK: Final = 270
NETLINK_ADD_MEMBERSHIP: Final = 1
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_CAPPED: Final = 0x100
NLM_F_ACK_TLVS: Final = 0x200
NLM_F_EXCL: Final = 0x200
NLM_F_DUMP: Final = 0x300
NLM_F_CREATE: Final = 0x400

NLMSG_NOOP: Final = 1
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLMSG_OVERRUN: Final = 4
NLMSGERR_ATTR_MSG: Final = 1
NLA_TYPE_MASK: Final = 0x3FFF

IPPROTO_ESP: Final = 50
SPI_LEAST: Final = 0x100
"""0 to 255 are reserved (RFC 4303 section 2.1); the kernel accepts them nevertheless."""
UNLIMITED: Final = 2**64 - 1
"""Octets or packets of a lifetime that never ends; for seconds it is 0."""
ALL_ALGORITHMS: Final = 0xFFFFFFFF

UDP_ENCAP: Final = 100
"""Socket option of IPPROTO_UDP."""
UDP_ENCAP_ESPINUDP: Final = 2


class MessageType(IntEnum):
    """XFRM_MSG_*; the flush requests are here because they come as events, too."""

    NEWSA = 0x10
    DELSA = 0x11
    GETSA = 0x12
    NEWPOLICY = 0x13
    DELPOLICY = 0x14
    GETPOLICY = 0x15
    ALLOCSPI = 0x16
    ACQUIRE = 0x17
    EXPIRE = 0x18
    UPDPOLICY = 0x19
    UPDSA = 0x1A
    POLEXPIRE = 0x1B
    FLUSHSA = 0x1C
    FLUSHPOLICY = 0x1D
    MIGRATE = 0x21
    MAPPING = 0x26


class Attribute(IntEnum):
    """XFRMA_*."""

    ALG_AUTH = 1
    ALG_CRYPT = 2
    ENCAP = 4
    TMPL = 5
    SA = 6
    POLICY = 7
    REPLAY_VAL = 10
    SRCADDR = 13
    LASTUSED = 15
    MIGRATE = 17
    ALG_AEAD = 18
    ALG_AUTH_TRUNC = 20
    MARK = 21
    REPLAY_ESN_VAL = 23
    SA_EXTRA_FLAGS = 24
    SET_MARK = 29
    SET_MARK_MASK = 30
    IF_ID = 31
    MTIMER_THRESH = 32


class Group(IntEnum):
    """Multicast groups of NETLINK_XFRM."""

    ACQUIRE = 1
    EXPIRE = 2
    SA = 3
    POLICY = 4
    AEVENTS = 5
    REPORT = 6
    MIGRATE = 7
    MAPPING = 8


class Mode(IntEnum):
    """XFRM_MODE_*."""

    TRANSPORT = 0
    TUNNEL = 1
    ROUTEOPTIMIZATION = 2
    IN_TRIGGER = 3
    BEET = 4
    IPTFS = 5


class PolicyDirection(IntEnum):
    """XFRM_POLICY_IN, OUT, FWD; a dump shows the policies of sockets, too, with numbers above."""

    IN = 0
    OUT = 1
    FORWARD = 2
    SOCKET_IN = 3
    SOCKET_OUT = 4
    SOCKET_FORWARD = 5


class PolicyAction(IntEnum):
    """XFRM_POLICY_ALLOW, BLOCK."""

    ALLOW = 0
    BLOCK = 1


class StateFlag(IntFlag):
    """XFRM_STATE_*."""

    NOECN = 1
    DECAP_DSCP = 2
    NOPMTUDISC = 4
    WILDRECV = 8
    ICMP = 16
    AF_UNSPEC = 32
    ALIGN4 = 64
    ESN = 128


class StateExtraFlag(IntFlag):
    """XFRM_SA_XFLAG_*."""

    DONT_ENCAP_DSCP = 1
    OSEQ_MAY_WRAP = 2


class PolicyFlag(IntFlag):
    """XFRM_POLICY_LOCALOK, ICMP."""

    LOCALOK = 1
    ICMP = 2
