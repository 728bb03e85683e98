"""What counts as a packet filter that packets of this host would pass, of either kind."""

from __future__ import annotations

import os
import subprocess

import pytest

from hipgw.netlink.filter_chains import has_filter
from hipgw.netlink.mss_rules import install_mss_rules, remove_mss_rules
from hipgw.netlink.namespaces import create_namespace, remove_namespace, run_inside

pytestmark = pytest.mark.netns
TOOLS = ("iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy")


def check(tool: str) -> None:
    """In a namespace of its own."""

    def after(words: str) -> bool:
        subprocess.run([tool, "-w", "5", *words.split()], check=True, capture_output=True)
        return has_filter()

    assert not has_filter()
    for table in ("filter", "mangle", "nat"):
        assert not after(f"-t {table} -S"), "to list a legacy table makes it"
    opening = "-p tcp --tcp-flags SYN,RST SYN"
    assert not after(f"-t mangle -A FORWARD {opening} -j TCPMSS --clamp-mss-to-pmtu")
    assert not after("-P FORWARD DROP")
    for chain in ("INPUT", "OUTPUT"):
        assert after(f"-A {chain} -p esp -j ACCEPT")
        assert not after(f"-D {chain} -p esp -j ACCEPT")
        assert after(f"-P {chain} DROP")
        assert not after(f"-P {chain} ACCEPT")
    assert after("-t mangle -A POSTROUTING -p esp -j ACCEPT")


@pytest.mark.parametrize("tool", TOOLS)
def test_whatever_concerns_packets_of_this_host_itself(tool: str) -> None:
    name = f"hipgw-filter-{os.getpid()}"
    create_namespace(name)
    try:
        run_inside(name, lambda: check(tool))
    finally:
        remove_namespace(name)


def test_rules_for_segment_sizes_do_not_count_and_go_again() -> None:
    name = f"hipgw-filter-{os.getpid()}"

    def come_and_go() -> None:
        where = install_mss_rules("hip0", "hip0-")
        assert "table mangle" in where
        assert not has_filter()
        assert remove_mss_rules("hip0", where) == 2
        assert remove_mss_rules("hip0") == 0

    create_namespace(name)
    try:
        run_inside(name, come_and_go)
    finally:
        remove_namespace(name)
