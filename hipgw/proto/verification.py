"""Is the peer really where it says?  An echo from each address tells (RFC 8046 section 5.4).

The nonce of an address is sent to that address and to no other, so whoever returns it, in a packet
with the right MAC and signature, has received it there.
"""

from __future__ import annotations

from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.core import Core
from hipgw.proto.locators import Happening, LocatorState, Origin, PeerLocator
from hipgw.proto.pairs import best_pair_to, path_between, table_of
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.update_state import Outstanding, Purpose, Reply
from hipgw.values import Path
from hipgw.wire import EspInfo, Parameter


class Verifier:
    """Asks UNVERIFIED addresses for echoes, a few at a time."""

    def __init__(self, core: Core, sender: UpdateSender) -> None:
        self._core: Final = core
        self._sender: Final = sender

    def verify_all(self, association: Association, reply: Reply | None = None) -> bool:
        """Ask every address that waits for it, the preferred one first.

        Args:
            association: whose peer.
            reply: an UPDATE to acknowledge: the request to where it came from takes the ACK along
                (RFC 8046 section 3.2.1).

        Returns:
            Whether `reply` is being acknowledged.
        """
        waiting = [
            one
            for one in table_of(self._core, association)
            if one.state is LocatorState.UNVERIFIED
            and one.verifying is None
            and not one.failures
            and one.origin is not Origin.CONFIGURED
        ]
        waiting.sort(key=lambda one: not one.is_preferred)
        is_acknowledged = False
        for locator in waiting:
            takes = reply if reply is not None and _is_from(locator, reply.path) else None
            if self.verify(association, locator, takes) and takes is not None:
                is_acknowledged, reply = True, None
        return is_acknowledged

    def verify_again(self, association: Association, reply: Reply) -> bool:
        """Ask the ACTIVE address that a LOCATOR_SET came from, though it need not prove itself.

        So the exchange always has its three packets (RFC 8046 section 3.2.1), and a peer that asks
        for it by hand learns that both ways work.

        Returns:
            Whether `reply` is being acknowledged.
        """
        locator = table_of(self._core, association).of(reply.path)
        if locator is None or not locator.is_active:
            return False
        return self.verify(association, locator, reply)

    def verify(
        self,
        association: Association,
        locator: PeerLocator,
        reply: Reply | None = None,
    ) -> bool:
        """Ask one address, unless it is being asked or enough others are."""
        core, config = self._core, self._core.config
        if locator.verifying is not None or association.spi_in is None:
            return False
        asked = sum(one.verifying is not None for one in table_of(core, association))
        if asked >= config.verifications_most:
            return False
        if reply is not None:
            local = reply.path.local
            path = path_between(association, local, locator.address, locator.port)
        else:
            pair = best_pair_to(core, association, locator)
            if pair is None:
                return False
            path = pair.path
        parameters: list[Parameter] = [EspInfo(0, int(association.spi_in), int(association.spi_in))]
        outstanding = self._sender.send(
            association,
            Purpose.VERIFY,
            parameters,
            path=path,
            tries_most=config.verify_tries,
            locator=locator,
            replies=() if reply is None else (reply,),
        )
        return outstanding is not None

    def on_ack(self, outstanding: Outstanding, echo: bytes) -> None:
        """Take the echo that came with the ACK of whatever UPDATE asked for it."""
        locator = outstanding.locator
        if locator is None or locator.verifying != outstanding.update_id:
            return
        locator.verifying = None
        if outstanding.nonce and echo == outstanding.nonce:
            locator.note(Happening.REACHED)
            locator.failures = 0
            self._core.note("address_verified")
        else:
            locator.failures += 1

    def on_unanswered(self, outstanding: Outstanding) -> None:
        """The address did not answer: it stays UNVERIFIED, behind all others."""
        if outstanding.purpose is Purpose.VERIFY and outstanding.locator is not None:
            outstanding.locator.failures += 1
            self._core.note("address_not_verified")


def _is_from(locator: PeerLocator, path: Path) -> bool:
    return (locator.address, locator.port) == (path.peer, path.peer_port)
