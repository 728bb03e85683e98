"""Files that outlive the daemon: written whole or not at all, and their leftovers cleared.

A write goes to a temporary file in the same directory, reaches the disk, and then takes the name
of the old file: after a `kill -9` or a power cut there is the old content or the new one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path as FilePath
from typing import Any, Final

from hipgw.errors import HostError

TEMPORARY_SUFFIX: Final = ".hipgw-new"
STATE_OCTETS_LIMIT: Final = 16 * 1024 * 1024

log = logging.getLogger(__name__)


def make_directory(directory: FilePath, mode: int, key: str) -> None:
    """Make a directory with its parents.

    Args:
        directory: what to make.
        mode: permissions of the last part, if it is made now.
        key: configuration key that names it, for the error message.

    Raises:
        HostError: it cannot be made.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=mode, exist_ok=True)
    except OSError as error:
        reason = error.strerror or "not possible"
        raise HostError(
            f"cannot make {directory}: {reason}; run as root, or give {key} another directory"
        ) from error


def clear_leftovers(directory: FilePath) -> int:
    """Remove temporary files of an interrupted write; returns how many."""
    count = 0
    with contextlib.suppress(OSError):
        for file in directory.glob(f".*{TEMPORARY_SUFFIX}"):
            with contextlib.suppress(OSError):
                file.unlink()
                count += 1
    return count


def write_atomically(file: FilePath, content: bytes, mode: int = 0o600) -> None:
    """Replace the content of a file; raises OSError, and then the old content stays."""
    temporary = file.with_name(f".{file.name}{TEMPORARY_SUFFIX}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_json(file: FilePath) -> dict[str, Any]:
    """A state file, or {} when there is none or it cannot be used; then a warning is logged.

    State is a convenience: a damaged file costs its content, never the start of the daemon.
    """
    try:
        with file.open("rb") as stream:
            content = json.loads(stream.read(STATE_OCTETS_LIMIT))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("state file unusable, starting afresh", extra={"file": file, "reason": error})
        return {}
    return content if isinstance(content, dict) else {}


def write_json(file: FilePath, content: dict[str, Any]) -> None:
    """Replace a state file; raises OSError."""
    write_atomically(file, json.dumps(content, indent=0).encode() + b"\n")
