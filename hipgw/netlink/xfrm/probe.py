"""What this kernel can do, found by trying: a state with a private SPI, taken back at once.

Reading about it does not help: /proc/crypto lists what was used so far, and ALLOCSPI, NEWPOLICY and
UDP_ENCAP succeed on kernels without any ESP.  A NEWSA with the real transform decides.

The trials run in a thread with a network namespace of its own, which goes with the thread.  Without
CAP_SYS_ADMIN for that they run where the caller is, on loopback addresses.  The first one may take
seconds, because the kernel loads modules; ask off an event loop.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hipgw.netlink.xfrm.client import XfrmClient, XfrmError
from hipgw.netlink.xfrm.octets import Address
from hipgw.netlink.xfrm.uapi import UDP_ENCAP, UDP_ENCAP_ESPINUDP, Mode
from hipgw.netlink.xfrm.values import (
    Aead,
    Authentication,
    Cipher,
    Encapsulation,
    Selector,
    StateId,
    XfrmState,
)

CLONE_NEWNET: Final = 0x40000000
OUTER: Final[dict[int, Address]] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}
INNER: Final = Selector.between(IPv6Address("2001:20::1"), IPv6Address("2001:20::2"))
SPIS: Final = range(0x7F000000, 0x80000000)
"""Where the trials take theirs from."""
ATTEMPTS: Final = 8
PORT: Final = 10500
UDP_OVER_IPV6: Final = (5, 8)
"""Linux release; earlier ones take such a state and do not encapsulate (net/ipv6/esp6.c)."""


@dataclass(frozen=True, slots=True)
class Transform:
    """One way to protect packets, with keys of the right length that protect nothing."""

    name: str
    aead: Aead | None = None
    cipher: Cipher | None = None
    authentication: Authentication | None = None

    @property
    def algorithms(self) -> str:
        """The kernel's names of what it needs."""
        parts = (self.aead, self.cipher, self.authentication)
        return " and ".join(part.name for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the kernel carries BEET with a transform, outer family and encapsulation."""

    transform: str
    outer_family: int
    """4 or 6."""
    is_udp: bool
    reason: str
    """Why not, in words; empty when it does."""

    @property
    def is_possible(self) -> bool:
        """Whether it does."""
        return not self.reason


def probe(transforms: Sequence[Transform]) -> list[Verdict]:
    """Try every transform over both families, raw and in UDP; no state is left behind."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="xfrm-probe") as apart:
        return apart.submit(_in_private, transforms).result()


def _in_private(transforms: Sequence[Transform]) -> list[Verdict]:
    ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET)  # refused: then in place
    try:
        client = XfrmClient()
    except OSError as error:
        return _everywhere(transforms, socket_reason(error.errno or 0))
    with client:
        verdicts = [
            verdict for family in OUTER for verdict in _of_family(client, transforms, family)
        ]
    return [_with_cause(verdict, verdicts) for verdict in verdicts]


def _of_family(client: XfrmClient, transforms: Sequence[Transform], family: int) -> list[Verdict]:
    """UDP is tried once: whether ESP goes into it has nothing to do with the cipher."""
    verdicts = []
    against_udp: str | None = None
    for transform in transforms:
        reason = _try(client, transform, family, is_udp=False)
        if not reason and against_udp is None:
            against_udp = _try(client, transform, family, is_udp=True)
        verdicts.append(Verdict(transform.name, family, False, reason))
        verdicts.append(Verdict(transform.name, family, True, reason or against_udp or ""))
    return verdicts


def _everywhere(transforms: Sequence[Transform], reason: str) -> list[Verdict]:
    return [
        Verdict(transform.name, family, is_udp, reason)
        for family in OUTER
        for transform in transforms
        for is_udp in (False, True)
    ]


def _with_cause(verdict: Verdict, verdicts: Sequence[Verdict]) -> Verdict:
    """The kernel looks for the algorithm first: where ESP itself is missing, say that instead."""
    cause = no_esp(verdict.outer_family)
    if verdict.is_possible or all(other.reason != cause for other in verdicts):
        return verdict
    return replace(verdict, reason=cause)


def _try(client: XfrmClient, transform: Transform, family: int, *, is_udp: bool) -> str:
    """Install and remove one state; the reason why not, or empty."""
    outer = OUTER[family]
    if is_udp:
        reason = _encapsulation_reason(family)
        if reason:
            return reason
    for _ in range(ATTEMPTS):
        state = XfrmState(
            source=outer,
            destination=outer,
            spi=SPIS[secrets.randbelow(len(SPIS))],
            mode=Mode.BEET,
            selector=INNER,
            aead=transform.aead,
            cipher=transform.cipher,
            authentication=transform.authentication,
            encapsulation=Encapsulation(PORT, PORT) if is_udp else None,
        )
        try:
            client.add_state(state)
        except XfrmError as error:
            if error.errno == errno.EEXIST:
                continue
            return state_reason(error, transform, family)
        client.remove_state(StateId(state.destination, state.spi))
        return ""
    return f"{ATTEMPTS} SPIs from {SPIS.start:#x} on are all in use"


def _encapsulation_reason(family: int) -> str:
    """Why ESP cannot be put into UDP over a family, as far as that shows without a state."""
    numbers = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if family == 6 and numbers and tuple(map(int, numbers.groups())) < UDP_OVER_IPV6:
        return f"Linux {os.uname().release} has no ESP in UDP over IPv6 (5.8 has)"
    address_family = socket.AF_INET if family == 4 else socket.AF_INET6
    try:
        with socket.socket(address_family, socket.SOCK_DGRAM) as trial:
            trial.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
    except OSError as error:
        return f"no UDP_ENCAP over IPv{family}: {error.strerror}"
    return ""


def no_esp(family: int) -> str:
    """The sentence about a kernel without ESP."""
    option = "CONFIG_INET_ESP, module esp4" if family == 4 else "CONFIG_INET6_ESP, module esp6"
    return f"this kernel has no ESP over IPv{family} ({option})"


def socket_reason(number: int) -> str:
    """Why there is no socket to ask."""
    if number in {errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT}:
        return "this kernel has no XFRM over netlink (CONFIG_XFRM_USER, module xfrm_user)"
    return f"no socket to ask the kernel: {os.strerror(number)}"


def state_reason(error: XfrmError, transform: Transform, family: int) -> str:
    """Why a state was refused."""
    if error.errno == errno.EPROTONOSUPPORT:
        if "mode" in error.extended:
            return "this kernel has no BEET mode (module xfrm6_mode_beet or xfrm4_mode_beet)"
        return no_esp(family)
    if error.errno in {errno.ENOSYS, errno.ENOENT}:
        return f"this kernel lacks {transform.algorithms}"
    if error.errno in {errno.EPERM, errno.EACCES}:
        return "no permission: CAP_NET_ADMIN is missing"
    if error.errno == errno.EAFNOSUPPORT:
        return f"this kernel runs without IPv{family}"
    return f"the kernel refuses {transform.algorithms}: {error.strerror}"
