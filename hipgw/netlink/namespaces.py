"""Named network namespaces, as `ip netns` keeps them under /run/netns.

Entering one needs no pyroute2, so that running a command inside a namespace starts fast.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from hipgw.errors import HostError
from hipgw.netlink.refusals import refused

Result = TypeVar("Result")

RUN_DIRECTORY: Final = Path("/run/netns")
CLONE_NEWNET: Final = 0x40000000


def namespace_names() -> list[str]:
    """Names of all named network namespaces, sorted."""
    if not RUN_DIRECTORY.is_dir():
        return []
    return sorted(entry.name for entry in RUN_DIRECTORY.iterdir())


def create_namespace(name: str) -> None:
    """Make an empty named network namespace.

    Raises:
        HostError: the name is taken, or not root.
    """
    from pyroute2 import netns  # noqa: PLC0415 - slow to import, see the top

    if (RUN_DIRECTORY / name).exists():
        raise refused(f"make network namespace {name}", errno.EEXIST)
    try:
        netns.create(name)
    except OSError as error:
        raise refused(f"make network namespace {name}", error.errno or 0) from error


def remove_namespace(name: str) -> None:
    """Remove a named network namespace; it may be gone already.

    The kernel frees it when the last process inside has ended.
    """
    from pyroute2 import netns  # noqa: PLC0415 - slow to import, see the top

    try:
        netns.remove(name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused(f"remove network namespace {name}", error.errno or 0) from error


def enter_namespace(name: str) -> None:
    """Move the calling thread into a named network namespace, for good.

    Raises:
        HostError: no such namespace, or not root.
    """
    try:
        descriptor = os.open(RUN_DIRECTORY / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise HostError(
            f"there is no network namespace {name}; see `ip netns list` and `hipgw lab list`"
        ) from error
    except OSError as error:
        raise refused(f"open network namespace {name}", error.errno or 0) from error
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise refused(f"enter network namespace {name}", ctypes.get_errno())
    finally:
        os.close(descriptor)


def run_inside(name: str, task: Callable[[], Result]) -> Result:
    """Run `task` in a thread of its own inside a named network namespace.

    The calling thread stays where it is.  A process that the task starts stays in the namespace.
    Whatever the task raises comes out here.
    """

    def enter_and_run() -> Result:
        enter_namespace(name)
        return task()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="hipgw-netns") as apart:
        return apart.submit(enter_and_run).result()


def processes_inside(name: str) -> list[int]:
    """Ids of the processes whose main thread is in a named network namespace, sorted."""
    try:
        namespace = (RUN_DIRECTORY / name).stat()
    except FileNotFoundError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            theirs = (entry / "ns" / "net").stat()
        except OSError:  # it has ended, or is not ours to look at
            continue
        if (theirs.st_dev, theirs.st_ino) == (namespace.st_dev, namespace.st_ino):
            found.append(int(entry.name))
    return sorted(found)
