"""The rules as text; that the kernel takes them is shown in tests/netns and tests/kernel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hipgw.errors import HostError
from hipgw.netlink import filter_tools
from hipgw.netlink.mss_rules import install_mss_rules, names_of, nft_text, rule_lines


def test_iptables_lines_are_for_both_ways_and_nothing_else() -> None:
    opening, mark = "-p tcp --tcp-flags SYN,RST SYN", "-m comment --comment hipgw"
    target = f"{opening} {mark} -j TCPMSS --clamp-mss-to-pmtu"
    assert list(rule_lines("hip0", "hip0-")) == [
        ":HIPGW-MSS-hip0 - [0:0]",
        f"-A HIPGW-MSS-hip0 -i hip0-+ {target}",
        f"-A HIPGW-MSS-hip0 -o hip0-+ {target}",
        f"-I FORWARD 1 {opening} {mark} -j HIPGW-MSS-hip0",
    ]


def test_nft_text_is_one_transaction_of_a_table_of_ours() -> None:
    """The text was accepted by nft 1.0.6."""
    text = nft_text("hip-1.a", "hip-1.-")
    table = "inet hipgw.mss_hip_1_a"
    assert text.startswith(f"table {table} {{}}\ndelete table {table}\ntable {table} {{\n")
    for way in ("iifname", "oifname"):
        rule = f'{way} "hip-1.-*" tcp flags & (syn | rst) == syn'
        assert text.count(f"{rule} tcp option maxseg size set rt mtu") == 1
    assert text.count("type filter hook forward priority -150; policy accept;") == 1
    assert text.count("{") == text.count("}")


def test_names_fit_the_longest_interface_name() -> None:
    [chain] = names_of("i" * 15).chains
    assert len(chain) <= 28


def test_a_host_without_programs_or_rules_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(filter_tools, "TOOL_DIRECTORIES", "")
    with pytest.raises(HostError, match="neither iptables nor nft"):
        install_mss_rules("hip0", "hip0-")
    true = shutil.which("true", path="/usr/bin:/bin")
    assert true is not None
    for name in ("iptables", "ip6tables"):
        (tmp_path / name).symlink_to(true)
        refusing = tmp_path / f"{name}-restore"
        refusing.write_text("#!/bin/sh\necho 'no such target' >&2\nexit 3\n")
        refusing.chmod(0o755)
    with pytest.raises(HostError, match=r"iptables: no such target.*xt_TCPMSS"):
        install_mss_rules("hip0", "hip0-")
