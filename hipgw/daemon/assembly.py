"""Makes the parts of a daemon from its configuration and what the start opened, and joins them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from hipgw._fastpath.worker import DataPath
from hipgw.daemon.certificate_config import load_certificates
from hipgw.daemon.config import Config
from hipgw.daemon.devices import SLOT_SPARE_OCTETS, Devices, descriptor_of, slot_octets
from hipgw.daemon.engine_config import endpoint_config
from hipgw.daemon.engine_loop import EngineLoop
from hipgw.daemon.first_packets import FirstPackets
from hipgw.daemon.gateway import Gateway, HostFacts
from hipgw.daemon.hip_sockets import HipSockets
from hipgw.daemon.interception import Interception, overruns_of
from hipgw.daemon.kernel_side import KernelSide
from hipgw.daemon.lsis import LsiRegistry
from hipgw.daemon.next_hops import NextHops
from hipgw.daemon.opportunity import Opportunity
from hipgw.daemon.own_identities import OwnIdentities
from hipgw.daemon.path_mtu import PathMtus
from hipgw.daemon.peer_paths import Paths
from hipgw.daemon.pins import Pins
from hipgw.daemon.ports import PortFamilies
from hipgw.daemon.sa_home import NO_KERNEL, SaHome
from hipgw.daemon.state_keeper import StateKeeper
from hipgw.daemon.strangers import Strangers
from hipgw.daemon.subnet_routes import SubnetRoutes
from hipgw.daemon.traffic import Traffic
from hipgw.daemon.underlay import largest_link_mtu
from hipgw.dataplane.composite import CompositeBackend
from hipgw.dataplane.user import UserBackend
from hipgw.drivers.scheduling import gives_slices
from hipgw.proto import Endpoint
from hipgw.resolve import Resolver


@dataclass(frozen=True, slots=True)
class Beginnings:
    """What the start has made and opened when the parts are put together."""

    config: Config
    stack: ExitStack
    """Closes what the parts open, at the end of the daemon."""
    loop: asyncio.AbstractEventLoop
    facts: HostFacts
    resolver: Resolver
    lsis: LsiRegistry
    devices: Devices
    steering: int
    """How peers are spread over pairs of workers."""
    interception: Interception
    kernel: KernelSide | None

    @property
    def slot_octets(self) -> int:
        """Longest packet that the data path holds."""
        return slot_octets(max(self.facts.mtu_octets, largest_link_mtu()))


def make_data_path(begun: Beginnings) -> DataPath:
    """The data path over the opened devices; nothing runs in it yet."""
    devices, facts = begun.devices, begun.facts
    tun_fd, udp4_fd, udp6_fd, raw4_fd, raw6_fd = devices.fds_of(0)
    data_path = DataPath(
        tun_fd=tun_fd,
        udp4_fd=udp4_fd,
        udp6_fd=udp6_fd,
        raw4_fd=raw4_fd,
        raw6_fd=raw6_fd,
        hip4_fd=descriptor_of(devices.hip, 4),
        hip6_fd=descriptor_of(devices.hip, 6),
        link_fd=-1 if devices.link is None else devices.link.fileno(),
        more_fds=[devices.fds_of(pair) for pair in range(1, facts.workers.pairs)],
        writer_fd=devices.tun.writer_fd,
        steering=begun.steering,
        spin_us=facts.workers.busy_poll_us,
        gives_way=facts.workers.slice_us > 0 and gives_slices(),
        slot_octets=begun.slot_octets,
        vnet_hdr=devices.offloads.vnet_hdr,
        uso=devices.offloads.uso,
        udp_gso=devices.offloads.udp_gso,
        udp_gro=devices.offloads.udp_gro,
        queue_fds=[queue.fileno() for queue in devices.queues],
        class_mask=begun.config.network.traffic_class,
    )
    data_path.set_queue_mtus(facts.mtu_octets, facts.lsi_mtu_octets)
    return data_path


def make_gateway(begun: Beginnings, data_path: DataPath, keeper: StateKeeper) -> Gateway:
    """The gateway and the parts that it is made from."""
    config, devices, kernel = begun.config, begun.devices, begun.kernel
    sockets = HipSockets(devices.hip, devices.control_udp, config.network.udp_port)
    gateway = Gateway(
        config,
        begun.facts,
        resolver=begun.resolver,
        lsis=begun.lsis,
        sockets=sockets,
        sas=_make_sa_home(begun, data_path),
        queue=FirstPackets(
            peer_packets=config.network.queue_packets,
            peer_octets=config.network.queue_octets,
            total_octets=config.network.queue_total_octets,
        ),
        paths=Paths(
            begun.resolver,
            sockets,
            config.network.encapsulation,
            config.network.lsi_prefix,
            interfaces_only=bool(config.network.interfaces),
            all_pairs=config.hip.shotgun,
        ),
        store_r1_counter=keeper.store_r1_counter,
        data_counters=data_path.counters,
        certificates=load_certificates(
            config.certificates, config.certificate_requirements(), begun.facts.public_identities
        ),
        strangers=Strangers(data_path.desk),
        interception=begun.interception,
        kernel=kernel,
        queue_overruns=overruns_of([queue.fileno() for queue in devices.queues]),
    )
    begun.stack.callback(gateway.icmp.close)
    return gateway


def _make_sa_home(begun: Beginnings, data_path: DataPath) -> SaHome:
    backend = UserBackend(data_path)
    begun.stack.callback(backend.close)
    kernel = begun.kernel
    split = None
    if kernel is not None and kernel.backend is not None:
        split = CompositeBackend(backend, kernel.backend, kernel.esp, kernel_udp=kernel.kernel_udp)
    return SaHome(
        split or backend,
        begun.lsis,
        begun.loop.time,
        begun.config.lab.export_keys,
        split=split,
        no_kernel=NO_KERNEL if kernel is None else kernel.reason,
    )


def join_parts(
    begun: Beginnings,
    gateway: Gateway,
    data_path: DataPath,
    *,
    stored_r1_counter: int,
    configure_interface: Callable[[HostFacts], None],
) -> None:
    """Make the parts that need the gateway, and give them to it."""
    config, facts = begun.config, begun.facts
    endpoint = Endpoint(
        [entry.identity for entry in facts.identities],
        endpoint_config(
            config,
            stored_r1_counter,
            gateway.certificates.policy,
            begun.resolver.rendezvous_of,
            legacy_peers=gateway.legacy,
            compatible_peers=gateway.compatible,
        ),
        os.urandom,
        begun.loop.time(),
        {entry.hit: entry.traits for entry in facts.identities},
    )
    gateway.engine = EngineLoop(endpoint, gateway, begun.loop)
    begun.stack.callback(gateway.engine.close)
    gateway.traffic = Traffic(
        data_path,
        gateway.engine,
        sas=gateway.sas,
        queue=gateway.queue,
        lsis=begun.lsis,
        resolver=begun.resolver,
        paths=gateway.paths,
        ports=PortFamilies(facts.hits, facts.own_lsis),
        own_hits=facts.hits,
        names_v1=facts.names_v1,
        udp_port=config.network.udp_port,
    )
    gateway.own = OwnIdentities(gateway, configure_interface)
    gateway.opportunity = Opportunity(gateway, Pins(config.state.directory))
    gateway.subnets = SubnetRoutes(gateway, data_path)
    gateway.traffic.pair_of = gateway.subnets.pair_of
    gateway.mtus = PathMtus(gateway, data_path, begun.slot_octets - SLOT_SPARE_OCTETS)
    gateway.traffic.on_too_big = gateway.mtus.on_too_big
    gateway.hops = NextHops(gateway, data_path, begun.loop, begun.devices.link_reason)
    begun.stack.callback(gateway.hops.close)
    if begun.kernel is not None:
        begun.kernel.start(gateway, begun.loop)
        if gateway.subnets.tunnels is not None:
            gateway.subnets.tunnels.on_settled = begun.kernel.look_again
