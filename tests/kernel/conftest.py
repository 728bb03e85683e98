"""These tests change the tables of the kernel they run on: only a guest's kernel is theirs.

On any other machine nothing here is collected, and asking for it by name finds no tests, which
pytest reports as an error.  `make test-kernel` boots the guest and runs them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.hosts import Host, clear, two_hosts

IS_GUEST = "hipgw.job=" in Path("/proc/cmdline").read_text()
collect_ignore_glob = [] if IS_GUEST else ["test_*.py"]


@pytest.fixture(scope="session")
def wired() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as hosts:
        yield hosts


@pytest.fixture
def hosts(wired: tuple[Host, Host]) -> Iterator[tuple[Host, Host]]:
    yield wired
    clear(wired)
    for host in wired:
        # Larval states without an SPI cannot be removed; they end by themselves after 30 s.
        assert [report for report in host.xfrm.states() if report.state.spi] == []
        assert host.xfrm.policies() == []
