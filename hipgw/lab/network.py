"""A lab: a topology in network namespaces, with the daemons of its hosts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from hipgw.errors import HostError, LocalProtocolError
from hipgw.lab.builder import build, namespaces_of_lab, remove
from hipgw.lab.configs import (
    DEFAULT_KEY_KIND,
    EncapsulationName,
    PeerEntry,
    host_config,
    make_identity,
)
from hipgw.lab.files import HostFiles
from hipgw.lab.hosts import LabHost, process_directory
from hipgw.lab.processes import end_processes, recorded_processes
from hipgw.lab.state import (
    HostState,
    LabState,
    check_lab_name,
    claim_name,
    forget_lab,
    lab_directory,
    lab_names,
    load_state,
    new_state,
    save_state,
)
from hipgw.lab.topology import Topology, Underlay, pair
from hipgw.values import Hit, Lsi

Family = Literal[4, 6]
Settings = Mapping[str, Mapping[str, object]]

READY_PATIENCE_S: Final = 60.0
POLL_S: Final = 0.01
ENDING_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def require_root() -> None:
    """Raise HostError unless this process may make network namespaces."""
    if os.geteuid() != 0:
        raise HostError("a lab needs root, for network namespaces; run the command with sudo")


class Lab:
    """A lab that is up, or can be brought up.

    As a context manager it is up inside the block and gone after it, whatever happens.  If the
    process is killed, `hipgw lab down` finds what it left.

    Attributes:
        name: part of the names of its namespaces.
        ready_s: seconds from start to the first answer of each daemon, by host.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        name: str | None = None,
        encapsulation: EncapsulationName = "raw",
        family: Family = 4,
        key_kind: str = DEFAULT_KEY_KIND,
        settings: Settings | None = None,
        is_owned: bool = True,
    ) -> None:
        """Describe a lab; nothing is made before `up`.

        Args:
            topology: hosts and links.
            name: default is the topology's name and the process id.
            encapsulation: of the I1s that its daemons send.
            family: which underlay addresses its hosts are told of each other.
            key_kind: of the host identities, as `hipgw key new` names it.
            settings: more configuration keys for every daemon, by section.
            is_owned: this process takes the lab down; otherwise it stays until `lab down`.
        """
        self.name: Final = check_lab_name(name or f"{topology.name}-{os.getpid()}")
        self.topology: Final = topology
        self.ready_s: Final[dict[str, float]] = {}
        self._encapsulation: EncapsulationName = encapsulation
        self._family = family
        self._key_kind = key_kind
        self._settings = settings
        self._is_owned = is_owned
        self._hosts: dict[str, LabHost] = {}

    @classmethod
    def pair(
        cls,
        *,
        mtu: int = 1500,
        name: str | None = None,
        encapsulation: EncapsulationName = "raw",
        family: Family = 4,
        underlay: Underlay = "both",
        key_kind: str = DEFAULT_KEY_KIND,
        settings: Settings | None = None,
        is_owned: bool = True,
    ) -> Self:
        """Two hosts, `a` and `b`, on one wire; arguments as for `Lab` and `topology.pair`."""
        return cls(
            pair(mtu_octets=mtu, underlay=underlay),
            name=name,
            encapsulation=encapsulation,
            family=family,
            key_kind=key_kind,
            settings=settings,
            is_owned=is_owned,
        )

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def up(self) -> None:
        """Make namespaces, links, keys and configurations; starts nothing.

        Raises:
            HostError: not root, the name is taken, or the kernel refused; nothing is left then.
            LocalProtocolError: a host has no address of the family that was asked for.
        """
        require_root()
        is_ours = False
        try:
            with _signals_held():
                self._claim()
                is_ours = True
            hosts = self._write_hosts()
            save_state(
                new_state(
                    self.name,
                    self.topology.name,
                    hosts,
                    mtu_octets=min((link.mtu_octets for link in self.topology.links), default=1500),
                    encapsulation=self._encapsulation,
                    is_owned=self._is_owned,
                )
            )
            build(self.topology, self.name)
            self._hosts = {state.name: LabHost(self.name, state) for state in hosts}
        except BaseException:
            if is_ours:
                take_down(self.name)
            raise

    def _claim(self) -> None:
        claim_name(self.name)
        strangers = namespaces_of_lab(self.name)
        if strangers:
            forget_lab(self.name)
            raise HostError(
                f"network namespace {strangers[0]} is there but belongs to no lab; remove it with "
                f"`ip netns delete {strangers[0]}`, or choose another name with --name"
            )

    def _write_hosts(self) -> tuple[HostState, ...]:
        files: dict[str, HostFiles] = {}
        entries: dict[str, PeerEntry] = {}
        for number, host in enumerate(self.topology.hosts, start=1):
            files[host.name] = HostFiles(lab_directory(self.name) / host.name)
            files[host.name].directory.mkdir(mode=0o700)
            if not host.speaks_hip:
                continue
            hit = make_identity(files[host.name], self._key_kind)
            addresses = tuple(
                address
                for address in self.topology.locators_of(host.name)
                if address.version == self._family
            )
            if not addresses:
                raise LocalProtocolError(
                    f"host {host.name} has no IPv{self._family} address: choose an underlay with it"
                )
            # Peers get fixed LSIs from 1.0.1.0 on; a host's own ones are the first of 1.0.0.0/8.
            lsi = Lsi(bytes((1, 0, 1, number)))
            entries[host.name] = PeerEntry(host.name, hit, lsi, addresses, host.subnets)
        for name in entries:
            peers = [entry for entry in entries.values() if entry.name != name]
            text = host_config(
                files[name],
                name,
                peers,
                encapsulation=self._encapsulation,
                key_kind=self._key_kind,
                settings=self._settings_of(name),
            )
            files[name].config.write_text(text)
        return tuple(
            self._host_state(host.name, entries.get(host.name)) for host in self.topology.hosts
        )

    def _settings_of(self, name: str) -> dict[str, dict[str, object]]:
        """The configuration of a gateway names what is behind it; the lab's settings win."""
        (host,) = (one for one in self.topology.hosts if one.name == name)
        settings: dict[str, dict[str, object]] = {}
        if host.subnets:
            outside = [p.interface for p in self.topology.ports_of(name) if not p.is_inside]
            settings["gateway"] = {"local_subnets": [str(subnet) for subnet in host.subnets]}
            settings["network"] = {"interfaces": outside}
        for section, keys in (self._settings or {}).items():
            settings.setdefault(section, {}).update(keys)
        return settings

    def _host_state(self, name: str, entry: PeerEntry | None) -> HostState:
        return HostState(
            name=name,
            addresses=tuple(map(str, self.topology.addresses_of(name))),
            interfaces=tuple(port.interface for port in self.topology.ports_of(name)),
            hit=str(entry.hit) if entry else None,
            lsi=str(entry.lsi) if entry else None,
        )

    def host(self, name: str) -> LabHost:
        """A host of the lab while it is up.

        Raises:
            HostError: no such host, or the lab is not up.
        """
        if name not in self._hosts:
            there = ", ".join(self._hosts) or "none: it is not up"
            raise HostError(f"lab {self.name} has no host {name!r}; its hosts are: {there}")
        return self._hosts[name]

    @property
    def hosts(self) -> tuple[LabHost, ...]:
        """All hosts of the lab while it is up."""
        return tuple(self._hosts.values())

    def hit_of(self, name: str) -> Hit:
        """The default HIT of a host."""
        return self.host(name).hit

    def lsi_of(self, name: str) -> Lsi:
        """The LSI by which all other hosts know this one."""
        return self.host(name).lsi

    def start_daemons(self, *, patience_s: float = READY_PATIENCE_S) -> dict[str, float]:
        """Start the daemon of every host that speaks HIP and wait until all answer.

        Returns:
            Seconds from start to the first answer, by host.

        Raises:
            HostError: one ended, or did not answer in time; has the end of its log.
        """
        speaking = [host for host in self._hosts.values() if host.speaks_hip]
        started = {host.name: time.monotonic() for host in speaking}
        processes = {host.name: host.start_daemon() for host in speaking}
        for host in speaking:
            _wait_until_ready(host, processes[host.name], patience_s)
            self.ready_s[host.name] = time.monotonic() - started[host.name]
        return dict(self.ready_s)

    def down(self) -> dict[int, str]:
        """End what was started in the lab, then remove namespaces and files; may be called again.

        Returns:
            Processes of others that were inside and have lost their network: id to namespace.
        """
        end_processes(recorded_processes(process_directory(self.name)))
        for host in self._hosts.values():
            host.reap()
        self._hosts = {}
        return take_down(self.name)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Whoever wants to end this is heard when the block is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_until_ready(host: LabHost, process: subprocess.Popen[Any], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        if process.poll() is not None:
            raise HostError(
                f"the daemon of host {host.name} ended with {process.returncode}:\n"
                + host.log_tail()
            )
        try:
            host.ask("status", timeout_s=5.0)
        except HostError as error:
            if time.monotonic() > deadline:
                raise HostError(
                    f"the daemon of host {host.name} is not ready after {patience_s:g} s: {error}\n"
                    + host.log_tail()
                ) from error
            time.sleep(POLL_S)
        else:
            return


def opened_lab(name: str) -> tuple[LabState, dict[str, LabHost]]:
    """A lab that any process made, with its hosts.

    Raises:
        HostError: no such lab, or its making was cut short.
    """
    require_root()
    state = load_state(name)
    return state, {host.name: LabHost(name, host) for host in state.hosts}


def take_down(name: str) -> dict[int, str]:
    """Remove a lab that any process made: its processes, namespaces and files, as far as they are.

    Returns:
        Processes of others that were inside and have lost their network: id to namespace.
    """
    require_root()
    end_processes(recorded_processes(process_directory(name)))
    staying = remove(name)
    forget_lab(name)
    return staying


def clear_abandoned(prefix: str, say: Callable[[str], None] = lambda _: None) -> list[str]:
    """Take down labs whose name starts with `prefix` and whose owner was killed.

    A lab that another process is just making has no state yet and is left alone, unless it has
    been so for a minute.

    Args:
        prefix: of the names.
        say: is told the name of each when it is gone.

    Returns:
        The names of those that were taken down.
    """
    require_root()
    cleared = []
    for name in lab_names():
        if name.startswith(prefix) and _is_abandoned(lab_directory(name), name):
            take_down(name)
            say(name)
            cleared.append(name)
    return cleared


def _is_abandoned(directory: Path, name: str) -> bool:
    try:
        return load_state(name).is_abandoned
    except HostError:
        return directory.is_dir() and time.time() - directory.stat().st_mtime > 60


def leftovers(name: str) -> list[str]:
    """What of a lab is still on this machine, in words; empty when it is gone."""
    left = [f"namespace {namespace}" for namespace in namespaces_of_lab(name)]
    left += [f"process {record.pid}" for record in recorded_processes(process_directory(name))]
    if lab_directory(name).exists():
        left.append(str(lab_directory(name)))
    return left
