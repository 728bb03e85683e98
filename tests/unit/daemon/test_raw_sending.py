"""Whether raw ESP may go to next hops at all, and why not."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from hipgw.daemon.devices import open_next_hop_socket
from hipgw.drivers.link import open_link
from hipgw.drivers.offload import RawSending
from hipgw.errors import HostError


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_packet_socket_that_cannot_be_had_is_done_without() -> None:
    with ExitStack() as stack:
        with no_descriptor_left():
            with pytest.raises(HostError, match="cannot open a packet socket: Too many open files"):
                open_link()
            opened, reason = open_next_hop_socket(stack, RawSending.AUTO, discover_mtu=True)
        assert opened is None
        assert reason.startswith("cannot open a packet socket: Too many open files")


@pytest.mark.parametrize(
    ("wanted", "discover_mtu", "reason"),
    [
        (RawSending.SOCKET, True, "as configured"),
        (RawSending.SOCKET, False, "as configured"),
        (RawSending.AUTO, False, "no path MTU discovery"),
    ],
)
def test_nobody_opens_it_unasked(wanted: RawSending, discover_mtu: bool, reason: str) -> None:
    with ExitStack() as stack:
        assert open_next_hop_socket(stack, wanted, discover_mtu=discover_mtu) == (None, reason)
