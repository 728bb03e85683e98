"""The netlink room against the kernel, each test in an empty namespace of its own.

hipgwtest-PID:   lo   v0 10.9.0.1/24 --- v1 (unused)
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest

from hipgw.errors import HostError
from hipgw.netlink.addresses import add_addresses, local_addresses
from hipgw.netlink.links import (
    add_veth,
    bring_up,
    configure_interface,
    interface_exists,
    link_mtus,
    remove_interface,
    veth_names,
)
from hipgw.netlink.namespaces import (
    create_namespace,
    enter_namespace,
    namespace_names,
    processes_inside,
    remove_namespace,
    run_inside,
)
from hipgw.netlink.routes import path_mtu, source_for
from hipgw.values import Hit, Lsi

pytestmark = pytest.mark.netns

HIT_1, HIT_2 = Hit.parse("2001:22::1"), Hit.parse("2001:25::2")
LSI_1, LSI_2 = Lsi.parse("1.0.0.1"), Lsi.parse("1.0.0.2")
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

Inside = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"hipgwtest-{os.getpid()}"
    create_namespace(name)
    yield name
    remove_namespace(name)


@pytest.fixture
def inside(namespace: str) -> Inside:
    return lambda task: run_inside(namespace, task)


@pytest.fixture
def tun(inside: Inside) -> Iterator[int]:
    def open_tun() -> int:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", b"hip0", IFF_TUN | IFF_NO_PI))
        return descriptor

    descriptor = inside(open_tun)
    yield descriptor
    os.close(descriptor)


def configured(hits: list[Hit], lsis: list[Lsi], **more: Any) -> Callable[[], None]:
    return lambda: configure_interface("hip0", hits=hits, lsis=lsis, **{"mtu": 1400, **more})


def command(*argv: str) -> Callable[[], str]:
    def task() -> str:
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    return task


def hip_addresses(inside: Inside) -> set[str]:
    return {str(entry.address) for entry in inside(local_addresses) if entry.interface == "hip0"}


def test_the_hip_interface_has_its_hits_and_lsis_and_nothing_else(inside: Inside, tun: int) -> None:
    inside(configured([HIT_1, HIT_2], [LSI_1]))
    assert hip_addresses(inside) == {"2001:22::1", "2001:25::2", "1.0.0.1"}
    assert inside(link_mtus)["hip0"] == 1400
    text = inside(command("ip", "address", "show", "dev", "hip0"))
    assert "qlen 1000" in text
    assert "MULTICAST" not in text
    assert "2001:22::1/128 scope global nodad" in text
    assert "1.0.0.1/32" in text
    assert "fe80" not in text
    assert "tentative" not in text


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        ("2001:2f:ffff::9", "2001:22::1"),
        ("2001:10::9", "2001:22::1"),
        ("2001:30::9", None),
        ("1.255.0.9", "1.0.0.1"),
        ("2.0.0.1", None),
    ],
)
def test_hits_and_lsis_of_others_are_routed_with_our_first_as_source(
    inside: Inside, tun: int, destination: str, source: str | None
) -> None:
    inside(configured([HIT_1, HIT_2], [LSI_1, LSI_2]))
    found = inside(lambda: source_for(ip_address(destination)))
    assert found == (ip_address(source) if source else None)
    assert inside(lambda: path_mtu(ip_address(destination))) == (1400 if source else None)


def test_the_lsi_route_can_have_an_mtu_of_its_own(inside: Inside, tun: int) -> None:
    inside(configured([HIT_1], [LSI_1], lsi_mtu=1380))
    assert inside(lambda: path_mtu(ip_address("1.2.3.4"))) == 1380
    assert inside(lambda: path_mtu(ip_address("2001:20::4"))) == 1400


def test_configuring_again_moves_the_interface_to_the_new_identities(
    inside: Inside, tun: int
) -> None:
    inside(configured([HIT_1, HIT_2], [LSI_1]))
    inside(configured([HIT_2], [LSI_2], mtu=1300))
    assert hip_addresses(inside) == {"2001:25::2", "1.0.0.2"}
    assert inside(link_mtus)["hip0"] == 1300
    assert inside(lambda: source_for(ip_address("2001:20::9"))) == ip_address("2001:25::2")
    assert inside(lambda: source_for(ip_address("1.2.3.4"))) == ip_address("1.0.0.2")


def test_configuring_twice_changes_nothing(inside: Inside, tun: int) -> None:
    inside(configured([HIT_1], [LSI_1], lsi_mtu=1380))
    before = inside(command("ip", "-6", "route")), inside(command("ip", "route"))
    inside(configured([HIT_1], [LSI_1], lsi_mtu=1380))
    assert (inside(command("ip", "-6", "route")), inside(command("ip", "route"))) == before


def test_a_fresh_hip_interface_is_silent(inside: Inside, tun: int) -> None:
    inside(configured([HIT_1], [LSI_1]))
    with pytest.raises(BlockingIOError):
        os.read(tun, 2048)


def test_it_works_inside_a_running_event_loop(inside: Inside, tun: int) -> None:
    async def configure() -> list[str]:
        configured([HIT_1], [LSI_1])()
        with pytest.raises(HostError, match="nosuch0"):
            bring_up("nosuch0")
        return [str(entry.address) for entry in local_addresses()]

    assert "2001:22::1" in inside(lambda: asyncio.run(configure()))


def test_a_missing_interface_is_an_error_with_a_remedy(inside: Inside) -> None:
    with pytest.raises(HostError, match="hip0 does not exist; open the TUN device"):
        inside(configured([HIT_1], []))


def test_an_mtu_below_that_of_ipv6_is_an_error_with_a_remedy(inside: Inside, tun: int) -> None:
    with pytest.raises(HostError, match="cannot set up interface hip0: the kernel says"):
        inside(configured([HIT_1], [LSI_1], mtu=600))


def test_a_removed_interface_is_gone_and_may_be_removed_again(inside: Inside, tun: int) -> None:
    assert inside(lambda: interface_exists("hip0"))
    inside(lambda: remove_interface("hip0"))
    assert not inside(lambda: interface_exists("hip0"))
    inside(lambda: remove_interface("hip0"))


def test_a_wire_with_addresses(inside: Inside, namespace: str) -> None:
    def task() -> None:
        add_veth("v0", "v1", namespace, mtu=9000)
        bring_up("v0")
        bring_up("v1")
        add_addresses("v0", [ip_interface("10.9.0.1/24"), ip_interface("fd00:9::1/64")])

    inside(task)
    assert inside(veth_names) == ["v0", "v1"] or inside(veth_names) == ["v1", "v0"]
    assert inside(link_mtus)["v1"] == 9000
    assert inside(lambda: source_for(ip_address("10.9.0.7"))) == ip_address("10.9.0.1")
    assert inside(lambda: source_for(ip_address("fd00:9::7"))) == ip_address("fd00:9::1")
    assert inside(lambda: path_mtu(ip_address("10.9.0.7"))) == 9000
    scopes = {str(entry.address): entry.scope for entry in inside(local_addresses)}
    assert scopes["10.9.0.1"] == "global"
    with pytest.raises(HostError, match=r"cannot add 10\.9\.0\.1/24 to interface v0.*File exists"):
        inside(lambda: add_addresses("v0", [ip_interface("10.9.0.1/24")]))


def test_namespaces_are_listed_entered_and_removed_once(namespace: str, inside: Inside) -> None:
    assert namespace in namespace_names()
    with pytest.raises(HostError, match="cannot make network namespace"):
        create_namespace(namespace)
    remove_namespace(namespace)
    remove_namespace(namespace)
    assert namespace not in namespace_names()
    with pytest.raises(HostError, match="no network namespace"):
        inside(lambda: None)
    create_namespace(namespace)


def test_a_task_inside_leaves_its_caller_outside(inside: Inside) -> None:
    link = Path("/proc/thread-self/ns/net")
    here = link.readlink()
    assert inside(link.readlink) != here
    assert link.readlink() == here


def test_processes_inside_are_found(namespace: str, inside: Inside) -> None:
    assert processes_inside(namespace) == []
    with inside(lambda: subprocess.Popen(["sleep", "60"])) as process:
        assert processes_inside(namespace) == [process.pid]
        process.kill()
    assert processes_inside("no-such-namespace") == []


def test_entering_a_file_that_is_no_namespace_is_refused() -> None:
    with pytest.raises(HostError, match="cannot enter network namespace"):
        run_inside("/etc/hostname", lambda: enter_namespace("/etc/hostname"))
