"""One finding of `hipgw doctor`, and where on the host the findings come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is ("ok", "warn", "fail"), why, and what to do about it."""

    name: str
    outcome: str
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class HostFiles:
    """The files that the checks read, so that tests can put others in their place."""

    proc: Path = Path("/proc")
    tun: Path = Path("/dev/net/tun")
    modules: Path = Path("/lib/modules")

    def text(self, name: str) -> str | None:
        """A file of /proc, stripped, or None when it is not there or not ours to read."""
        try:
            return (self.proc / name).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return None
