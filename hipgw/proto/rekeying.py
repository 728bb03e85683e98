"""Replacing the security associations of a pair (RFC 7402 sections 6.8 to 6.10).

Make before break.  Both hosts compute the keys as soon as they hold both ESP_INFOs, and install the
new inbound SA before they acknowledge the peer's.  A host sends on the new outbound SA once its own
ESP_INFO is acknowledged, or data arrives on its new inbound one: either shows that the peer can
receive (`switching`).

So it does not matter who began, nor whether both did at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hipgw.crypto import DhPrivateKey
from hipgw.proto.association import Association, Rekey
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.keying import Keying
from hipgw.proto.locators import LocatorState
from hipgw.proto.pairs import table_of
from hipgw.proto.refusals import Refused, RefusedError
from hipgw.proto.rekey_jobs import DerivedSas, DeriveSas, GenerateDh, Material, has_keys_at
from hipgw.proto.states import State
from hipgw.proto.switching import Switching
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.update_state import Outstanding, Purpose, Reply
from hipgw.values import Direction, Path
from hipgw.values.identifiers import SPI_LEAST
from hipgw.wire import (
    EspInfo,
    HipPacket,
    LocatorRecord,
    LocatorSet,
    Parameter,
)

TRIES_BEFORE_OTHER_PATHS: Final = 2
PAUSE_AFTER_FAILURE_S: Final = 60.0


class Rekeyer:
    """Begins, answers and finishes rekeys."""

    def __init__(self, core: Core, sender: UpdateSender, switching: Switching) -> None:
        self._core: Final = core
        self._switching: Final = switching
        self._sender: Final = sender
        self.when_answered: Final[list[Callable[[Association, float], None]]] = []
        """Who waits for the answer to an UPDATE with an ESP_INFO."""

    # --- ours ---

    def start(
        self,
        association: Association,
        reason: str,
        now: float,
        *,
        locators: tuple[LocatorRecord, ...] = (),
        path: Path | None = None,
    ) -> bool:
        """Begin a rekey; False when one is under way or the association is not ESTABLISHED.

        Args:
            association: whose SAs.
            reason: for the operator.
            now: monotonic seconds.
            locators: to be announced with it.
            path: where the request goes first; None for the path in use.
        """
        core, keying = self._core, association.keying
        if (
            association.state is not State.ESTABLISHED
            or association.esp.rekey is not None
            or association.esp.is_opening
            or keying is None
        ):
            return False
        index = self._material(association, keying).next_index
        with_dh = self._wants_dh(association) or not has_keys_at(index, keying)
        rekey = Rekey(
            core.sas.reserve_spi(association.spi_in),
            reason,
            is_answer=False,
            with_dh=with_dh,
            keymat_index=index,
        )
        rekey.locators, rekey.path = locators, path
        self._begin(association, rekey, keying, now)
        return True

    def _wants_dh(self, association: Association) -> bool:
        return self._core.config.rekey_with_dh or association.dialect.rekeys_with_dh

    def _begin(self, association: Association, rekey: Rekey, keying: Keying, now: float) -> None:
        """Settle our half: a key of our own if it takes one."""
        core = self._core
        association.esp.rekey = rekey
        core.arm(association, TimerKind.REKEY, now, core.config.rekey_timeout_s)
        if rekey.with_dh:
            rekey.keymat_index = 0
            core.compute(
                GenerateDh(keying.dh_group), partial(self._on_dh, association, rekey, keying)
            )
        else:
            self._prepared(association, rekey, keying, now)

    def _on_dh(
        self, association: Association, rekey: Rekey, keying: Keying, result: object, now: float
    ) -> None:
        if association.esp.rekey is not rekey:
            return
        if not isinstance(result, DhPrivateKey):
            self._give_up(association, rekey, now)
            return
        rekey.dh = result
        self._prepared(association, rekey, keying, now)

    def _prepared(self, association: Association, rekey: Rekey, keying: Keying, now: float) -> None:
        rekey.is_prepared = True
        if rekey.theirs is not None:
            self._derive(association, rekey, keying)
            return
        if not self._send_our_half(association, rekey):
            self._give_up(association, rekey, now)

    def _send_our_half(self, association: Association, rekey: Rekey) -> bool:
        """Send our ESP_INFO: as a request, or in answer to the peer's."""
        replies, parameters = tuple(rekey.replies), self._our_half(association, rekey)
        path, locator = rekey.path, None
        if replies:
            path = replies[-1].path
            locator = table_of(self._core, association).of(path)
            if locator is not None and (
                locator.state is not LocatorState.UNVERIFIED or locator.verifying is not None
            ):
                locator = None
        if rekey.locators:
            parameters = [*parameters, LocatorSet(rekey.locators)]
        outstanding = self._sender.send(
            association,
            Purpose.REKEY,
            parameters,
            path=path,
            wide_after=TRIES_BEFORE_OTHER_PATHS,
            locator=locator,
            replies=replies,
        )
        if outstanding is None:
            return False
        rekey.update_ids.add(outstanding.update_id)
        rekey.replies.clear()
        return True

    @staticmethod
    def _our_half(association: Association, rekey: Rekey) -> list[Parameter]:
        old = int(association.spi_in or 0)
        parameters: list[Parameter] = [EspInfo(rekey.keymat_index, old, int(rekey.spi_in))]
        if rekey.dh is not None:
            parameters.append(association.dialect.dh_parameter((rekey.dh,)))
        return parameters

    def present_esp_info(self, association: Association) -> list[Parameter]:
        """ESP_INFO for an UPDATE that is about something else.

        As long as the peer may not have our half of a rekey, it is that half again: the rekey is
        restarted, not joined by another one (RFC 7402 section 6.8).  Else it changes nothing.
        """
        rekey = association.esp.rekey
        if rekey is not None and rekey.update_ids and not rekey.is_acked:
            return self._our_half(association, rekey)
        spi = int(association.spi_in or 0)
        return [EspInfo(0, spi, spi)]

    @staticmethod
    def carried_by(association: Association, outstanding: Outstanding) -> None:
        """An UPDATE with `present_esp_info` is on its way."""
        rekey = association.esp.rekey
        if rekey is not None and rekey.update_ids and not rekey.is_acked:
            rekey.update_ids.add(outstanding.update_id)

    # --- the peer's ---

    @staticmethod
    def check(packet: HipPacket, association: Association, keying: Keying) -> None:
        """Rules of RFC 7402 section 6.9 that need no state.

        Raises:
            RefusedError: the group has changed, or a new key comes without KEYMAT index 0.
        """
        value, info = association.dialect.dh_value(packet), packet.get(EspInfo)
        if value is None or info is None:
            return
        if value[0] != keying.dh_group:
            raise RefusedError("dh_group")
        if info.keymat_index:
            raise RefusedError("hip_malformed")

    def on_esp_info(
        self,
        association: Association,
        info: EspInfo,
        packet: HipPacket,
        reply: Reply,
        now: float,
    ) -> bool:
        """Take the peer's ESP_INFO out of an authentic UPDATE.

        Returns:
            Whether the UPDATE will be acknowledged here, once the new inbound SA is installed.
        """
        core, keying, rekey = self._core, association.keying, association.esp.rekey
        if info.new_spi in {info.old_spi, association.spi_out} or keying is None:
            return False  # nothing to replace, or replaced already
        if (
            rekey is not None
            and rekey.theirs is not None
            and rekey.derived is not None
            and info.old_spi == rekey.theirs.new_spi
        ):
            # The peer replaces what is new to us: it has finished, so we do.
            self._switching.switch(association, rekey, rekey.derived, now, is_peer_ahead=True)
            rekey = None
        if (
            info.old_spi != association.spi_out
            or info.new_spi < SPI_LEAST
            or association.esp.is_opening
        ):
            core.note("update_esp_info_ignored")
            return False
        value = association.dialect.dh_value(packet)
        their_dh = None if value is None else value[1]
        if rekey is None:
            self._answer(association, info, their_dh, reply, now)
            return True
        if rekey.theirs == info and rekey.their_dh == their_dh:
            if rekey.derived is None:
                rekey.replies.append(reply)
            return rekey.derived is None
        self._take_half(association, rekey, info, their_dh)
        rekey.replies.append(reply)
        if rekey.is_prepared:
            self._derive(association, rekey, keying)
        return True

    def _answer(
        self,
        association: Association,
        info: EspInfo,
        their_dh: bytes | None,
        reply: Reply,
        now: float,
    ) -> None:
        """The peer asks and we have not: settle our half, with its index if we can (6.9.1)."""
        core, keying = self._core, association.keying
        if keying is None:
            return
        index = max(self._material(association, keying).next_index, info.keymat_index)
        with_dh = self._wants_dh(association) or (
            their_dh is None and not has_keys_at(index, keying)
        )
        rekey = Rekey(
            core.sas.reserve_spi(association.spi_in),
            "peer",
            is_answer=True,
            with_dh=with_dh,
            keymat_index=0 if their_dh is not None else index,
        )
        rekey.theirs, rekey.their_dh = info, their_dh
        rekey.replies.append(reply)
        self._begin(association, rekey, keying, now)

    def _take_half(
        self, association: Association, rekey: Rekey, info: EspInfo, their_dh: bytes | None
    ) -> None:
        """The newest ESP_INFO of the peer counts; keys made with an earlier one go."""
        if rekey.derived is not None:
            self._core.sas.remove(association, Direction.IN, rekey.spi_in)
            rekey.derived = None
        rekey.theirs, rekey.their_dh = info, their_dh

    # --- both halves are there ---

    def _derive(self, association: Association, rekey: Rekey, keying: Keying) -> None:
        core, theirs = self._core, rekey.theirs
        if theirs is None:
            return
        rekey.deriving = core.next_serial()
        job = DeriveSas(
            association.dialect,
            keying,
            self._material(association, keying),
            association.local.hit,
            association.peer,
            rekey.dh,
            rekey.their_dh,
            max(rekey.keymat_index, theirs.keymat_index),
        )
        core.compute(job, partial(self._on_derived, association, rekey, rekey.deriving))

    def _on_derived(
        self, association: Association, rekey: Rekey, serial: int, result: object, now: float
    ) -> None:
        core, keying = self._core, association.keying
        if association.esp.rekey is not rekey or rekey.deriving != serial or keying is None:
            return
        if not isinstance(result, DerivedSas):
            core.drop(result.reason if isinstance(result, Refused) else "busy")
            self._give_up(association, rekey, now)
            return
        rekey.derived = result
        core.sas.install_spare(association, rekey.spi_in, keying.esp_suite, result.esp)
        if not rekey.update_ids:
            if not self._send_our_half(association, rekey):
                self._give_up(association, rekey, now)
                return
        elif rekey.is_acked:
            self._switching.switch(association, rekey, result, now, is_peer_ahead=False)
        for reply in rekey.replies:
            self._sender.acknowledge(association, reply)
        rekey.replies.clear()
        self._answered(association, now)

    def on_acked(self, association: Association, outstanding: Outstanding, now: float) -> None:
        """The peer has our half, and if it had sent its own before, its new inbound SA."""
        rekey = association.esp.rekey
        if rekey is None or outstanding.update_id not in rekey.update_ids:
            return
        rekey.is_acked = True
        if rekey.derived is not None:
            self._switching.switch(
                association, rekey, rekey.derived, now, is_peer_ahead=rekey.is_answer
            )

    # --- the end ---

    def on_timer(self, association: Association, now: float) -> None:
        """The SAs are old, or the peer has acknowledged our half and never sent its own (6.8)."""
        rekey = association.esp.rekey
        if rekey is not None:
            self._give_up(association, rekey, now)
        elif not self.start(association, "time", now):
            self._switching.arm(association, now)

    def _give_up(self, association: Association, rekey: Rekey, now: float) -> None:
        """Keep the SAs that there are, and try again some time.

        What the peer sent is acknowledged only if it does not have our half: an ACK of its answer
        would have it send on an SA that is not there.
        """
        core, config = self._core, self._core.config
        if not rekey.update_ids:
            for reply in rekey.replies:
                self._sender.acknowledge(association, reply)
        association.esp.rekey = None
        if rekey.derived is not None:
            core.sas.remove(association, Direction.IN, rekey.spi_in)
        else:
            core.sas.release_spi(rekey.spi_in)
        for outstanding in tuple(association.updates.outstanding.values()):
            if outstanding.purpose is Purpose.REKEY:
                self._sender.cancel(association, outstanding)
        core.note("rekey_given_up")
        core.cancel_timers(association, (TimerKind.REKEY,))
        if config.rekey_s:
            pause_s = min(config.rekey_s, PAUSE_AFTER_FAILURE_S)
            core.arm(association, TimerKind.REKEY, now, pause_s)
        self._answered(association, now)

    def _answered(self, association: Association, now: float) -> None:
        for tell in self.when_answered:
            tell(association, now)

    @staticmethod
    def _material(association: Association, keying: Keying) -> Material:
        return association.esp.material or Material.of_exchange(keying)
