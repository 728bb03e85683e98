"""`hipgw key`: files that OpenSSL's tools read, and nothing secret on the screen."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from hipgw.cli import key
from hipgw.crypto import KEY_KINDS, PrivateHostIdentity
from hipgw.daemon.config import Config
from hipgw.daemon.keys import DEFAULT_KIND
from tests.unit.cli.conftest import Invoke


def make(invoke: Invoke, directory: Path, *more: str) -> dict[str, str]:
    said = invoke("key", "new", "--directory", str(directory), "--json", *more)
    assert said.exit_code == 0, said.stderr
    facts: dict[str, str] = json.loads(said.stdout)
    return facts


@pytest.mark.parametrize(
    "algorithm", ["ecdsa-p256", "ecdsa-p384", "ed25519", "ed448", "rsa-2048", "rsa-3072"]
)
def test_new_key_of_each_algorithm(invoke: Invoke, tmp_path: Path, algorithm: str) -> None:
    directory = tmp_path / "keys"
    facts = make(invoke, directory, "--algorithm", algorithm)
    path = directory / f"{algorithm}.pem"
    private = PrivateHostIdentity.from_pem(path.read_bytes())
    assert facts == {
        "file": str(path),
        "algorithm": algorithm,
        "hit": str(private.hit),
        "hit_v1": str(private.hit_v1) if algorithm.startswith("rsa") else None,
        "weak": False,
        "mode": "0600",
        "problem": None,
        "remedy": None,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert path.with_suffix(".pub").read_bytes() == private.public_pem()


def test_defaults_are_those_of_the_daemon() -> None:
    assert str(Config().identity.directory) == key.DEFAULT_DIRECTORY
    assert key.ALGORITHMS[0] == DEFAULT_KIND
    assert set(key.ALGORITHMS) == set(KEY_KINDS)


def test_new_never_overwrites(invoke: Invoke, tmp_path: Path) -> None:
    make(invoke, tmp_path, "--name", "host")
    before = (tmp_path / "host.pem").read_bytes()
    said = invoke("key", "new", "--name", "host", "--directory", str(tmp_path))
    assert said.exit_code == 1
    assert said.stderr == (
        f"hipgw: {tmp_path}/host.pem exists and is never overwritten: choose another --name\n"
    )
    assert (tmp_path / "host.pem").read_bytes() == before


def test_list(invoke: Invoke, tmp_path: Path) -> None:
    first = make(invoke, tmp_path, "--name", "a")
    second = make(invoke, tmp_path, "--name", "b", "--algorithm", "ed25519")
    said = invoke("key", "list", "--directory", str(tmp_path))
    lines = [line.split() for line in said.stdout.splitlines()]
    assert lines == [
        ["HIT", "ALGORITHM", "MODE", "FILE"],
        [first["hit"], "ecdsa-p256", "0600", f"{tmp_path}/a.pem"],
        [second["hit"], "ed25519", "0600", f"{tmp_path}/b.pem"],
    ]
    assert said.stderr == ""
    listed = json.loads(invoke("key", "list", "--json", "--directory", str(tmp_path)).stdout)
    assert listed == {"keys": [first, second]}


def test_list_of_nothing(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke("key", "list", "--directory", str(tmp_path / "none"))
    assert said.exit_code == 0
    assert said.stdout == f"no keys in {tmp_path}/none: make one with `hipgw key new`\n"


def test_list_goes_on_past_a_file_that_is_no_key(invoke: Invoke, tmp_path: Path) -> None:
    make(invoke, tmp_path, "--name", "good")
    (tmp_path / "bad.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n")
    said = invoke("key", "list", "--directory", str(tmp_path))
    assert said.exit_code == 1
    assert "good.pem" in said.stdout
    assert f"hipgw: {tmp_path}/bad.pem: " in said.stderr


def test_show_warns_of_a_mode_that_lets_others_read(invoke: Invoke, tmp_path: Path) -> None:
    facts = make(invoke, tmp_path, "--name", "host")
    (tmp_path / "host.pem").chmod(0o644)
    said = invoke("key", "show", "--directory", str(tmp_path))
    assert said.exit_code == 0
    assert said.stdout == (
        f"hit: {facts['hit']}\nalgorithm: ecdsa-p256\nfile: {tmp_path}/host.pem\nmode: 0644\n"
    )
    assert said.stderr == (
        f"hipgw: {tmp_path}/host.pem: mode 0644 lets others use it: chmod 600 {tmp_path}/host.pem\n"
    )


def test_show_pem_is_the_public_half_only(invoke: Invoke, tmp_path: Path) -> None:
    make(invoke, tmp_path, "--name", "host")
    secret = (tmp_path / "host.pem").read_text().splitlines()[1]
    said = invoke("key", "show", str(tmp_path / "host.pem"), "--pem")
    assert said.stdout == (tmp_path / "host.pub").read_text()
    for output in (said, invoke("key", "show", str(tmp_path / "host.pem"), "--json")):
        assert "PRIVATE" not in output.output
        assert secret not in output.output


@pytest.mark.parametrize("algorithm", key.WEAK_ALGORITHMS)
def test_weak_key_is_made_when_asked_twice(invoke: Invoke, tmp_path: Path, algorithm: str) -> None:
    said = invoke("key", "new", "--algorithm", algorithm, "--directory", str(tmp_path))
    assert said.exit_code == 2
    assert "--allow-weak" in said.stderr
    facts = make(invoke, tmp_path, "--algorithm", algorithm, "--allow-weak")
    private = PrivateHostIdentity.from_pem(
        (tmp_path / f"{algorithm}.pem").read_bytes(), allow_weak=True
    )
    assert (facts["hit_v1"], facts["weak"]) == (str(private.hit_v1), True)
    shown = invoke("key", "show", "--directory", str(tmp_path)).stdout
    assert f"hit of HIPv1: {private.hit_v1}\n" in shown
    assert f"algorithm: {algorithm} (weak: for legacy peers only)\n" in shown


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN PRIVATE KEY-----\n"])
def test_show_of_no_key(invoke: Invoke, tmp_path: Path, content: str) -> None:
    (tmp_path / "x.pem").write_text(content)
    said = invoke("key", "show", str(tmp_path / "x.pem"))
    assert said.exit_code == 1
    assert said.stderr.startswith("hipgw: ")
    assert said.stdout == ""


def test_show_of_a_missing_file(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke("key", "show", str(tmp_path / "none.pem"))
    assert said.exit_code == 1
    assert f"cannot read {tmp_path}/none.pem (No such file or directory)" in said.stderr


def test_show_of_an_empty_directory(invoke: Invoke, tmp_path: Path) -> None:
    said = invoke("key", "show", "--directory", str(tmp_path))
    assert said.stderr == f"hipgw: no keys in {tmp_path}: make one with `hipgw key new`\n"
    assert said.exit_code == 1
