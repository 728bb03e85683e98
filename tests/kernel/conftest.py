"""These tests change the tables of the kernel they run on: only a guest's kernel is theirs.

On any other machine nothing here is collected, and asking for it by name finds no tests, which
pytest reports as an error.  `make test-kernel` boots the guest and runs them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyroute2.config
import pytest

from hipgw.dataplane.kernel_suites import probe_kernel
from hipgw.values import EspSuite
from tests.kernel.hosts import Host, clear, two_hosts

PATIENCE_S = 120
"""The guest has one processor, and everybody wants it."""
IS_GUEST = "hipgw.job=" in Path("/proc/cmdline").read_text()
collect_ignore_glob = [] if IS_GUEST else ["test_*.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--trials", type=int, default=1, help="of measurements")


@pytest.fixture(scope="session", autouse=True)
def modules() -> None:
    """The modules of the kernel are loaded, which takes seconds, before anybody waits for them."""
    pyroute2.config.default_communicate_timeout = PATIENCE_S
    assert not probe_kernel().reason_against(EspSuite.AES_GCM_16, 4, is_udp=True)


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
