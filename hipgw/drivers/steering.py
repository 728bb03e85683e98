"""Brings packets to the worker that owns their security association, as far as the kernel can.

Datagrams: the sockets of one port are a group (SO_REUSEPORT), and a program of classic BPF chooses
by the last octet of the SPI.  HIP control has zeros there, so it goes to the first socket, and so
does what is too short for an SPI.
Inner packets: the queues of a TUN device are chosen by a program of extended BPF, from the last
four octets of the destination, which for a HIT are those of a hash.  To load such a program takes
CAP_BPF where the system does not let everybody; without it the kernel keeps each flow to one queue
of its own choice.

Whatever comes to another worker is handed over in user space, so all this is about speed alone.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
from typing import Final

from hipgw.drivers import classic_bpf as bpf
from hipgw.drivers.esp_filter import SHARE_MASK

_TUNSETSTEERINGEBPF: Final = 0x800454E0
_BPF_PROG_LOAD: Final = 5
_SOCKET_FILTER: Final = 1
_BPF_CALLS: Final = {"x86_64": 321, "aarch64": 280}
"""Number of the system call bpf(2)."""
_EBPF_INSTRUCTION: Final = struct.Struct("=BBhi")
_LOAD_ATTRIBUTES: Final = struct.Struct("=IIQQIIQII16sII")
_IPV4_DESTINATION: Final = 16
_IPV6_DESTINATION_END: Final = 36


def datagram_program(count: int) -> bytes:
    """Classic BPF: the number, 0 to count - 1, of the socket that a datagram belongs to."""
    return b"".join(
        (
            bpf.instruction(bpf.LOAD_WORD),
            bpf.instruction(bpf.AND, SHARE_MASK),
            bpf.instruction(bpf.MODULO, count),
            bpf.instruction(bpf.RETURN_A),
        )
    )


def steer_datagrams(first: socket.socket, count: int) -> None:
    """Have the kernel choose among `count` sockets of a port.

    Args:
        first: with SO_REUSEPORT, not bound yet; the others are bound after it, in their order.
        count: of all of them.

    Raises:
        OSError: the kernel does not know this.
    """
    bpf.attach(first, datagram_program(count), bpf.SO_ATTACH_REUSEPORT_CBPF)


def queue_program(steering: int, count: int) -> bytes:
    """Extended BPF: the queue, 0 to count - 1, of an inner packet; as `pair_of_hit` of tables.pxd.

    Args:
        steering: an odd number of 32 bits.
        count: of queues.
    """
    signed = steering - (1 << 32) if steering >> 31 else steering
    instructions = (
        (0xBF, 0x16, 0, 0),  # r6 = r1, where the loads below expect the packet
        (0x30, 0x00, 0, 0),  # r0 = octet at 0
        (0x74, 0x00, 0, 4),  # w0 >>= 4
        (0x15, 0x00, 4, 6),  # version 6: jump
        (0x55, 0x00, 1, 4),  # neither 4: jump
        (0x05, 0x00, 4, 0),  # version 4: jump
        (0xB7, 0x00, 0, 0),  # r0 = 0
        (0x95, 0x00, 0, 0),  # return r0
        (0x20, 0x00, 0, _IPV6_DESTINATION_END),  # r0 = word
        (0x05, 0x00, 1, 0),
        (0x20, 0x00, 0, _IPV4_DESTINATION),  # r0 = word
        (0x24, 0x00, 0, signed),  # w0 *= steering
        (0x74, 0x00, 0, 16),  # w0 >>= 16
        (0x94, 0x00, 0, count),  # w0 %= count
        (0x95, 0x00, 0, 0),  # return r0
    )
    return b"".join(_EBPF_INSTRUCTION.pack(*one) for one in instructions)


def steer_queues(tun_fd: int, steering: int, count: int) -> str:
    """Have the kernel choose among the queues of a TUN device; why it does not, or "".

    Args:
        tun_fd: one of the queues.
        steering: as for `queue_program`.
        count: of queues.
    """
    call = _BPF_CALLS.get(platform.machine())
    if call is None:
        return "no system call number known for this machine"
    octets = queue_program(steering, count)
    program = ctypes.create_string_buffer(octets, len(octets))
    license_name = ctypes.create_string_buffer(b"GPL")
    attributes = _LOAD_ATTRIBUTES.pack(
        _SOCKET_FILTER,
        len(octets) // _EBPF_INSTRUCTION.size,
        ctypes.addressof(program),
        ctypes.addressof(license_name),
        0, 0, 0, 0, 0, b"hipgw_queue", 0, 0,
    )  # fmt: skip
    asked = ctypes.create_string_buffer(attributes, len(attributes))
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(call, _BPF_PROG_LOAD, asked, len(attributes))
    if fd < 0:
        return f"no program for the queues: {os.strerror(ctypes.get_errno())}"
    try:
        fcntl.ioctl(tun_fd, _TUNSETSTEERINGEBPF, struct.pack("=i", fd))
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTTY, errno.EPERM}:
            raise
        return f"queues of this kernel cannot be steered: {error.strerror}"
    finally:
        os.close(fd)
    return ""
