"""`[gateway] clamp_mss` where the kernel carries subnets: rules of ours in the packet filter.

A file in the state directory says that there are some, so that the start after a `kill -9` takes
them away, whatever that start is for.  A kernel or host that has no such rules costs the clamping
alone; the reason is told.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as FilePath
from typing import Final

from hipgw.daemon.state_files import read_json, write_json
from hipgw.errors import HostError

RULES_FILE: Final = "mss-rules.json"
REMEDY: Final = (
    "`apt install iptables`, load xt_TCPMSS, or let ICMP pass on every way; docs/kernel.md"
)

log = logging.getLogger(__name__)


class MssClamp:
    """The rules of one daemon.

    Attributes:
        where: which program put them where, "" while there are none.
        reason: why there are none although they are wanted, "" otherwise.
        is_wanted: whether there should be some; False again when another trial is due.
    """

    def __init__(self, interface: str, devices: str, directory: FilePath) -> None:
        """Make none before `want`.

        Args:
            interface: `[network] interface`.
            devices: how the names of its tunnel devices begin.
            directory: `[state] directory`.
        """
        self._interface: Final = interface
        self._devices: Final = devices
        self._file: Final = directory / RULES_FILE
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hipgw-mss")
        self.where = ""
        self.reason = ""
        self.is_wanted = False

    def ask_again(self) -> None:
        """The operator has said something: what failed may not fail any more."""
        if self.reason:
            self.is_wanted = False

    def want(self, *, is_wanted: bool) -> None:
        """Have rules, or none, from some time on: other programs make them, and nobody waits."""
        if is_wanted != self.is_wanted:
            self.is_wanted = is_wanted
            self._thread.submit(self._follow)

    def _follow(self) -> None:
        self.reason = ""
        try:
            if self.is_wanted and not self.where:
                self._install()
            elif self.where and not self.is_wanted:
                self._remove()
        except (HostError, OSError) as error:
            self.reason = str(error)
            log.warning("MSS in the kernel", extra={"reason": self.reason})

    def close(self) -> None:
        """Take the rules away; what cannot be done is logged.  Harmless twice."""
        self._thread.shutdown(cancel_futures=True)
        self.is_wanted = False
        self._follow()

    def _install(self) -> None:
        from hipgw.netlink.mss_rules import install_mss_rules  # noqa: PLC0415

        write_json(self._file, {"interface": self._interface})
        try:
            self.where = install_mss_rules(self._interface, self._devices)
        except HostError:
            self._file.unlink(missing_ok=True)
            raise
        log.info("MSS of TCP to subnets is lowered", extra={"reason": self.where})

    def _remove(self) -> None:
        from hipgw.netlink.mss_rules import remove_mss_rules  # noqa: PLC0415

        remove_mss_rules(self._interface, self.where)
        self._file.unlink(missing_ok=True)
        self.where = ""

    def check(self) -> dict[str, str]:
        """What `hipgw doctor` says of it."""
        detail = "user space lowers it for what it carries itself"
        if self.reason:
            detail = f"where the kernel carries subnets: {self.reason}"
        elif self.where:
            detail = f"where the kernel carries subnets: {self.where}"
        return {
            "name": "TCP MSS",
            "outcome": "warn" if self.reason else "ok",
            "detail": detail,
            "remedy": REMEDY if self.reason else "",
        }


def clear_mss_rules(directory: FilePath) -> int:
    """Take away what a killed daemon left; how many chains or tables.

    Args:
        directory: `[state] directory`.

    Raises:
        HostError: they are there and cannot be removed.
    """
    file = directory / RULES_FILE
    interface = read_json(file).get("interface")
    if not isinstance(interface, str):
        return 0
    # These cost 0.1 s, and most starts need none of it.
    from hipgw.netlink.mss_rules import remove_mss_rules  # noqa: PLC0415

    count = remove_mss_rules(interface)
    file.unlink(missing_ok=True)
    return count
