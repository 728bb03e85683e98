"""Security associations as the control plane changes and reads them in a data path."""

from libc.stdint cimport uint16_t, uint64_t


cdef class SaFace:
    """The part of a data path that is about its tables: each call is one of `SaTables`.

    Attributes:
        tables: those of the data path.
    """

    def install_in(
            self, spi, int suite, bytes encryption_key, bytes authentication_key, bytes local_hit,
            bytes peer_hit, bytes local_lsi, bytes peer_lsi, *, bint extended=False,
            uint64_t sequence=0) -> None:
        """Add an inbound SA; see `SaTables.install_in`."""
        self.tables.install_in(
            spi, suite, encryption_key, authentication_key, local_hit, peer_hit, local_lsi,
            peer_lsi, extended=extended, sequence=sequence)

    def install_out(
            self, spi, int suite, bytes encryption_key, bytes authentication_key, bytes local_hit,
            bytes peer_hit, bytes local_lsi, bytes peer_lsi, *, int family, bytes source,
            bytes destination, bint udp, uint16_t source_port, uint16_t destination_port,
            uint64_t sequence=0, bint extended=False) -> None:
        """Make this the current outbound SA of a pair of HITs; see `SaTables.install_out`."""
        self.tables.install_out(
            spi, suite, encryption_key, authentication_key, local_hit, peer_hit, local_lsi,
            peer_lsi, family=family, source=source, destination=destination, udp=udp,
            source_port=source_port, destination_port=destination_port, sequence=sequence,
            extended=extended)

    def remove_in(self, spi) -> bool:
        """Take an inbound SA away; False when there is none."""
        return self.tables.remove_in(spi)

    def remove_out(self, spi, bytes local_hit=b"", bytes peer_hit=b"") -> bool:
        """Take an outbound SA away; name the HITs, because peers may choose equal SPIs."""
        return self.tables.remove_out(spi, local_hit, peer_hit)

    def limit_out(self, spi, bytes local_hit, bytes peer_hit, octets) -> bool:
        """Bound what an outbound SA may send; see `SaTables.limit_out`."""
        return self.tables.limit_out(spi, local_hit, peer_hit, octets)

    def set_payload_most(self, spi, bytes local_hit, bytes peer_hit, octets) -> bool:
        """Say what the path of an outbound SA carries; see `SaTables.set_payload_most`."""
        return self.tables.set_payload_most(spi, local_hit, peer_hit, octets)

    def set_link(self, spi, bytes local_hit, bytes peer_hit, int interface, bytes address) -> bool:
        """Say who is the next hop of an outbound SA; see `SaTables.set_link`."""
        return self.tables.set_link(spi, local_hit, peer_hit, interface, address)

    def set_subnets(
            self, list owners, *, list peers4, list peers6, list here4, list here6,
            bint clamp_mss) -> None:
        """Route prefixes to peers; see `SaTables.set_subnets`."""
        self.tables.set_subnets(
            owners, peers4=peers4, peers6=peers6, here4=here4, here6=here6, clamp_mss=clamp_mss)

    def sa_statistics(
            self, uint64_t used_since_ns=0
    ) -> list[tuple[int, int, int, int, int, int, bytes, bytes]]:
        """See `SaTables.statistics`."""
        return self.tables.statistics(used_since_ns)

    def sa_statistics_of(
            self, int direction, spi, bytes local_hit, bytes peer_hit
    ) -> tuple[int, int, int, int, int, int, bytes, bytes] | None:
        """See `SaTables.statistics_of`."""
        return self.tables.statistics_of(direction, spi, local_hit, peer_hit)
