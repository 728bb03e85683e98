"""Tells the engine which addresses of this host it may use, at the start and on every change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hipgw.daemon.gateway import Gateway
from hipgw.errors import HostError
from hipgw.proto import LocalAddress
from hipgw.values import Address

if TYPE_CHECKING:
    from hipgw.netlink.monitor import UsableAddress

log = logging.getLogger(__name__)


class AddressWatch:
    """A task of the loop; begins when the daemon is ready, so that it does not delay that."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def is_wanted(self, interface: str, address: Address) -> bool:
        """Whether HIP may use an address: not of hip0, no HIT, no LSI, as the operator says."""
        network = self._gateway.config.network
        if interface == network.interface or self._gateway.paths.is_identifier(address):
            return False
        return not network.interfaces or interface in network.interfaces

    async def run(self) -> None:
        """Run until cancelled."""
        # This import is slow, and nothing before this point needs it.
        from hipgw.netlink.monitor import AddressMonitor  # noqa: PLC0415

        try:
            await AddressMonitor(self.is_wanted).run(self.report)
        except HostError as error:
            # Everything but handover works without it.
            log.warning("address changes are not seen", extra={"reason": error})

    def report(self, addresses: Sequence[UsableAddress]) -> None:
        """These are the addresses now, all of them."""
        gateway = self._gateway
        spelled = ",".join(str(entry.address) for entry in addresses) or "none"
        log.info("local addresses", extra={"addresses": spelled})
        gateway.paths.local_addresses = tuple(entry.address for entry in addresses)
        told = [
            LocalAddress(entry.address, entry.interface, entry.preference) for entry in addresses
        ]
        engine = gateway.engine
        engine.step(lambda now: engine.endpoint.local_addresses_changed(told, now))
