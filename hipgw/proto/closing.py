"""CLOSE and CLOSE_ACK, both ways (RFC 7401 sections 5.3.7, 5.3.8, 6.14, 6.15)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hipgw.proto.association import Association, Closing
from hipgw.proto.authentic import Authenticator
from hipgw.proto.certificate_offers import certificates_beside
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.jobs import SignPacket
from hipgw.proto.keying import Keying
from hipgw.proto.packets import with_unsigned_echoes
from hipgw.proto.refusals import RefusedError
from hipgw.proto.states import State, Trigger
from hipgw.values import Path
from hipgw.wire import (
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    HipPacket,
    PacketType,
)

ECHO_OCTETS: Final = 16


class Closer:
    """Ends associations."""

    def __init__(self, core: Core, authenticator: Authenticator) -> None:
        self._core: Final = core
        self._authenticator: Final = authenticator
        self.when_authentic: Final[list[Callable[[Association, HipPacket, float], None]]] = []
        """Who is told of the first authentic CLOSE of a peer, before the association ends."""

    # --- ours ---

    def close(self, association: Association, trigger: Trigger, reason: str, now: float) -> None:
        """Send CLOSE and wait for CLOSE_ACK; no data from here on (section 4.4.3)."""
        core, config, keying = self._core, self._core.config, association.keying
        association.move(trigger, now)
        core.sas.remove_all(association)
        core.cancel_timers(association)
        association.acceptance = None
        closing = Closing(
            core.randomness(ECHO_OCTETS),
            now + config.ual_s + config.msl_s,
            reason,
            config.retry_first_s,
        )
        association.closing = closing
        core.arm(association, TimerKind.RETRY, now, core.jitter(closing.delay_s))
        if keying is None:
            return
        octets = self._build(association, keying, closing.echo)
        core.compute(
            SignPacket(association.dialect, association.local, octets),
            partial(self._on_signed, association, closing),
        )

    def say_once(self, association: Association) -> None:
        """Send one CLOSE without waiting for its answer: our own state ends by other means."""
        core, keying = self._core, association.keying
        if keying is None:
            return
        octets = self._build(association, keying, core.randomness(ECHO_OCTETS))
        core.compute(
            SignPacket(association.dialect, association.local, octets),
            partial(self._on_ack_signed, association.path, ()),
        )

    def _build(self, association: Association, keying: Keying, echo: bytes) -> bytes:
        """A CLOSE, all but its signature."""
        local, request = association.local, EchoRequestSigned(echo)
        shown = certificates_beside(self._core, PacketType.CLOSE, local, (request,))
        dialect, parameters = association.dialect, (request, *shown)
        octets = dialect.build(PacketType.CLOSE, local.hit, association.peer, parameters)
        mac_key, _ = dialect.mac_keys_after_exchange(keying.hip)
        return dialect.with_mac(octets, keying.protection, mac_key)

    def _on_signed(
        self, association: Association, closing: Closing, result: object, _now: float
    ) -> None:
        waits = association.closing is closing and association.state is State.CLOSING
        if waits and isinstance(result, bytes):
            closing.octets = result
            self._core.transmit(result, association.path)

    def on_retry(self, association: Association, now: float) -> None:
        """Send the CLOSE again until UAL + MSL are over (Table 7)."""
        core, closing = self._core, association.closing
        if closing is None:
            return
        if now >= closing.until_s:
            core.closed(association, closing.reason)
            core.end(association, Trigger.RETRIES_OVER, now)
            return
        association.move(Trigger.RETRY, now)
        if closing.octets:
            association.retransmissions += 1
            core.transmit(closing.octets, association.path)
        closing.delay_s = min(2 * closing.delay_s, core.config.close_retry_most_s)
        delay_s = min(core.jitter(closing.delay_s), closing.until_s - now)
        core.arm(association, TimerKind.RETRY, now, delay_s)

    # --- the peer's ---

    def on_close(self, packet: HipPacket, path: Path, _now: float) -> None:
        """Check a CLOSE (section 6.14).

        Raises:
            RefusedError, WireError: the CLOSE goes no further.
        """
        association, keying = self._authenticator.expect(packet, Trigger.CLOSE_VALID)
        packet.require(EchoRequestSigned)
        self._authenticator.check(
            packet, association, keying, partial(self._on_close_verified, path, packet)
        )

    def _on_close_verified(
        self,
        path: Path,
        packet: HipPacket,
        association: Association,
        keying: Keying,
        now: float,
    ) -> None:
        """Acknowledge; in CLOSING and CLOSED again, as often as it comes (Tables 7, 8)."""
        core, config = self._core, self._core.config
        if association.state is not State.CLOSED:
            for tell in self.when_authentic:
                tell(association, packet, now)
            core.closed(
                association, "peer" if association.closing is None else association.closing.reason
            )
            core.sas.remove_all(association)
            core.cancel_timers(association)
            association.initiation = association.acceptance = None
            core.arm(association, TimerKind.LIFE, now, config.ual_s + 2 * config.msl_s)
        association.move(Trigger.CLOSE_VALID, now)
        dialect = association.dialect
        octets = dialect.build(
            PacketType.CLOSE_ACK,
            association.local.hit,
            association.peer,
            (EchoResponseSigned(packet.require(EchoRequestSigned).data),),
        )
        mac_key, _ = dialect.mac_keys_after_exchange(keying.hip)
        octets = dialect.with_mac(octets, keying.protection, mac_key)
        unsigned = tuple(request.data for request in packet.all(EchoRequestUnsigned))
        core.compute(
            SignPacket(dialect, association.local, octets),
            partial(self._on_ack_signed, path, unsigned),
        )

    def _on_ack_signed(
        self, path: Path, unsigned: tuple[bytes, ...], result: object, _now: float
    ) -> None:
        if isinstance(result, bytes):
            self._core.transmit(with_unsigned_echoes(result, unsigned), path)
        else:
            self._core.drop("hip_long")

    def on_close_ack(self, packet: HipPacket, _path: Path, _now: float) -> None:
        """Check a CLOSE_ACK (section 6.15).

        Raises:
            RefusedError, WireError: the CLOSE_ACK goes no further.
        """
        association, keying = self._authenticator.expect(packet, Trigger.CLOSE_ACK_VALID)
        echo = packet.require(EchoResponseSigned)
        if association.initiation is not None:
            raise RefusedError("state_unexpected")  # a new exchange is under way: it decides
        if association.closing is None or echo.data != association.closing.echo:
            raise RefusedError("echo_wrong")
        self._authenticator.check(packet, association, keying, self._on_close_ack_verified)

    def _on_close_ack_verified(self, association: Association, _keying: Keying, now: float) -> None:
        if association.state is State.CLOSING and association.closing is not None:
            self._core.closed(association, association.closing.reason)
        self._core.end(association, Trigger.CLOSE_ACK_VALID, now)
