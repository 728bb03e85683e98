"""Names, HITs, LSIs, locators of peers: run-time mappings, then configuration, then files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hipgw.resolve.hosts import HostsFiles
from hipgw.resolve.peers import Peer
from hipgw.values import Address, Encapsulation, Hit, Lsi


class Resolver:
    """Answers who a name is and where a HIT can be reached.

    Reads hosts files, so it belongs to the control plane: never asked per packet.
    """

    def __init__(self, peers: Sequence[Peer], files: HostsFiles) -> None:
        self._files = files
        self._peers: dict[Hit, Peer] = {}
        self._runtime: dict[Hit, Peer] = {}
        self._at: dict[Address, tuple[Hit, ...]] | None = None
        self.set_peers(peers)

    def set_peers(self, peers: Sequence[Peer]) -> None:
        """Take the peers of a configuration that was read again; run-time mappings stay."""
        self._peers = {peer.hit: peer for peer in peers}
        self._at = None

    def refresh(self) -> bool:
        """Look whether a hosts file changed; True when the answers may differ from now on."""
        is_read = self._files.refresh()
        if is_read:
            self._at = None
        return is_read

    @property
    def files(self) -> HostsFiles:
        """The hosts files, for what could not be read in them."""
        return self._files

    def add_mapping(self, hit: Hit, address: Address | None, lsi: Lsi | None = None) -> None:
        """Remember a locator of a HIT until the daemon stops (`hipconf daemon add map`)."""
        known = self._runtime.get(hit, Peer(hit))
        if address is not None and address not in known.addresses:
            known = replace(known, addresses=(*known.addresses, address))
        if lsi is not None:
            known = replace(known, lsi=lsi)
        self._runtime[hit] = known
        self._at = None

    def locators_of(self, hit: Hit) -> tuple[Address, ...]:
        """Where the peer may be reached, best first; empty when nobody told."""
        found: dict[Address, None] = {}
        for table in (self._runtime, self._peers):
            if hit in table:
                found.update(dict.fromkeys(table[hit].addresses))
        found.update(dict.fromkeys(self._files.table.addresses_of(hit)))
        return tuple(found)

    def hits_at(self, address: Address) -> tuple[Hit, ...]:
        """Whose locator an address is; several peers may share one."""
        if self._at is None:
            table: dict[Address, list[Hit]] = {}
            for hit in self.known_hits():
                for locator in self.locators_of(hit):
                    table.setdefault(locator, []).append(hit)
            self._at = {locator: tuple(hits) for locator, hits in table.items()}
        return self._at.get(address, ())

    def rendezvous_of(self, hit: Hit) -> tuple[Address, ...]:
        """Rendezvous servers of a peer, in the order of the configuration."""
        peer = self._peers.get(hit)
        return peer.via if peer else ()

    def encapsulation_of(self, hit: Hit) -> Encapsulation | None:
        """What `[[peer]] encapsulation` asks for, or None."""
        peer = self._peers.get(hit)
        return peer.encapsulation if peer else None

    def names_of(self, hit: Hit) -> tuple[str, ...]:
        """Names of a HIT: that of the configuration first."""
        peer = self._peers.get(hit)
        configured = (peer.name,) if peer and peer.name else ()
        return tuple(dict.fromkeys(configured + self._files.table.names_of(hit)))

    def hit_of_name(self, name: str, version: int = 2) -> Hit | None:
        """The HIT of a peer's name, whatever its case.

        Of several, the first of that HIP version, else the first of all.
        """
        wanted = name.lower()
        hits = [peer.hit for peer in self._peers.values() if peer.name.lower() == wanted]
        hits = hits if name and hits else list(self._files.table.hits_of(wanted))
        return next((hit for hit in hits if hit.version == version), hits[0] if hits else None)

    def fixed_lsis(self) -> dict[Hit, Lsi]:
        """LSIs that the operator chose; the configuration wins over the files."""
        fixed = self._files.table.fixed_lsis()
        for table in (self._peers, self._runtime):
            fixed.update({hit: peer.lsi for hit, peer in table.items() if peer.lsi is not None})
        return fixed

    def known_hits(self) -> tuple[Hit, ...]:
        """Every HIT that some source names."""
        everything = (*self._peers, *self._runtime, *self._files.table.hits())
        return tuple(dict.fromkeys(everything))
