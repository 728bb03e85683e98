"""User Mode Linux, from Debian's package: a kernel that is an ordinary program."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.kernel.guest import INIT, Machine

MODULES: Final = Path("/usr/lib/uml/modules")
MEMORY: Final = "1G"


@contextlib.contextmanager
def uml_machine(job: Path) -> Iterator[Machine]:
    """The command that boots it.

    Its memory is a file that must be executable, hence /dev/shm.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    program = shutil.which("linux.uml")
    releases = sorted(MODULES.glob("*/modules.dep"))
    if program is None or not releases:
        raise FileNotFoundError("User Mode Linux is missing: apt install user-mode-linux")
    with tempfile.TemporaryDirectory(prefix="hipgw-uml-", dir="/dev/shm") as own:
        words = (
            program,
            f"mem={MEMORY}",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "selinux=0",
            "quiet",
            "con=null",
            "con0=null,fd:1",
            f"init={INIT}",
            f"umid={Path(own).name}",
            f"uml_dir={own}",
            f"hipgw.job={job}",
            f"hipgw.modules={releases[-1].parent}",
        )
        yield Machine("uml", words, {"TMPDIR": own})
