"""Rules to our netfilter queues: there from the end of the start to the begin of the stop.

A file in the state directory says that there are some, so that the start after a `kill -9` takes
them away, whatever that start is for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path as FilePath
from typing import Any, Final

from hipgw.daemon.config import Config
from hipgw.daemon.state_files import read_json, write_json
from hipgw.drivers.nfqueue import Intercept, socket_drops
from hipgw.errors import HostError

QUEUE_LAST: Final = 65535
RULES_FILE: Final = "queue-rules.json"

log = logging.getLogger(__name__)


def queue_numbers(config: Config) -> range:
    """The queues that this configuration takes packets from; empty with "tun"."""
    options = config.datapath
    count = options.queue_count if options.intercept is Intercept.NFQUEUE else 0
    return range(options.queue_first, options.queue_first + count)


def subnet_queue(config: Config) -> int | None:
    """The queue for packets to `[[peer]] subnets`, behind the others; None: they go to hip0.

    The kernel cuts super-packets before it: their segments must keep the sizes of other wires.
    """
    numbers = queue_numbers(config)
    if not numbers or numbers.stop > QUEUE_LAST:
        return None
    return numbers.stop if any(peer.subnets for peer in config.peers) else None


class Interception:
    """The rules of one daemon.

    Attributes:
        where: which program put them where, "" while there are none.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._subnets = _subnets_of(config)
        self._subnet_queue = subnet_queue(config)
        self._file = config.state.directory / RULES_FILE
        self.where = ""

    def clear_leftovers(self) -> int:
        """Take away what a killed daemon left; returns how many chains or tables."""
        interface = read_json(self._file).get("interface")
        if not isinstance(interface, str):
            return 0
        # These cost 0.1 s, and most starts need none of it.
        from hipgw.netlink.packet_filter import remove_rules  # noqa: PLC0415

        count = remove_rules(interface)
        self._file.unlink(missing_ok=True)
        return count

    def start(self) -> None:
        """Put the rules in, if the configuration asks for them.

        Raises:
            HostError: no program can.
        """
        if queue_numbers(self._config):
            _remember(self._file, self._config.network.interface)
            self._install()
            log.info("packets are taken from netfilter queues", extra={"reason": self.where})

    def _install(self) -> None:
        from hipgw.netlink.links import HIT_PREFIXES  # noqa: PLC0415
        from hipgw.netlink.packet_filter import QueueRules, install_rules  # noqa: PLC0415

        numbers = queue_numbers(self._config)
        network = self._config.network
        has_queue = self._subnet_queue is not None
        self.where = install_rules(
            QueueRules(
                network.interface,
                HIT_PREFIXES,
                str(network.lsi_prefix),
                numbers.start,
                len(numbers),
                self._subnets if has_queue else (),
                self._subnet_queue or 0,
            )
        )

    def take_subnets(self, config: Config) -> None:
        """Follow the subnets of a configuration that was read again.

        While the rules change, and if the start had no subnets and so no queue for them, packets
        to them go to the interface.
        """
        subnets = _subnets_of(config)
        if not self.where or self._subnet_queue is None or subnets == self._subnets:
            return
        self._subnets = subnets
        try:
            self._install()
        except HostError as error:
            log.warning("rules of the packet filter not changed", extra={"reason": error})

    def stop(self) -> None:
        """Take the rules away; what cannot be done is logged, and left to the next start."""
        if not self.where:
            return
        from hipgw.netlink.packet_filter import remove_rules  # noqa: PLC0415

        try:
            remove_rules(self._config.network.interface)
        except HostError as error:
            log.warning("rules of the packet filter stay", extra={"reason": error})
        else:
            self._file.unlink(missing_ok=True)
            self.where = ""


def _subnets_of(config: Config) -> tuple[str, ...]:
    return tuple(str(network) for peer in config.peers for network in peer.subnets)


def _remember(file: FilePath, interface: str) -> None:
    try:
        write_json(file, {"interface": interface})
    except OSError as error:
        raise HostError(
            f"cannot write {file}: {error.strerror}; give [state] directory another place"
        ) from error


def overruns_of(descriptors: Sequence[int]) -> Callable[[], int]:
    """A question for how many packets found no room in the buffers of these queues."""
    return lambda: sum(socket_drops(descriptor) for descriptor in descriptors)


def interception_check(where: str, counters: dict[str, Any], overruns: int) -> dict[str, str]:
    """What `hipgw doctor` says of it: how packets are taken, and what became of them."""
    if not where:
        return {
            "name": "intercept", "outcome": "ok", "detail": "tun: packets are read from the "
            "interface", "remedy": "",
        }  # fmt: skip
    names = ("queue_rx", "queue_supers", "queue_left", "queue_overrun", "queue_broken")
    counted = {name: counters.get(name, 0) for name in names}
    counted["queue_overrun"] += overruns
    is_good = not counted["queue_overrun"] and not counted["queue_broken"]
    used = ", ".join(f"{name} {count}" for name, count in counted.items())
    return {
        "name": "intercept",
        "outcome": "ok" if is_good else "warn",
        "detail": f"nfqueue: {where}; {used}",
        "remedy": "" if is_good else "packets went the slow way: raise [datapath] queue_count",
    }


def try_rules() -> dict[str, str]:
    """For `hipgw doctor`: program -> "" when it can make such rules here, else its complaint."""
    from hipgw.netlink.packet_filter import QueueRules, trial  # noqa: PLC0415

    return trial(QueueRules("hip0", ("2001:20::/28",), "1.0.0.0/8", 0))
