"""Which security associations there are, and the effects that install, move and remove them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hipgw.crypto import EspKeys
from hipgw.proto.association import UNBOUND, Association
from hipgw.proto.effects import Effect, InstallSa, LimitPath, MoveSa, RemoveSa
from hipgw.proto.keying import Keying
from hipgw.values import Direction, EspSuite, Hit, Path, SecurityAssociation, Spi
from hipgw.values.identifiers import SPI_LEAST

KEPT_BITS: Final = 0xFF


class SaLedger:
    """Inbound SPIs of all associations, and the way out for effects about SAs.

    An association has at most one outbound SA, which carries data, and any number of inbound ones:
    the present one, one that a rekey prepares, those of pairs beside the one in use, and replaced
    ones for a while.
    """

    def __init__(
        self,
        randomness: Callable[[int], bytes],
        add_effect: Callable[[Effect], None],
        is_extended: Callable[[Hit], bool],
    ) -> None:
        self._randomness: Final = randomness
        self._add_effect: Final = add_effect
        self._is_extended: Final = is_extended
        self._owners: Final[dict[Spi, Association | None]] = {}
        self._extended: Final[set[Spi]] = set()
        """Inbound SPIs of pairs with extended sequence numbers, whatever is configured by now."""

    # --- SPIs ---

    def reserve_spi(self, beside: Spi | None = None) -> Spi:
        """A random inbound SPI that is neither reserved nor ours already (RFC 7402 3.3.4).

        Args:
            beside: an SPI of the same association. The last octet of the new one is that of it: by
                this octet data paths spread SAs over cores, and packets of the old SA and the new
                one then stay in order.
        """
        kept = 0 if beside is None else KEPT_BITS
        while True:
            drawn = int.from_bytes(self._randomness(4), "big")
            spi = Spi(drawn & ~kept | (beside or 0) & kept)
            if spi >= SPI_LEAST and spi not in self._owners:
                self._owners[spi] = None
                return spi

    def release_spi(self, spi: Spi) -> None:
        """Give back an SPI that was reserved and never installed."""
        self._owners.pop(spi, None)

    def owner(self, spi: Spi) -> Association | None:
        """Whose inbound SPI this is."""
        return self._owners.get(spi)

    def is_taken(self, spi: Spi) -> bool:
        """Whether it is reserved, or ours already."""
        return spi in self._owners

    # --- base exchange ---

    def install_in(self, association: Association, spi: Spi, keying: Keying) -> None:
        """Install the inbound SA; it works before the peer learns its SPI."""
        association.spi_in = spi
        self.install_spare(association, spi, keying.esp_suite, keying.esp)

    def exchange_in(self, association: Association, spi: Spi, keying: Keying) -> None:
        """Receive with an SPI that is not taken, and no longer with the present one."""
        unused = association.spi_in
        self.install_in(association, spi, keying)
        if unused is not None:
            self.remove(association, Direction.IN, unused)

    def install_out(self, association: Association, spi: Spi, keying: Keying) -> None:
        """Install the outbound SA, which replaces the present one of the pair."""
        beside = association.spi_in
        self.switch_out(association, spi, keying.esp_suite, keying.esp, beside=beside)

    # --- rekey ---

    def install_spare(
        self, association: Association, spi: Spi, suite: EspSuite, esp: EspKeys
    ) -> None:
        """Install an inbound SA beside the present one."""
        self._owners[spi] = association
        if self._is_extended(association.peer):
            self._extended.add(spi)
        keys = suite, esp.encryption_in, esp.authentication_in
        self._install(association, Direction.IN, spi, keys, is_extended=spi in self._extended)

    def switch_out(
        self,
        association: Association,
        spi: Spi,
        suite: EspSuite,
        esp: EspKeys,
        *,
        beside: Spi | None,
    ) -> None:
        """Install an outbound SA in the place of the present one, which the caller removes.

        `beside` is the inbound SPI of the same pair, which says what its sequence numbers are.
        """
        association.spi_out = spi
        keys = suite, esp.encryption_out, esp.authentication_out
        self._install(association, Direction.OUT, spi, keys, is_extended=beside in self._extended)

    def is_extended(self, association: Association) -> bool:
        """Whether its present pair has extended sequence numbers."""
        return association.spi_in in self._extended

    def _install(
        self,
        association: Association,
        direction: Direction,
        spi: Spi,
        keys: tuple[EspSuite, bytes, bytes],
        *,
        is_extended: bool,
    ) -> None:
        suite, encryption_key, authentication_key = keys
        self._add_effect(
            InstallSa(
                SecurityAssociation(
                    direction,
                    spi,
                    suite,
                    encryption_key,
                    authentication_key,
                    association.local.hit,
                    association.peer,
                    association.path,
                    is_extended=is_extended,
                )
            )
        )

    # --- the end of them ---

    def remove(self, association: Association, direction: Direction, spi: Spi) -> None:
        """Remove one SA, by value: it need not be the present one."""
        if direction is Direction.IN:
            self._owners.pop(spi, None)
            self._extended.discard(spi)
        association.esp.forget(direction, spi)
        self._add_effect(RemoveSa(direction, spi, association.local.hit, association.peer))

    def detach(self, association: Association) -> list[tuple[Direction, Spi]]:
        """Take all SAs off an association, for the caller to remove: outbound first.

        An SPI that was only reserved is given back.
        """
        held: list[tuple[Direction, Spi]] = []
        if association.spi_out is not None:
            held.append((Direction.OUT, association.spi_out))
        if association.spi_in is not None:
            held.append((Direction.IN, association.spi_in))
        esp = association.esp
        held += [(Direction.IN, spi) for spi in esp.retired]
        if esp.rekey is not None:
            if esp.rekey.derived is not None:
                held.append((Direction.IN, esp.rekey.spi_in))
            else:
                self.release_spi(esp.rekey.spi_in)
        for pair in esp.pairs:
            if pair.derived is not None or pair.is_spent:
                held.append((Direction.IN, pair.spi_in))
            else:
                self.release_spi(pair.spi_in)
        association.spi_in = association.spi_out = esp.rekey = None
        esp.retired.clear()
        esp.pairs, esp.bound = (), UNBOUND
        esp.is_limited = False
        return held

    def remove_all(self, association: Association) -> None:
        """Remove all SAs: no data in CLOSING and CLOSED (RFC 7401 section 4.4.3)."""
        for direction, spi in self.detach(association):
            self.remove(association, direction, spi)

    # --- paths ---

    def move(self, association: Association, path: Path) -> None:
        """Give the present SAs new outer addresses; `association.path` is the caller's business."""
        pair = association.local.hit, association.peer
        for direction, spi in (
            (Direction.OUT, association.spi_out),
            (Direction.IN, association.spi_in),
        ):
            if spi is not None:
                self._add_effect(MoveSa(direction, spi, *pair, path))

    def limit(self, association: Association, octets: int | None) -> None:
        """Allow so many octets more on the outbound SA, or lift the limit."""
        association.esp.is_limited = octets is not None
        if association.spi_out is not None:
            pair = association.local.hit, association.peer
            self._add_effect(LimitPath(association.spi_out, *pair, octets))
