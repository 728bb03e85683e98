"""Dropping root in a child process: what is kept, what is gone."""

from __future__ import annotations

import os
import pwd
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hipgw.daemon import privileges
from hipgw.errors import ConfigError, HostError

NOBODY = pwd.getpwnam("nobody")


def in_child(action: Callable[[], str]) -> str:
    """Run in a forked child and return what it says."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        said = "child failed"
        try:
            said = action()
        except (OSError, HostError, ConfigError) as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(write_end, said.encode())
            os._exit(0)
    os.close(write_end)
    said = os.read(read_end, 65536).decode()
    os.close(read_end)
    os.waitpid(child, 0)
    return said


@pytest.mark.netns
def test_only_network_capabilities_are_kept() -> None:
    def drop() -> str:
        privileges.drop_to_user("nobody")
        lines = dict(
            line.split(":\t", 1)
            for line in Path("/proc/self/status").read_text().splitlines()
            if ":\t" in line
        )
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 253).close()
        try:
            Path("/etc/shadow").read_bytes()
        except PermissionError:
            shadow = "closed"
        else:
            shadow = "open"
        fields = (lines["Uid"].split()[0], lines["CapEff"], lines["CapPrm"], lines["NoNewPrivs"])
        return " ".join((*fields, shadow, str(privileges.has_network_privileges())))

    kept = f"{privileges.KEPT_CAPABILITIES:016x}"
    assert in_child(drop) == f"{NOBODY.pw_uid} {kept} {kept} 1 closed True"


@pytest.mark.netns
def test_dropped_privileges_do_not_come_back() -> None:
    def drop() -> str:
        privileges.drop_to_user("nobody")
        os.setuid(0)
        return "root again"

    assert in_child(drop).startswith("PermissionError")


def test_memory_of_the_process_is_not_for_others() -> None:
    def forbid() -> str:
        privileges.forbid_dumps()
        owner = Path("/proc/self/mem").stat().st_uid
        return f"{owner} {resource.getrlimit(resource.RLIMIT_CORE)[0]}"

    assert in_child(forbid) == "0 0"


def test_without_privileges_the_remedy_is_named() -> None:
    def ask() -> str:
        if os.geteuid() == 0:
            os.setresuid(NOBODY.pw_uid, NOBODY.pw_uid, NOBODY.pw_uid)
        privileges.require_network_privileges()
        return "allowed"

    said = in_child(ask)
    assert said.startswith("HostError: hipgw needs root")
    assert "sudo" in said


@pytest.mark.parametrize("find", [privileges.user_ids, privileges.group_id])
def test_names_that_do_not_exist_are_named(find: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match=r"'nobody-like-this'.*add --system"):
        find("nobody-like-this")
