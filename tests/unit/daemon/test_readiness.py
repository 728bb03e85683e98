"""sd_notify, against a socket of our own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hipgw.daemon.readiness import notify


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_service_manager_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool
) -> None:
    name = f"{'@' if is_abstract else ''}{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert notify("READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("value", ["", "nonsense", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_trouble(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert not notify("READY=1")
