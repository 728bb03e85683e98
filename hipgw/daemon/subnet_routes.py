"""Hosts that know no HIP: whose they are, told to the data path and to the kernel's routes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

from hipgw.daemon.first_packets import Pair
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.mss_clamp import MssClamp
from hipgw.daemon.subnet_tunnels import SubnetTunnels, tunnel_prefix
from hipgw.errors import HostError
from hipgw.policy import SubnetTable, flatten, ingress_rules
from hipgw.policy.subnets import Network, Ranges
from hipgw.values import Address, Hit

IPV6_HEADER_OCTETS: Final = 40
FORWARDING_FILES: Final = {
    4: "/proc/sys/net/ipv4/ip_forward",
    6: "/proc/sys/net/ipv6/conf/all/forwarding",
}

log = logging.getLogger(__name__)


class SubnetPort(Protocol):
    """The part of `hipgw._fastpath.worker.DataPath` that this talks to."""

    def set_subnets(
        self,
        owners: list[tuple[bytes, bytes]],
        *,
        peers4: Ranges,
        peers6: Ranges,
        here4: Ranges,
        here6: Ranges,
        clamp_mss: bool,
    ) -> None:
        """Route exactly these."""
        ...


class SubnetRoutes:
    """The prefixes of `[[peer]] subnets`, as they are now."""

    def __init__(self, gateway: Gateway, data_path: SubnetPort) -> None:
        """Know none before `apply`."""
        self._gateway = gateway
        self._data_path = data_path
        self._table = SubnetTable({})
        self._refused: tuple[str, ...] = ()
        self._lock = threading.Lock()
        split = gateway.sas.split
        interface = gateway.config.network.interface
        self.tunnels: Final = (
            None
            if split is None
            else SubnetTunnels(
                split,
                interface,
                lambda: gateway.facts.mtu_octets,
                self._set_routes,
                MssClamp(interface, tunnel_prefix(interface), gateway.config.state.directory),
            )
        )
        """Devices of the kernel for peers that it carries."""

    def apply(self) -> None:
        """Take over what the configuration says, in the data path first, then in the routes."""
        gateway = self._gateway
        prefixes = self._prefixes()
        here = gateway.config.gateway.local_subnets
        self._table = SubnetTable(prefixes, here)
        ranges = {
            family: flatten((network, 1) for network in here if network.version == family)
            for family in (4, 6)
        }
        self._data_path.set_subnets(
            [(self._local_of(peer).packed, peer.packed) for peer in self._table.owners],
            peers4=self._table.ranges(4),
            peers6=self._table.ranges(6),
            here4=ranges[4],
            here6=ranges[6],
            clamp_mss=gateway.config.gateway.clamp_mss,
        )
        if self.tunnels is not None:
            self.tunnels.want(
                {peer: ingress_rules(peer, prefixes, here) for peer in self._table.owners},
                self._local_of,
                copies_class=bool(gateway.config.network.traffic_class),
                clamps_mss=gateway.config.gateway.clamp_mss,
            )
        self.set_routes()

    def _prefixes(self) -> dict[Network, Hit]:
        own = set(self._gateway.facts.hits)
        return {
            network: peer.hit
            for peer in self._gateway.config.peers
            if peer.hit not in own
            for network in peer.subnets
        }

    def set_routes(self) -> None:
        """Bring the kernel's routes up to date; refusals are told by `health`."""
        if self.tunnels is not None:
            self.tunnels.mtu_changed()
        if self._prefixes() or self._refused or self._table.owners:
            self._set_routes()

    def _set_routes(self) -> None:
        """The same, in whichever thread."""
        # This import takes 0.15 s, and nothing without subnets needs it.
        from hipgw.netlink.monitor import usable_addresses  # noqa: PLC0415
        from hipgw.netlink.prefix_routes import set_prefix_routes  # noqa: PLC0415

        gateway = self._gateway
        with self._lock:
            try:
                ours = [entry.address for entry in usable_addresses(lambda _, __: True)]
                self._refused = tuple(
                    set_prefix_routes(
                        self._by_device(ours), mtu=gateway.facts.mtu_octets - IPV6_HEADER_OCTETS
                    )
                )
            except HostError as error:
                self._refused = (str(error),)
            for refusal in self._refused:
                log.warning("subnet not routed", extra={"reason": refusal})

    def _by_device(self, ours: Sequence[Address]) -> dict[str, dict[Network, Address | None]]:
        """Which device each prefix is routed to, with the source for this host's own packets."""
        interface = self._gateway.config.network.interface
        devices = [] if self.tunnels is None else self.tunnels.devices()
        found: dict[str, dict[Network, Address | None]] = {
            name: {} for name in (interface, *devices)
        }
        for network, peer in self._prefixes().items():
            device = interface if self.tunnels is None else self.tunnels.device_for(peer)
            found.setdefault(device, {})[network] = self._source_for(network, ours)
        return found

    def _source_for(self, network: Network, ours: Sequence[Address]) -> Address | None:
        """Source of what this host itself sends there: its first address in `local_subnets`."""
        here = self._gateway.config.gateway.local_subnets
        for address in ours:
            if address.version == network.version and any(address in one for one in here):
                return address
        return None

    def _local_of(self, peer: Hit) -> Hit:
        entry = self._gateway.own.of_peer(peer) or self._gateway.facts.identities[0]
        return entry.hit_for(peer)

    def pair_of(self, packet: bytes) -> Pair | None:
        """Whose association carries an inner packet by its destination; None if it is no prefix."""
        version = packet[0] >> 4 if packet else 0
        address: Address
        if version == 4 and len(packet) >= 20:
            address = IPv4Address(packet[16:20])
        elif version == 6 and len(packet) >= 40:
            address = IPv6Address(packet[24:40])
        else:
            return None
        peer = self._table.owner_of(address)
        return None if peer is None else (self._local_of(peer), peer)

    def problems(self, read_text: Mapping[int, str] = FORWARDING_FILES) -> list[dict[str, str]]:
        """What keeps packets from going that way, each with a remedy."""
        found = [
            {"problem": f"subnet not routed: {refusal}", "remedy": "remove the other route"}
            for refusal in self._refused
        ]
        for family, file in read_text.items():
            is_needed = bool(self._table.ranges(family)) and any(
                one.version == family for one in self._gateway.config.gateway.local_subnets
            )
            if is_needed and not _is_on(file):
                key = file.removeprefix("/proc/sys/").replace("/", ".")
                found.append(
                    {
                        "problem": f"IPv{family} is not forwarded for the hosts behind this one",
                        "remedy": f"sysctl -w {key}=1",
                    }
                )
        return found


def _is_on(file: str) -> bool:
    try:
        with open(file) as opened:  # noqa: PTH123 - /proc, read often
            return opened.read().strip() != "0"
    except OSError:
        return False
