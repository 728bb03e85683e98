"""The rules as text; that the kernel takes them is shown in tests/netns/test_intercept.py."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hipgw.errors import HostError
from hipgw.netlink import filter_tools
from hipgw.netlink.packet_filter import QueueRules, install_rules, nft_text, rule_lines

ONE = QueueRules("hip0", ("2001:20::/28", "2001:10::/28"), "1.0.0.0/8", 10500)
FOUR = QueueRules("hip-1.a", ("2001:20::/28",), "10.0.0.0/8", 7, 4)


def test_iptables_lines_of_one_queue() -> None:
    target = "-m comment --comment hipgw -j NFQUEUE --queue-num 10500 --queue-bypass"
    assert list(rule_lines(ONE, 4)) == [
        ":HIPGW-OUT-hip0 - [0:0]",
        f"-A HIPGW-OUT-hip0 -d 1.0.0.0/8 -o hip0 {target}",
        "-I OUTPUT 1 -m comment --comment hipgw -j HIPGW-OUT-hip0",
        ":HIPGW-FWD-hip0 - [0:0]",
        f"-A HIPGW-FWD-hip0 -d 1.0.0.0/8 -o hip0 {target}",
        "-I FORWARD 1 -m comment --comment hipgw -j HIPGW-FWD-hip0",
    ]
    assert [line.split()[3] for line in rule_lines(ONE, 6) if " -d " in line] == [
        "2001:20::/28", "2001:10::/28", "2001:20::/28", "2001:10::/28",
    ]  # fmt: skip


def test_several_queues_are_balanced_by_addresses() -> None:
    for family in (4, 6):
        text = "\n".join(rule_lines(FOUR, family))
        assert "--queue-balance 7:10 --queue-bypass" in text
        assert "fanout" not in text  # it would reorder what one pair of hosts says


def test_subnets_have_a_queue_of_their_own() -> None:
    rules = replace(
        FOUR, subnets=("192.168.8.0/24", "fd00:8::/64", "172.16.0.0/12"), subnet_queue=11
    )
    four, six = ("\n".join(rule_lines(rules, family)) for family in (4, 6))
    for text, networks in ((four, ("172.16.0.0/12", "192.168.8.0/24")), (six, ("fd00:8::/64",))):
        assert text.count("--queue-num 11 --queue-bypass") == 2 * len(networks)
        for network in networks:
            assert text.count(f"-d {network} -o hip-1.a") == 2
    assert "fd00" not in four
    nft = nft_text(rules)
    assert nft.count("ip daddr { 172.16.0.0/12, 192.168.8.0/24 } queue num 11 bypass") == 2
    assert nft.count("ip6 daddr { fd00:8::/64 } queue num 11 bypass") == 2
    assert "queue num 11" not in nft_text(FOUR)


def test_nested_subnets_are_one_range() -> None:
    """Nft takes no set whose ranges overlap; whose a packet is, the data path knows."""
    nested = ("192.168.0.0/16", "192.168.8.0/24", "10.0.0.0/9", "10.128.0.0/9", "fd00:8::/64")
    rules = replace(FOUR, subnets=nested, subnet_queue=11)
    assert rules.routed(4) == ("10.0.0.0/8", "192.168.0.0/16")
    assert rules.routed(6) == ("fd00:8::/64",)


def test_chain_names_fit_the_longest_interface_name() -> None:
    longest = QueueRules("i" * 15, ONE.hit_prefixes, ONE.lsi_prefix, 1)
    names = [line.split()[0][1:] for line in rule_lines(longest, 4) if line.startswith(":")]
    assert len(names) == 2
    assert all(len(name) <= 28 for name in names)


def test_nft_text_is_one_transaction_of_a_table_of_ours() -> None:
    text = nft_text(FOUR)
    assert text.startswith(
        "table inet hipgw_hip_1_a {}\ndelete table inet hipgw_hip_1_a\ntable inet hipgw_hip_1_a {\n"
    )
    assert '  oifname "hip-1.a" ip6 daddr { 2001:20::/28 } queue num 7-10 bypass' in text
    assert '  oifname "hip-1.a" ip daddr { 10.0.0.0/8 } queue num 7-10 bypass' in text
    assert text.count("type filter hook output priority 50; policy accept;") == 1
    assert text.count("type filter hook forward priority 50; policy accept;") == 1
    assert text.count("{") == text.count("}")
    assert "queue num 10500 bypass" in nft_text(ONE)


def test_a_host_without_programs_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(filter_tools, "TOOL_DIRECTORIES", "")
    with pytest.raises(HostError, match="apt install iptables"):
        install_rules(ONE)


def test_a_program_that_cannot_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    true = shutil.which("true")
    assert true is not None
    for name in ("iptables", "ip6tables"):
        (tmp_path / name).symlink_to(true)
        refusing = tmp_path / f"{name}-restore"
        refusing.write_text("#!/bin/sh\necho 'no such target' >&2\nexit 3\n")
        refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(filter_tools, "TOOL_DIRECTORIES", "")
    with pytest.raises(HostError, match=r'iptables: no such target.*intercept = "tun"'):
        install_rules(ONE)
