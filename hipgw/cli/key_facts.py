"""What may be shown of a key file: its HIT, algorithm, public half and mode; never its secret."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hipgw.errors import CryptoError, HostError
from hipgw.values import Hit

OTHERS_BITS: Final = 0o077
KEY_SUFFIX: Final = ".pem"


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """Public data of one key file; `problem` is "" when the file is as it should be."""

    path: Path
    algorithm: str
    hit: Hit
    public_pem: str
    mode: int
    problem: str = ""
    remedy: str = ""
    hit_v1: Hit | None = None
    """In HIPv1, which names RSA and DSA keys only."""
    is_weak: bool = False
    """Good for legacy peers only."""

    def as_json(self) -> dict[str, object]:
        """The facts as JSON values; the mode in octal text."""
        return {
            "file": str(self.path),
            "algorithm": self.algorithm,
            "hit": str(self.hit),
            "hit_v1": None if self.hit_v1 is None else str(self.hit_v1),
            "weak": self.is_weak,
            "mode": f"{self.mode:04o}",
            "problem": self.problem or None,
            "remedy": self.remedy or None,
        }


def key_files(directory: Path) -> list[Path]:
    """The key files of a directory, by name.

    Raises:
        HostError: the directory cannot be read; a missing one is simply empty.
    """
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == KEY_SUFFIX)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HostError(
            f"cannot list {directory} ({error.strerror}): run as root, or name a --directory"
        ) from error


def mode_problem(path: Path) -> tuple[int, str, str]:
    """(mode bits, problem, remedy) of a key file; a symbolic link counts as what it points to.

    Raises:
        OSError: no such file, or no permission to look.
    """
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & OTHERS_BITS:
        return mode, f"mode {mode:04o} lets others use it", f"chmod 600 {path}"
    if status.st_uid not in {0, os.geteuid()}:
        return mode, f"belongs to user id {status.st_uid}", f"chown {os.geteuid()} {path}"
    return mode, "", ""


def inspect_key(path: Path) -> KeyFacts:
    """Look at one key file.

    Raises:
        HostError: the file cannot be read.
        CryptoError: it holds no private key that hipgw can use.
    """
    from hipgw.crypto import PrivateHostIdentity
    from hipgw.values import ALGORITHMS_V1

    try:
        mode, problem, remedy = mode_problem(path)
        private = PrivateHostIdentity.from_pem(path.read_bytes(), allow_weak=True)
    except OSError as error:
        raise HostError(
            f"cannot read {path} ({error.strerror}): check its name, or run as root"
        ) from error
    except CryptoError as error:
        raise CryptoError(f"{path}: {error}") from error
    return KeyFacts(
        path=path,
        algorithm=private.public.kind,
        hit=private.hit,
        hit_v1=private.hit_v1 if private.public.algorithm in ALGORITHMS_V1 else None,
        is_weak=private.public.is_weak,
        public_pem=private.public_pem().decode(),
        mode=mode,
        problem=problem,
        remedy=remedy,
    )
