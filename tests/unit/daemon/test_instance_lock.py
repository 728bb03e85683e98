"""One daemon per socket; a lock of a dead one does not count."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hipgw.daemon.instance_lock import InstanceLock
from hipgw.errors import HostError


def test_a_second_instance_is_told_who_holds_it(tmp_path: Path) -> None:
    first = InstanceLock(tmp_path / "sock")
    assert first.acquire() is False
    with pytest.raises(HostError, match=rf"pid {os.getpid()}\).*kill {os.getpid()}"):
        InstanceLock(tmp_path / "sock").acquire()
    InstanceLock(tmp_path / "other").acquire()
    first.release()
    second = InstanceLock(tmp_path / "sock")
    second.acquire()
    second.release()
    assert not (tmp_path / "sock.lock").exists()


def test_leftovers_of_a_killed_daemon_are_cleared(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    child = os.fork()
    if child == 0:
        InstanceLock(path).acquire()
        socket.socket(socket.AF_UNIX).bind(str(path))
        os._exit(0)
    os.waitpid(child, 0)
    assert path.exists()
    assert (tmp_path / "sock.lock").read_text() == f"{child}\n"
    lock = InstanceLock(path)
    assert lock.acquire() is True
    assert not path.exists()
    lock.release()


def test_something_else_in_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sock").write_text("precious")
    with pytest.raises(HostError, match="no socket"):
        InstanceLock(tmp_path / "sock").acquire()
    assert (tmp_path / "sock").read_text() == "precious"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"\[control\] socket"):
        InstanceLock(tmp_path / "none" / "sock").acquire()
