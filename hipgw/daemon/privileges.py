"""What the process may do and what it must not leak.

Three calls that glibc's Python face lacks go through ctypes: prctl, and capset, which has no glibc
wrapper.  `capset` works on one thread, so the drop happens before any other thread is started.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import resource
import struct
from pathlib import Path as FilePath
from typing import Final

from hipgw.errors import ConfigError, HostError

PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
LINUX_CAPABILITY_VERSION_3: Final = 0x20080522
CAP_NET_ADMIN: Final = 12
CAP_NET_RAW: Final = 13
KEPT_CAPABILITIES: Final = (1 << CAP_NET_ADMIN) | (1 << CAP_NET_RAW)
SYS_CAPSET: Final = {"x86_64": 126, "aarch64": 91, "riscv64": 91}
STATUS_FILE: Final = FilePath("/proc/self/status")


def has_network_privileges() -> bool:
    """Whether this process has CAP_NET_ADMIN and CAP_NET_RAW in effect."""
    for line in STATUS_FILE.read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16) & KEPT_CAPABILITIES == KEPT_CAPABILITIES
    return False


def require_network_privileges() -> None:
    """Raise HostError, with the remedy, unless the network can be changed."""
    if not has_network_privileges():
        raise HostError(
            "hipgw needs root, or the capabilities CAP_NET_ADMIN and CAP_NET_RAW, to open hip0 and "
            "raw sockets: run it with sudo, or through its systemd unit"
        )


def forbid_dumps() -> None:
    """No core dump, no ptrace by the same user: keys stay in this process."""
    _prctl(PR_SET_DUMPABLE, 0)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def user_ids(name: str) -> tuple[int, int]:
    """(uid, gid) of a user of this host.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise ConfigError(
            f"no user {name!r} on this host: make one with `useradd --system {name}`",
            key="host.user",
        ) from error
    return entry.pw_uid, entry.pw_gid


def group_id(name: str) -> int:
    """Number of a group of this host.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise ConfigError(
            f"no group {name!r} on this host: make one with `groupadd --system {name}`",
            key="control.group",
        ) from error


def drop_to_user(name: str, *, for_children: bool = False) -> None:
    """Become a user without privileges but CAP_NET_ADMIN and CAP_NET_RAW.

    Call it before any thread is started, and after what only root can read was read.

    Args:
        name: of the user.
        for_children: programs that this process starts get the two capabilities, too.

    Raises:
        ConfigError: no such user.
        HostError: the kernel refused, or this machine is of a kind whose capset is not known.
    """
    uid, gid = user_ids(name)
    if os.geteuid() == uid:
        return
    machine = os.uname().machine
    if machine not in SYS_CAPSET:
        raise HostError(f"cannot drop privileges on {machine}: leave [host] user empty")
    try:
        os.initgroups(name, gid)
        os.setresgid(gid, gid, gid)
        _prctl(PR_SET_KEEPCAPS, 1)
        os.setresuid(uid, uid, uid)
        _capset(SYS_CAPSET[machine], KEPT_CAPABILITIES, inheritable=for_children)
        if for_children:
            for capability in (CAP_NET_ADMIN, CAP_NET_RAW):
                _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        raise HostError(
            f"cannot become user {name}: {error.strerror}; start as root or leave [host] user empty"
        ) from error
    # Changing the user made the process dumpable or not by a sysctl: say it again.
    forbid_dumps()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(operation: int, argument: int, second: int = 0) -> None:
    zero = ctypes.c_ulong(0)
    arguments = ctypes.c_ulong(argument), ctypes.c_ulong(second)
    if _libc().prctl(operation, *arguments, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _capset(system_call: int, capabilities: int, *, inheritable: bool) -> None:
    """Set effective, permitted and inheritable (or not) of this thread (capset(2), version 3)."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", LINUX_CAPABILITY_VERSION_3, 0))
    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    passed = (low, high) if inheritable else (0, 0)
    words = (low, low, passed[0], high, high, passed[1])
    data = ctypes.create_string_buffer(struct.pack("=6I", *words))
    if _libc().syscall(ctypes.c_long(system_call), header, data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
