"""hipgw where a sandbox allows no IPsec sockets: `python -m tests.kernel.without_xfrm run ...`."""

from __future__ import annotations

import ctypes
import errno
import os
import runpy
import struct
from typing import Final

PR_SET_NO_NEW_PRIVS: Final = 38
PR_SET_SECCOMP: Final = 22
SECCOMP_MODE_FILTER: Final = 2
SECCOMP_RET_ERRNO: Final = 0x50000
SECCOMP_RET_ALLOW: Final = 0x7FFF0000
SYS_SOCKET: Final = 41
"""On x86-64, the guest's."""
NETLINK_XFRM: Final = 6
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST, THIRD = 0, 16, 32
"""Where seccomp_data has the system call and the low halves of its arguments."""


def refuse_xfrm_sockets() -> None:
    """From now on socket(AF_NETLINK, ..., NETLINK_XFRM) is not permitted."""
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (LOAD, 0, 0, NUMBER),
            (EQUAL, 0, 5, SYS_SOCKET),
            (LOAD, 0, 0, FIRST),
            (EQUAL, 0, 3, 16),  # AF_NETLINK
            (LOAD, 0, 0, THIRD),
            (EQUAL, 0, 1, NETLINK_XFRM),
            (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EPERM),
            (RETURN, 0, 0, SECCOMP_RET_ALLOW),
        )
    )
    octets = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(octets))
    library = ctypes.CDLL(None, use_errno=True)
    for words in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(described), 0, 0),
    ):
        if library.prctl(*words):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    refuse_xfrm_sockets()
    runpy.run_module("hipgw", run_name="__main__")
