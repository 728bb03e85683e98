"""Key files: made once, never overwritten, refused when others can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hipgw.crypto import PrivateHostIdentity
from hipgw.daemon.keys import create_identity, load_identities, load_identity
from hipgw.errors import ConfigError


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_the_first_start_makes_a_key_and_the_second_finds_it(tmp_path: Path) -> None:
    directory = tmp_path / "hip" / "keys"
    (made,) = load_identities(directory, "ecdsa-p256")
    assert mode_of(directory) == 0o700
    assert mode_of(directory / "ecdsa-p256.pem") == 0o600
    assert mode_of(directory / "ecdsa-p256.pub") == 0o644
    assert (directory / "ecdsa-p256.pub").read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")
    (found,) = load_identities(directory, "ecdsa-p256")
    assert found.identity.hit == made.identity.hit
    assert found.name == "ecdsa-p256"


def test_the_default_identity_comes_first(tmp_path: Path) -> None:
    create_identity(tmp_path, "a-first-by-name", "ed25519")
    create_identity(tmp_path, "mine", "ecdsa-p256")
    names = [entry.name for entry in load_identities(tmp_path, "mine")]
    assert names == ["mine", "a-first-by-name"]


def test_a_default_that_names_a_kind_makes_that_kind(tmp_path: Path) -> None:
    (entry,) = load_identities(tmp_path, "ed25519")
    assert entry.identity.public.kind == "ed25519"


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    hit = create_identity(tmp_path, "one", "ecdsa-p256").hit
    with pytest.raises(FileExistsError):
        create_identity(tmp_path, "one", "ecdsa-p256")
    assert load_identity(tmp_path / "one.pem").hit == hit
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610])
def test_a_key_that_others_can_use_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    create_identity(tmp_path, "open", "ecdsa-p256")
    file = tmp_path / "open.pem"
    file.chmod(mode)
    with pytest.raises(ConfigError, match=rf"mode {mode:04o}.*chmod 600 {file}") as caught:
        load_identities(tmp_path, "open")
    assert "PRIVATE" not in str(caught.value)
    file.chmod(0o400)
    assert load_identities(tmp_path, "open")


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAA==\n", b"\0" * 70_000])
def test_what_is_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "odd.pem"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"odd\.pem"):
        load_identities(tmp_path, "ecdsa-p256")


def test_leftovers_of_an_interrupted_start_are_cleared(tmp_path: Path) -> None:
    leftover = tmp_path / ".ecdsa-p256.pem.hipgw-new"
    leftover.write_bytes(b"half a key")
    load_identities(tmp_path, "ecdsa-p256")
    assert not leftover.exists()


@pytest.mark.netns
def test_a_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    create_identity(tmp_path, "theirs", "ecdsa-p256")
    os.chown(tmp_path / "theirs.pem", 12345, 12345)
    with pytest.raises(ConfigError, match="chown"):
        load_identities(tmp_path, "theirs")


def test_neither_repr_nor_error_shows_a_key(tmp_path: Path) -> None:
    (entry,) = load_identities(tmp_path, "ecdsa-p256")
    text = repr(entry)
    pem = (tmp_path / "ecdsa-p256.pem").read_text().splitlines()[1]
    assert pem[:20] not in text
    assert isinstance(entry.identity, PrivateHostIdentity)
