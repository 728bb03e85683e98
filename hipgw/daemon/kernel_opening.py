"""The kernel's half of the data plane: opened, and rid of what a killed daemon left."""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from hipgw.daemon.kernel_side import KernelSide
from hipgw.dataplane.interface import Preference
from hipgw.dataplane.kernel import KernelBackend
from hipgw.dataplane.kernel_pairs import OWNERSHIP
from hipgw.dataplane.kernel_suites import KernelEsp, probe_kernel
from hipgw.drivers.esp_filter import EspFilter
from hipgw.netlink.xfrm import Group, XfrmClient, XfrmMonitor, remove_owned
from hipgw.netlink.xfrm.uapi import UDP_ENCAP, UDP_ENCAP_ESPINUDP
from hipgw.values import EspSuite

GROUPS: Final = (Group.ACQUIRE, Group.EXPIRE, Group.SA, Group.POLICY, Group.MAPPING)
EVENTS_OCTETS: Final = 4 * 1024 * 1024
"""Our own changes come back as events, too."""
ENCAPSULATED: Final = EspSuite.AES_128_CBC_HMAC_SHA256
"""The suite that says whether the kernel takes ESP out of UDP; every HIP host has it."""

log = logging.getLogger(__name__)


def clear_kernel_leftovers() -> int:
    """Remove states and policies of a killed daemon; how many, 0 where there is no XFRM."""
    try:
        with XfrmClient() as client:
            removed = remove_owned(client, OWNERSHIP)
    except OSError as error:
        log.debug("no look for states of a killed daemon", extra={"reason": error})
        return 0
    return removed.states + removed.policies


def open_kernel_side(
    stack: ExitStack,
    preference: Preference,
    raw_esp: Mapping[int, Sequence[socket.socket]],
    udp: Mapping[int, Sequence[socket.socket]],
    suites: Collection[EspSuite],
) -> KernelSide | None:
    """Open what the kernel's half takes; `stack` closes it.  None if it is not wanted.

    With AUTO the kernel is asked what it can do when the daemon runs.  With KERNEL it is asked
    here: it takes ESP out of our UDP sockets from the start, or never.

    Args:
        stack: of the daemon.
        preference: `[datapath] backend`.
        raw_esp: raw sockets of protocol 50, by family; they no longer see what the kernel carries.
        udp: sockets of the HIP port, by family; with KERNEL they hand ESP to the kernel.
        suites: that associations may have.
    """
    if preference is Preference.USER:
        return None
    esp, families = KernelEsp(), frozenset[int]()
    if preference is Preference.KERNEL:
        esp = probe_kernel({*suites, ENCAPSULATED})
        if not esp.can_something:
            return _nothing(esp, esp.verdicts[0].reason)
    try:
        client = XfrmClient()
        monitor = XfrmMonitor(GROUPS, receive_octets=EVENTS_OCTETS)
    except OSError as error:
        return _nothing(esp, f"no XFRM socket: {error.strerror}")
    if preference is Preference.KERNEL:
        families = _hand_over_udp(udp, esp)
    backend = KernelBackend(client, on_inbound=EspFilter(raw_esp).refuse)
    side = KernelSide(backend, monitor, esp, "", families)
    stack.callback(backend.close)
    stack.callback(side.stop)
    return side


def _nothing(esp: KernelEsp, reason: str) -> KernelSide:
    log.warning("the kernel carries nothing", extra={"reason": reason})
    return KernelSide(None, None, esp, reason)


def _hand_over_udp(udp: Mapping[int, Sequence[socket.socket]], esp: KernelEsp) -> frozenset[int]:
    """Have the kernel take ESP out of our UDP sockets; the families where it does."""
    families = set()
    for family, group in udp.items():
        if esp.reason_against(ENCAPSULATED, family, is_udp=True):
            continue
        for channel in group:
            channel.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        families.add(family)
    return frozenset(families)
