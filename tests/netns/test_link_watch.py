"""What the watch of an interface sees, with a TUN device and no daemon.

hipgwlink-PID:   lo   hip0
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator

import pytest

from hipgw.drivers.tun import open_tun
from hipgw.netlink.link_watch import LinkWatch
from hipgw.netlink.namespaces import create_namespace, remove_namespace, run_inside

pytestmark = pytest.mark.netns

PATIENCE_S = 60.0
Story = Callable[["Watched"], Awaitable[None]]


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"hipgwlink-{os.getpid()}"
    create_namespace(name)
    yield name
    remove_namespace(name)


class Watched:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.watch = LinkWatch("hip0", self.seen.append)

    async def until(self, *words: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while self.seen != list(words):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            assert self.seen == list(words)


def ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True)


def watched(namespace: str, story: Story) -> Watched:
    def live() -> Watched:
        with open_tun("hip0", mtu=1500):
            ip("link set hip0 up")
            made = Watched()

            async def run() -> None:
                with made.watch.listening(asyncio.get_running_loop()):
                    await story(made)

            asyncio.run(run())
        return made

    return run_inside(namespace, live)


def test_changes_come_by_themselves(namespace: str) -> None:
    async def story(watched: Watched) -> None:
        ip("link set hip0 mtu 4000")
        await watched.until("mtu")
        ip("link set hip0 down")
        await watched.until("mtu", "down")
        assert watched.watch.is_down
        ip("link set hip0 up")
        await watched.until("mtu", "down", "up")
        assert not watched.watch.is_down
        ip("link delete hip0")
        await watched.until("mtu", "down", "up", "deleted")

    assert watched(namespace, story).watch.mtu_octets == 4000


def test_a_flap_between_two_looks_is_seen(namespace: str) -> None:
    async def story(watched: Watched) -> None:
        ip("link set hip0 down")
        ip("link set hip0 up")
        await watched.until("down", "up")

    watched(namespace, story)


def test_other_interfaces_do_not_matter(namespace: str) -> None:
    async def story(watched: Watched) -> None:
        ip("link add d0 type veth peer name d1")
        ip("link set d0 up")
        ip("link set d0 down")
        ip("link delete d0")
        ip("link set hip0 mtu 1300")
        await watched.until("mtu")

    watched(namespace, story)


def test_a_look_sees_what_no_event_told(namespace: str) -> None:
    """Events may be lost: a full buffer, a host that gives none."""

    async def story(watched: Watched) -> None:
        ip("link set hip0 down")
        watched.watch.look()
        watched.watch.look()
        ip("link set hip0 up")
        watched.watch.look()
        ip("link set hip0 down")
        ip("link set hip0 name other")
        watched.watch.look()
        watched.watch.look()

    assert watched(namespace, story).seen == ["down", "up", "renamed"]
