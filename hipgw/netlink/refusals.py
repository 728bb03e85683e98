"""What the kernel's refusals mean for the operator."""

from __future__ import annotations

import errno
import os
from typing import Final

from hipgw.errors import HostError

REMEDIES: Final = {
    errno.EPERM: "run it as root (or with CAP_NET_ADMIN)",
    errno.EACCES: "run it as root, with IPv6 enabled (sysctl net.ipv6.conf.all.disable_ipv6=0)",
    errno.EEXIST: "remove the one that is there, or choose another name",
    errno.ENODEV: "check the interface name with `ip link`",
    errno.ENOENT: "check the name with `ip netns list` and `ip link`",
    errno.EOPNOTSUPP: "load the kernel module of that link type, or use a kernel that has it",
    errno.EINVAL: "check the value against what the kernel accepts",
}
OTHERWISE: Final = "see `ip link`, `ip address` and `dmesg` for what is in the way"


def refused(action: str, number: int) -> HostError:
    """One sentence about an `action` that the kernel refused with errno `number`, with a remedy."""
    remedy = REMEDIES.get(number, OTHERWISE)
    return HostError(f"cannot {action}: the kernel says {os.strerror(number)!r}; {remedy}")
