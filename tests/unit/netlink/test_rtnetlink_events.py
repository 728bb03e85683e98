"""A socket for the kernel's events: opened, refused, and what its datagrams hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hipgw.errors import HostError
from hipgw.netlink.rtnetlink_events import (
    MESSAGE_HEADER,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTMGRP_LINK,
    messages,
    open_events,
)

RTMGRP_IPV4_MROUTE_R = 1 << 29
"""Only root may hear of it: `rtnetlink_bind` of net/core/rtnetlink.c."""
NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def sockets_open() -> int:
    links = [one.readlink() for one in Path("/proc/self/fd").iterdir() if one.exists()]
    return sum(str(link).startswith("socket:") for link in links)


def test_a_socket_waits_for_nobody_and_is_not_inherited() -> None:
    with open_events(RTMGRP_LINK, "watch interfaces") as channel:
        assert not channel.getblocking()
        assert not channel.get_inheritable()
        assert channel.getsockname()[1] == RTMGRP_LINK


def test_a_refused_bind_closes_the_socket() -> None:
    before = sockets_open()
    with as_nobody(), pytest.raises(HostError, match="run it as root") as refusal:
        open_events(RTMGRP_IPV4_MROUTE_R, "watch interfaces")
    assert sockets_open() == before
    assert str(refusal.value).startswith("cannot watch interfaces: ")


def test_messages_come_in_turn_and_end_where_they_make_no_sense() -> None:
    def message(kind: int, body: bytes) -> bytes:
        length = MESSAGE_HEADER.size + len(body)
        return MESSAGE_HEADER.pack(length, kind, 0, 0, 0) + body + bytes(-length % 4)

    both = message(RTM_NEWLINK, b"\1\2\3") + message(RTM_NEWROUTE, b"four")
    wanted = [(RTM_NEWLINK, b"\1\2\3"), (RTM_NEWROUTE, b"four")]
    assert list(messages(both)) == wanted
    assert list(messages(both + bytes(MESSAGE_HEADER.size - 1))) == wanted
    assert (
        list(messages(MESSAGE_HEADER.pack(0, RTM_NEWLINK, 0, 0, 0) * 2)) == [(RTM_NEWLINK, b"")] * 2
    )
    assert list(messages(b"")) == []
