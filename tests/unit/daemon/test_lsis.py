"""LSIs: one each, the same after a restart, and no stealing."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw.daemon.lsis import LsiRegistry
from hipgw.policy import LsiConflictError, LsiTable
from hipgw.resolve import HostsFiles, Peer, Resolver
from hipgw.values import Hit, Lsi

PREFIX = IPv4Network("1.0.0.0/8")


def hit(number: int) -> Hit:
    return Hit(bytes.fromhex("20010022") + number.to_bytes(12, "big"))


def lsi(text: str) -> Lsi:
    return Lsi.parse(text)


def registry(directory: Path, *peers: Peer) -> LsiRegistry:
    return LsiRegistry(PREFIX, directory, Resolver(peers, HostsFiles([], PREFIX)))


def save(lsis: LsiRegistry) -> None:
    entries = lsis.unsaved()
    assert entries is not None
    lsis.save(entries)


def test_own_identities_come_first(tmp_path: Path) -> None:
    lsis = registry(tmp_path)
    assert lsis.start([hit(1), hit(2)]) == (lsi("1.0.0.1"), lsi("1.0.0.2"))
    assert lsis.hit_to_lsi(hit(1)) == lsi("1.0.0.1")
    assert lsis.lsi_to_hit(lsi("1.0.0.2")) == hit(2)


def test_peers_get_the_next_free_one_after_those_of_the_host(tmp_path: Path) -> None:
    lsis = registry(tmp_path, Peer(hit(9), lsi=lsi("1.0.0.6")))
    lsis.start([hit(1)])
    assert [str(lsis.hit_to_lsi(hit(n))) for n in (20, 21, 20, 9)] == [
        "1.0.0.5",
        "1.0.0.7",
        "1.0.0.5",
        "1.0.0.6",
    ]
    assert lsis.known_lsi(hit(99)) is None
    assert lsis.lsi_to_hit(lsi("1.0.0.99")) is None


def test_lsis_stay_the_same_over_a_restart(tmp_path: Path) -> None:
    first = registry(tmp_path)
    first.start([hit(1)])
    given_then = {n: first.hit_to_lsi(hit(n)) for n in (30, 31, 32)}
    save(first)
    assert first.unsaved() is None
    second = registry(tmp_path)
    second.start([hit(1)])
    assert {n: second.hit_to_lsi(hit(n)) for n in (32, 31, 30)} == given_then
    assert second.hit_to_lsi(hit(33)) not in given_then.values()


def test_a_fixed_lsi_takes_the_place_of_an_automatic_one_at_the_start_only(tmp_path: Path) -> None:
    first = registry(tmp_path)
    first.start([hit(1)])
    assert first.hit_to_lsi(hit(30)) == lsi("1.0.0.5")
    save(first)
    second = registry(tmp_path, Peer(hit(40), lsi=lsi("1.0.0.5")))
    second.start([hit(1)])
    assert second.lsi_to_hit(lsi("1.0.0.5")) == hit(40)
    assert second.hit_to_lsi(hit(30)) == lsi("1.0.0.6")
    with pytest.raises(LsiConflictError, match=r"1\.0\.0\.6 already belongs to"):
        second.fix(hit(41), lsi("1.0.0.6"))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"lsis": 5}', '{"lsis": {"x": "1.0.0.9", "2001:22::1": 7}}', "[" * 9999],
)
def test_a_damaged_file_costs_nothing_but_its_content(tmp_path: Path, text: str) -> None:
    (tmp_path / "lsis.json").write_text(text)
    lsis = registry(tmp_path)
    assert lsis.start([hit(1)]) == (lsi("1.0.0.1"),)
    assert lsis.hit_to_lsi(hit(2)) == lsi("1.0.0.5")
    save(lsis)
    assert json.loads((tmp_path / "lsis.json").read_text())["lsis"] == {str(hit(2)): "1.0.0.5"}


@pytest.mark.parametrize("text", ["2.0.0.1", "1.0.0.0", "1.255.255.255"])
def test_lsis_outside_the_prefix_or_at_its_edge_are_refused(text: str) -> None:
    table = LsiTable(PREFIX)
    with pytest.raises(LsiConflictError, match="not a host address"):
        table.fix(hit(1), lsi(text))


def test_own_lsis_cannot_be_taken_or_moved() -> None:
    table = LsiTable(PREFIX)
    table.give_own(hit(1))
    with pytest.raises(LsiConflictError):
        table.fix(hit(2), lsi("1.0.0.1"), may_move_others=True)
    with pytest.raises(LsiConflictError):
        table.fix(hit(1), lsi("1.0.0.50"))


def test_a_small_prefix_runs_out_with_a_remedy() -> None:
    table = LsiTable(IPv4Network("10.0.0.0/28"))
    table.give_own(hit(1))
    given_out = [table.give(hit(n)) for n in range(2, 12)]
    assert len(set(given_out)) == 10
    with pytest.raises(LsiConflictError, match="shorter prefix"):
        table.give(hit(99))


def test_strangers_push_out_the_longest_unused_stranger_only() -> None:
    table = LsiTable(PREFIX, automatic_limit=4)
    table.give_own(hit(1))
    table.fix(hit(2), lsi("1.0.0.9"))
    table.give(hit(3))
    table.give(hit(4))
    table.give(hit(3))
    table.give(hit(5))
    assert table.lsi_of(hit(4)) is None
    assert table.lsi_of(hit(3)) is not None
    table.give(hit(6), is_in_use=lambda h: h == hit(3))
    assert table.lsi_of(hit(3)) is not None
    assert table.lsi_of(hit(2)) == lsi("1.0.0.9")


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 14), st.booleans()), max_size=60))
def test_the_table_is_always_one_to_one(steps: list[tuple[int, int, bool]]) -> None:
    network = IPv4Network("10.0.0.0/28")
    table = LsiTable(network, automatic_limit=8)
    for who, what, is_fixed in steps:
        try:
            if is_fixed:
                table.fix(hit(who), Lsi(IPv4Address(int(network[0]) + what).packed))
            else:
                table.give(hit(who))
        except LsiConflictError:
            pass
        pairs = [(n, table.lsi_of(hit(n))) for n in range(13)]
        known = [(n, found) for n, found in pairs if found is not None]
        assert len({found for _, found in known}) == len(known) == len(table)
        assert all(table.hit_of(found) == hit(n) for n, found in known)
