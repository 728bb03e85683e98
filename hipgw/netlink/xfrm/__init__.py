"""XFRM, the IPsec tables of Linux, over a netlink socket: states, policies, events, a probe.

Standard library only, and nothing of the rest of hipgw: pyroute2 has no XFRM messages, costs 0.2 s
to import, and its errors lack the kernel's own sentence.  Layouts: <linux/xfrm.h>.
"""

from __future__ import annotations

from hipgw.netlink.xfrm.client import XfrmClient, XfrmError
from hipgw.netlink.xfrm.events import (
    Acquired,
    Event,
    Expired,
    MappingChanged,
    Migrated,
    Overrun,
    PoliciesFlushed,
    PolicyChanged,
    PolicyRemoved,
    StateChanged,
    StateRemoved,
    StatesFlushed,
)
from hipgw.netlink.xfrm.monitor import XfrmMonitor
from hipgw.netlink.xfrm.octets import Address, XfrmFormatError
from hipgw.netlink.xfrm.ownership import Ownership, Removed, remove_owned
from hipgw.netlink.xfrm.uapi import (
    Group,
    Mode,
    PolicyAction,
    PolicyDirection,
    PolicyFlag,
    StateExtraFlag,
    StateFlag,
)
from hipgw.netlink.xfrm.values import (
    Aead,
    Authentication,
    Cipher,
    Encapsulation,
    Failures,
    Lifetime,
    Mark,
    Migration,
    PolicyId,
    Replay,
    ReplayEsn,
    Selector,
    StateId,
    StateReport,
    Template,
    Usage,
    XfrmPolicy,
    XfrmState,
)

__all__ = [
    "Acquired",
    "Address",
    "Aead",
    "Authentication",
    "Cipher",
    "Encapsulation",
    "Event",
    "Expired",
    "Failures",
    "Group",
    "Lifetime",
    "MappingChanged",
    "Mark",
    "Migrated",
    "Migration",
    "Mode",
    "Overrun",
    "Ownership",
    "PoliciesFlushed",
    "PolicyAction",
    "PolicyChanged",
    "PolicyDirection",
    "PolicyFlag",
    "PolicyId",
    "PolicyRemoved",
    "Removed",
    "Replay",
    "ReplayEsn",
    "Selector",
    "StateChanged",
    "StateExtraFlag",
    "StateFlag",
    "StateId",
    "StateRemoved",
    "StateReport",
    "StatesFlushed",
    "Template",
    "Usage",
    "XfrmClient",
    "XfrmError",
    "XfrmFormatError",
    "XfrmMonitor",
    "XfrmPolicy",
    "XfrmState",
    "remove_owned",
]
