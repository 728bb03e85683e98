"""Installing rivals, with a package manager that only pretends."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hipgw.cli.bench import bench
from hipgw.errors import HostError
from hipgw.lab import network
from hipgw.perf.rivals import table

APT = """#!/bin/sh
echo "$RUNLEVEL $DEBIAN_FRONTEND $*" >> {directory}/said
case "$*" in *{failing}*)
    echo "W: old" >&2; echo "E: no such package" >&2; echo "" >&2; exit 100;;
esac
case "$*" in *" install "*) [ -z "{brings}" ] || {{ echo > {directory}/{brings}
    chmod +x {directory}/{brings}; }};;
esac
"""


@dataclass(frozen=True)
class Some:
    name: str = "some"
    packages: tuple[str, ...] = ("some-package", "other")
    programs: tuple[str, ...] = ("some-program",)
    tunnel: Any = None


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with nothing but what the tests put into the directory, and one rival."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(table, "RIVALS", {"openvpn": Some()})
    return tmp_path


def pretend(directory: Path, *, failing: str = "never", brings: str = "some-program") -> None:
    program = directory / "apt-get"
    program.write_text(APT.format(directory=directory, failing=failing, brings=brings))
    program.chmod(stat.S_IRWXU)


def said(directory: Path) -> list[str]:
    return (directory / "said").read_text().splitlines()


def test_packages_come_and_services_do_not_start(bare: Path) -> None:
    pretend(bare)
    table.install_missing([Some()])
    update, install = said(bare)
    assert update.startswith("1 noninteractive -qq ")
    assert update.endswith(" update")
    assert install.endswith(" install -y --no-install-recommends some-package other")
    table.install_missing([Some()])
    assert len(said(bare)) == 2, "what is there is not installed again"


def test_an_old_list_of_packages_may_do(bare: Path) -> None:
    pretend(bare, failing="update")
    table.install_missing([Some()])
    assert table.missing_programs([Some()]) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"failing": "install"}, r"could not install some-package other: E: no such package$"),
        ({"failing": "-qq"}, r"E: no such package \(before that, update: E: no such package\)"),
        ({"brings": ""}, r"installed, but some-program not found: is /usr/sbin in PATH"),
    ],
)
def test_what_did_not_come_is_said(bare: Path, options: dict[str, str], words: str) -> None:
    pretend(bare, **options)
    with pytest.raises(HostError, match=words):
        table.install_missing([Some()])


def test_a_system_without_apt_is_told_what_to_install(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(bare))
    with pytest.raises(HostError, match="no apt-get: install some-package other with"):
        table.install_missing([Some()])


def test_the_command_ends_with_one_and_a_sentence(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(bare, failing="install")
    monkeypatch.setattr(network, "require_root", lambda: None)
    command = ["tunnel", "--vs", "openvpn"]
    for more, words in (
        ([], "not installed: some-package other"),
        (["--install"], "could not install some-package other: E: no such package"),
    ):
        done = CliRunner().invoke(bench, [*command, *more])
        assert done.exit_code == 1
        assert words in done.stderr
