"""Puts the daemon together, runs it, and takes it apart again.

Order of the start: what may be refused without a trace (lock, keys, descriptors), then the drop of
privileges, then threads, then the network, last the control socket: whoever can ask it finds a
daemon that is ready.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path as FilePath
from typing import Any, Final

from hipgw._fastpath.worker import DataPath
from hipgw.daemon import privileges
from hipgw.daemon.address_watch import AddressWatch
from hipgw.daemon.assembly import Beginnings, join_parts, make_data_path, make_gateway
from hipgw.daemon.config import Config
from hipgw.daemon.control import ControlServer
from hipgw.daemon.control_methods import ControlMethods
from hipgw.daemon.devices import (
    Devices,
    open_devices,
)
from hipgw.daemon.engine_config import carried_suites
from hipgw.daemon.gateway import Gateway, HostFacts
from hipgw.daemon.housekeeping import Housekeeping
from hipgw.daemon.instance_lock import InstanceLock
from hipgw.daemon.interception import Interception, queue_numbers, subnet_queue
from hipgw.daemon.interface_watch import InterfaceWatch
from hipgw.daemon.kept_tasks import keep_running
from hipgw.daemon.kernel_opening import clear_kernel_leftovers, open_kernel_side
from hipgw.daemon.logs import RateLimitedLog
from hipgw.daemon.lsis import LsiRegistry
from hipgw.daemon.mss_clamp import clear_mss_rules
from hipgw.daemon.own_identities import start_identities
from hipgw.daemon.path_mtu import PathMtus
from hipgw.daemon.readiness import notify
from hipgw.daemon.reloading import Reloader
from hipgw.daemon.state_files import clear_leftovers, make_directory
from hipgw.daemon.state_keeper import R1CounterFile, StateKeeper
from hipgw.daemon.subnet_tunnels import clear_tunnels
from hipgw.daemon.underlay import DEFAULT_MTU_OCTETS, route_to
from hipgw.daemon.worker_plan import WorkerPlan, allowed_cores, plan_workers
from hipgw.daemon.workers import Workers
from hipgw.dataplane.ciphers import choose_ciphers
from hipgw.dataplane.interface import Preference
from hipgw.drivers.offload import Offload
from hipgw.errors import ConfigError
from hipgw.policy import interface_mtus
from hipgw.proto import State
from hipgw.resolve import HostsFiles, Resolver
from hipgw.values import Address, Encapsulation

MTU_LOOK_UPS: Final = 256
"""Peers whose path is looked at for the MTU; each takes some microseconds."""
CLOSE_S: Final = 1.0
"""How long the stop waits for answers to its CLOSEs."""
FIRST_R1_S: Final = 2.0
KERNEL_ANSWER_S: Final = 0.3
"""Enough when all modules are there; associations that begin before it has come move later."""
SOCKET_DIRECTORY_MODE: Final = 0o755
STATE_DIRECTORY_MODE: Final = 0o700

log = logging.getLogger(__name__)


class Daemon:
    """One run of the daemon."""

    def __init__(self, config: Config, config_file: FilePath | None) -> None:
        self._config = config
        self._config_file = config_file
        self._stack = ExitStack()
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._failure = ""
        self._is_ready = False
        self._limited = RateLimitedLog(log)
        self._tasks: list[asyncio.Task[None]] = []
        self._gateway: Gateway | None = None
        self._control: ControlServer | None = None

    def stop(self) -> None:
        """Ask for the end; safe to call more than once."""
        self._stopped.set()

    def fail(self, sentence: str) -> None:
        """End because something broke."""
        self._failure = self._failure or sentence
        self._stopped.set()

    async def run(self) -> str:
        """Start, wait for `stop`, take everything down.

        Returns:
            "" after a stop that was asked for, else why it ended.

        Raises:
            ConfigError, HostError: the start was refused; nothing is left behind.
        """
        started_s = self._loop.time()
        self._loop.set_exception_handler(self._on_loop_error)
        try:
            gateway = await self._start(started_s)
            took_ms = round((self._loop.time() - started_s) * 1000)
            self._is_ready = True
            gc.freeze()
            gc.enable()
            log.info("ready", extra={"hit": gateway.facts.hits[0], "took_ms": took_ms})
            notify("READY=1")
            self._keep_running({"addresses": AddressWatch(gateway).run})
            if gateway.hops is not None:
                gateway.hops.start()
            await self._stopped.wait()
            notify("STOPPING=1")
        finally:
            await self._take_down()
        return self._failure

    def _on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback raised: a bug, which must neither end the daemon nor fill its log."""
        error = context.get("exception")
        self._limited.log(
            logging.ERROR,
            "loop callback failed",
            reason=context.get("message", ""),
            error=f"{type(error).__name__}: {error}",
        )

    # --- start ---

    async def _start(self, started_s: float) -> Gateway:
        config = self._config
        self._prepare_directories()
        lock = InstanceLock(config.control.socket)
        if lock.acquire():
            log.info("leftovers of a killed daemon cleared", extra={"file": config.control.socket})
        self._stack.callback(lock.release)
        identities = start_identities(config)
        resolver = Resolver(
            config.known_peers(), HostsFiles(config.hosts.files, config.network.lsi_prefix)
        )
        resolver.refresh()
        mtu_octets, lsi_mtu_octets = self._mtus(resolver)
        interception = Interception(config)
        cleared = interception.clear_leftovers() + clear_mss_rules(config.state.directory)
        if cleared:
            log.info("rules of a killed daemon cleared", extra={"count": cleared})
        plan = plan_workers(config.datapath, allowed_cores())
        steering = secrets.randbits(32) | 1
        devices = self._open_devices(mtu_octets, plan, steering)
        ciphers = choose_ciphers(config.offload.crypto)
        self._clear_kernel()
        kernel = open_kernel_side(
            self._stack,
            config.datapath.backend,
            devices.esp,
            devices.udp,
            carried_suites(config),
        )
        self._drop_privileges()
        lsis = LsiRegistry(
            config.network.lsi_prefix,
            config.state.directory,
            resolver,
            lambda hit: self._gateway is not None and self._gateway.sas.has_peer(hit),
        )
        own_lsis = lsis.start(
            [entry.identity.hit for entry in identities],
            {hit: entry.hits[0] for entry in identities for hit in entry.hits[1:]},
        )
        facts = HostFacts(
            config.host.name or socket.gethostname(),
            tuple(identities),
            own_lsis,
            mtu_octets,
            lsi_mtu_octets,
            started_s,
            devices.offloads,
            ciphers,
            plan,
            devices.tun.steering,
        )
        gateway = self._assemble(
            Beginnings(
                config,
                self._stack,
                self._loop,
                facts,
                resolver,
                lsis,
                devices,
                steering,
                interception,
                kernel,
            )
        )
        self._gateway = gateway
        self._configure_interface(facts)
        gateway.interface = InterfaceWatch(gateway, self.fail)
        gateway.interface.listen(self._stack, self._loop)
        if gateway.subnets is not None:
            gateway.subnets.apply()
        self._stack.callback(interception.stop)
        interception.start()
        await self._first_r1s(gateway)
        if gateway.kernel is not None:
            await gateway.kernel.wait_for_answer(KERNEL_ANSWER_S)
        await self._open_control(gateway)
        return gateway

    def _open_devices(self, mtu_octets: int, plan: WorkerPlan, steering: int) -> Devices:
        config = self._config
        devices = open_devices(
            self._stack,
            interface=config.network.interface,
            mtu_octets=mtu_octets,
            udp_port=config.network.udp_port,
            tun_offload=config.offload.tun,
            udp_offload=self._udp_offload(),
            queues=queue_numbers(config),
            cut_queue=subnet_queue(config),
            discover_mtu=config.network.path_mtu_discovery,
            raw_sending=config.offload.raw,
            pairs=plan.pairs,
            steering=steering,
            busy_poll_us=plan.busy_poll_us,
        )
        if devices.tun.steering:
            log.info("packets go from worker to worker", extra={"reason": devices.tun.steering})
        return devices

    def _prepare_directories(self) -> None:
        config = self._config
        make_directory(config.control.socket.parent, SOCKET_DIRECTORY_MODE, "[control] socket")
        make_directory(config.state.directory, STATE_DIRECTORY_MODE, "[state] directory")
        clear_leftovers(config.state.directory)

    def _clear_kernel(self) -> None:
        """Nothing of a killed daemon carries anything when this one begins."""
        states = clear_kernel_leftovers()
        if states:
            log.info("states of a killed daemon cleared", extra={"count": states})
        if not states and self._config.datapath.backend is Preference.USER:
            return
        if tunnels := clear_tunnels(self._config.network.interface):
            log.info("tunnels of a killed daemon cleared", extra={"count": tunnels})

    def _udp_offload(self) -> Offload:
        """The kernel cannot take ESP out of datagrams that it has merged."""
        is_kernels = self._config.datapath.backend is Preference.KERNEL
        return Offload.OFF if is_kernels else self._config.offload.udp

    def _drop_privileges(self) -> None:
        name = self._config.host.user
        if not name:
            return
        # The new user need not be able to read where Python keeps its modules.
        import hipgw.netlink.filter_chains  # noqa: PLC0415
        import hipgw.netlink.links  # noqa: PLC0415
        import hipgw.netlink.monitor  # noqa: PLC0415
        import hipgw.netlink.mss_rules  # noqa: PLC0415
        import hipgw.netlink.next_hop  # noqa: PLC0415
        import hipgw.netlink.packet_filter  # noqa: PLC0415
        import hipgw.netlink.prefix_routes  # noqa: PLC0415
        import hipgw.netlink.tunnels  # noqa: F401, PLC0415

        uid, gid = privileges.user_ids(name)
        state = self._config.state.directory
        for path in (self._config.control.socket.parent, state, *state.iterdir()):
            os.chown(path, uid, gid)
        has_rules = self._config.datapath.backend is not Preference.USER
        privileges.drop_to_user(name, for_children=has_rules or bool(queue_numbers(self._config)))

    def _mtus(self, resolver: Resolver) -> tuple[int, int]:
        """MTU of hip0 and of its LSI route: what the operator says, or computed."""
        configured = self._config.network.mtu
        if configured is not None:
            return configured, configured - 20
        routes = [
            route_to(locator)
            for hit in resolver.known_hits()[:MTU_LOOK_UPS]
            for locator in resolver.locators_of(hit)
        ]
        known = [route.mtu_octets for route in routes if route is not None]
        # What a peer starts may come in either encapsulation, so both must fit.
        return interface_mtus(
            max(known, default=DEFAULT_MTU_OCTETS), carried_suites(self._config), Encapsulation
        )

    def _assemble(self, begun: Beginnings) -> Gateway:
        counter = R1CounterFile(self._config.state.directory)
        keeper = StateKeeper(counter, begun.lsis)
        self._stack.callback(keeper.save)
        data_path = make_data_path(begun)
        gateway = make_gateway(begun, data_path, keeper)
        join_parts(
            begun,
            gateway,
            data_path,
            stored_r1_counter=counter.stored,
            configure_interface=self._configure_interface,
        )
        self._start_workers(data_path, begun.facts.workers)
        self._listen(gateway, data_path)
        if gateway.mtus is not None:
            self._listen_to_routers(gateway.mtus, begun.devices)
        lasting = {
            "state": keeper.run,
            "housekeeping": Housekeeping(gateway, keeper).run,
            "identities": gateway.own.run,
        }
        if gateway.subnets is not None and gateway.subnets.tunnels is not None:
            self._stack.callback(gateway.subnets.tunnels.close)
            lasting["tunnels"] = gateway.subnets.tunnels.run
        self._keep_running(lasting)
        gateway.engine.apply()
        return gateway

    def _keep_running(self, bodies: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        self._tasks += [
            self._loop.create_task(keep_running(name, body)) for name, body in bodies.items()
        ]

    def _start_workers(self, data_path: DataPath, plan: WorkerPlan) -> None:
        ways = data_path.run_outbound, data_path.run_inbound
        bodies = {
            name: partial(ways[number % 2], number // 2) for number, name in enumerate(plan.names)
        }
        pins = dict(zip(plan.names, plan.pins, strict=False))
        workers = Workers(
            bodies, data_path.stop, self._loop, self.fail, pins, slice_us=plan.slice_us
        )
        workers.start()

        def stop() -> None:
            if not workers.stop():
                log.error("a worker did not stop in time")

        self._stack.callback(stop)

    def _listen(self, gateway: Gateway, data_path: DataPath) -> None:
        """Punts wake the loop; every socket is read by the data path."""
        self._loop.add_reader(data_path.punt_fd, gateway.traffic.take_punts)
        self._stack.callback(self._loop.remove_reader, data_path.punt_fd)

    def _listen_to_routers(self, mtus: PathMtus, devices: Devices) -> None:
        """ICMP "too big" about ESP packets shortens a path."""
        for family, channel in devices.icmp.items():
            self._loop.add_reader(channel, mtus.on_icmp, family, channel)
            self._stack.callback(self._loop.remove_reader, channel)

    def _configure_interface(self, facts: HostFacts) -> None:
        # This import takes 0.15 s, and nothing before this point needs it.
        from hipgw.netlink.links import configure_interface  # noqa: PLC0415

        watch = None if self._gateway is None else self._gateway.interface
        if watch is not None and watch.is_down:
            return  # it is brought up to date when it is up again
        if self._gateway is not None and self._gateway.mtus is not None and self._is_ready:
            self._gateway.mtus.notice_operator()
            facts = self._gateway.facts
        configure_interface(
            self._config.network.interface,
            hits=facts.hits,
            lsis=facts.own_lsis,
            mtu=facts.mtu_octets,
            lsi_prefix=str(self._config.network.lsi_prefix),
            lsi_mtu=facts.lsi_mtu_octets,
            sources=self._peer_sources(),
        )
        if self._gateway is not None and self._gateway.mtus is not None:
            self._gateway.mtus.on_configured(facts.mtu_octets)
        if self._is_ready and self._gateway is not None and self._gateway.subnets is not None:
            self._gateway.subnets.set_routes()

    def _peer_sources(self) -> list[tuple[Address, Address]]:
        """Peers' HITs and LSIs, each with that of ours which packets to it leave from."""
        sources: list[tuple[Address, Address]] = []
        own = [] if self._gateway is None else self._gateway.own.own_of_peers()
        for peer, peer_lsi, entry, own_lsi in own:
            sources.append((IPv6Address(peer.packed), IPv6Address(entry.hit_for(peer).packed)))
            sources.append((IPv4Address(peer_lsi.packed), IPv4Address(own_lsi.packed)))
        return sources

    async def _first_r1s(self, gateway: Gateway) -> None:
        """Wait until the first R1s are made: an I1 before them would go unanswered."""
        deadline = self._loop.time() + FIRST_R1_S
        while gateway.engine.jobs_running and self._loop.time() < deadline:
            await asyncio.sleep(0.002)

    async def _open_control(self, gateway: Gateway) -> None:
        options = self._config.control
        group = privileges.group_id(options.group) if options.group else None
        self._control = ControlServer(
            options.socket, ControlMethods(gateway, self._config_file).table(), group
        )
        await self._control.start()

    # --- reload ---

    def reload(self) -> None:
        """Read the configuration again and take over what can change in a running daemon."""
        gateway = self._gateway
        if self._config_file is None or gateway is None:
            return
        notify("RELOADING=1")
        try:
            reloaded = Reloader(gateway, self._config_file).reload()
        except ConfigError as error:
            log.warning("configuration not taken", extra={"reason": error})
        else:
            log.info("configuration taken", extra={"keys": ",".join(reloaded.taken) or "none"})
            if reloaded.restart_needed:
                keys = ",".join(reloaded.restart_needed)
                log.warning("these keys need a restart", extra={"keys": keys})
        notify("READY=1")

    # --- end ---

    async def _take_down(self) -> None:
        if self._control is not None:
            await self._control.close()
        if self._gateway is not None:
            await self._say_goodbye(self._gateway)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._stack.close()
        if self._is_ready:
            log.info("stopped")

    async def _say_goodbye(self, gateway: Gateway) -> None:
        """CLOSE to every peer, and a moment for their answers (RFC 7401 section 6.14)."""
        gateway.close_all()
        deadline = self._loop.time() + CLOSE_S
        while self._loop.time() < deadline:
            if str(State.CLOSING) not in gateway.engine.endpoint.table.by_state():
                return
            await asyncio.sleep(0.02)
