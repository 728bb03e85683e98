"""One daemon per control socket: a lock that dies with its process, also by `kill -9`.

The lock is flock(2) on `<socket>.lock`, which holds the process id.  Whoever has the lock owns the
socket path, so what lies there is a leftover and is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path as FilePath
from typing import Final

from hipgw.errors import HostError

LOCK_SUFFIX: Final = ".lock"


class InstanceLock:
    """Held from `acquire` to `release`."""

    def __init__(self, socket_path: FilePath) -> None:
        self.file: Final = socket_path.with_name(socket_path.name + LOCK_SUFFIX)
        self._socket_path = socket_path
        self._descriptor = -1

    def acquire(self) -> bool:
        """Take the lock and clear a control socket that a killed daemon left.

        Returns:
            Whether there was such a leftover.

        Raises:
            HostError: another daemon holds it (names the pid), or the file cannot be made.
        """
        descriptor = self._open_locked()
        while not self._is_current(descriptor):
            # Its last holder removed the file between our open and our lock.
            os.close(descriptor)
            descriptor = self._open_locked()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self._clear_socket()

    def _open_locked(self) -> int:
        try:
            descriptor = os.open(
                self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644
            )
        except OSError as error:
            raise HostError(
                f"cannot make the lock file {self.file}: {error.strerror}; run as root, or give "
                "[control] socket another path"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise HostError(
                f"another hipgw (pid {holder}) already runs with {self._socket_path}: stop it with "
                f"`kill {holder}`, or give this one another [control] socket and "
                "[network] interface"
            ) from error
        return descriptor

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.file.stat())
        except FileNotFoundError:
            return False

    def _clear_socket(self) -> bool:
        try:
            status = self._socket_path.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISSOCK(status.st_mode):
            self.release()
            raise HostError(
                f"{self._socket_path} is no socket: remove it, or give [control] socket "
                "another path"
            )
        self._socket_path.unlink()
        return True

    def release(self) -> None:
        """Give the lock back; the file goes, too."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            self.file.unlink()
        os.close(self._descriptor)
        self._descriptor = -1
