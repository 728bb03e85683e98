"""How long a thread runs at a time.

Since Linux 6.12 a thread of the fair class may name the slice that it wants (sched_setattr(2)).
Its share of the processor stays what it is; with a short slice it gets it sooner after waking, and
gives way sooner to others that wake.  Older kernels take the request and ignore it.

glibc's Python face lacks the calls, and glibc before 2.41 as well: they go through ctypes.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

SLICE_US_LEAST: Final = 100
SLICE_US_MOST: Final = 100_000
"""What Linux makes of a shorter or longer wish."""

_FAIR: Final = frozenset({os.SCHED_OTHER, os.SCHED_BATCH})
_SYSTEM_CALLS: Final = {
    # machine: sched_setattr, sched_getattr
    "x86_64": (314, 315),
    "aarch64": (274, 275),
    "riscv64": (274, 275),
}


class _Attributes(ctypes.Structure):
    """struct sched_attr, first version (linux/sched/types.h)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime_ns", ctypes.c_uint64),
        ("deadline_ns", ctypes.c_uint64),
        ("period_ns", ctypes.c_uint64),
    )


def ask_for_slices(slice_us: int) -> None:
    """Have the calling thread run so long at a time; a real-time thread is left alone.

    Args:
        slice_us: 100 to 100,000; Linux makes it so.

    Raises:
        OSError: the kernel refuses, or nobody knows the call's number on this machine.
    """
    attributes = _attributes_of(0)
    if attributes.policy not in _FAIR:
        return
    attributes.runtime_ns = slice_us * 1000
    attributes.flags = 0
    _call(0, 0, ctypes.byref(attributes), 0)


def slice_us_of(thread_id: int = 0) -> int:
    """What a thread of the fair class runs at a time, 0 where the kernel does not say.

    Args:
        thread_id: as the kernel numbers them; 0: the calling one.

    Raises:
        OSError: as `ask_for_slices`, or there is no such thread.
    """
    return int(_attributes_of(thread_id).runtime_ns // 1000)


def gives_slices() -> bool:
    """Whether this kernel does what it is asked, as far as the calling thread can tell."""
    try:
        return slice_us_of() > 0
    except OSError:
        return False


def _attributes_of(thread_id: int) -> _Attributes:
    attributes = _Attributes()
    _call(1, thread_id, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    attributes.size = ctypes.sizeof(attributes)
    return attributes


def _call(which: int, thread_id: int, *arguments: object) -> None:
    numbers = _SYSTEM_CALLS.get(os.uname().machine)
    if numbers is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    passed = (
        ctypes.c_ulong(one) if isinstance(one, int) else one for one in (thread_id, *arguments)
    )
    system_call = ctypes.CDLL(None, use_errno=True).syscall
    if system_call(ctypes.c_long(numbers[which]), *passed) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
