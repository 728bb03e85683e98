from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hipgw.errors import HostError, LocalProtocolError
from hipgw.lab import state as lab_state
from hipgw.lab.state import (
    HostState,
    LabState,
    check_lab_name,
    claim_name,
    forget_lab,
    lab_names,
    load_state,
    namespace_of,
    new_state,
    save_state,
)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lab_state, "LAB_ROOT", tmp_path / "hipgw-lab")
    return tmp_path / "hipgw-lab"


def made(name: str, *, is_owned: bool = True) -> LabState:
    hosts = (
        HostState("a", ("10.77.0.1", "fd00:77::1"), ("eth0",), "2001:22::1", "1.0.1.1"),
        HostState("r", ("10.1.0.1",), ("eth0", "eth1"), None, None),
    )
    return new_state(name, "pair", hosts, mtu_octets=1500, encapsulation="udp", is_owned=is_owned)


def test_what_was_saved_is_loaded() -> None:
    claim_name("x")
    save_state(made("x"))
    loaded = load_state("x")
    assert loaded == replace(made("x"), created_s=loaded.created_s)
    assert loaded.is_owner_running
    assert not loaded.is_abandoned
    assert lab_names() == ["x"]


def test_a_name_can_be_claimed_once(root: Path) -> None:
    assert claim_name("x") == root / "x"
    with pytest.raises(HostError, match=r"called x is already there.*hipgw lab down x.*--name"):
        claim_name("x")
    forget_lab("x")
    claim_name("x")


def test_the_files_of_a_lab_are_not_for_others() -> None:
    assert claim_name("x").stat().st_mode & 0o077 == 0


def test_the_root_goes_with_the_last_lab(root: Path) -> None:
    claim_name("x")
    claim_name("y")
    forget_lab("x")
    assert lab_names() == ["y"]
    forget_lab("y")
    assert not root.exists()
    forget_lab("y")


def test_a_lab_whose_owner_is_gone_is_abandoned() -> None:
    state = made("x")
    assert state.owner_pid == os.getpid()
    assert state.owner_start_ticks is not None
    later = replace(state, owner_start_ticks=state.owner_start_ticks + 1)
    assert later.is_abandoned
    assert not later.is_owner_running


def test_a_lab_without_owner_is_never_abandoned() -> None:
    state = made("x", is_owned=False)
    assert not state.is_abandoned
    assert not state.is_owner_running


def test_an_unknown_lab_is_said_to_be_unknown() -> None:
    with pytest.raises(HostError, match="no lab called x"):
        load_state("x")


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"hosts": [1]}', '{"hosts": []}'])
def test_a_lab_cut_short_is_said_to_be_incomplete(content: str | None) -> None:
    directory = claim_name("x")
    if content is not None:
        (directory / "lab.json").write_text(content)
    with pytest.raises(HostError, match=r"not complete.*hipgw lab down x"):
        load_state("x")
    assert lab_names() == ["x"]


def test_the_state_holds_no_more_than_text() -> None:
    claim_name("x")
    save_state(made("x"))
    document = json.loads((lab_state.lab_directory("x") / "lab.json").read_text())
    assert document["hosts"][1]["hit"] is None


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a/b", "..", "a" * 31, "a\n"])
def test_a_name_that_is_no_file_name_part_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="lab name"):
        check_lab_name(name)


def test_namespaces_carry_lab_and_host() -> None:
    assert namespace_of("pair", "a") == "hipgw-pair-a"
