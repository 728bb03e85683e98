"""Pairs of SAs beside the one in use (RFC 8046 section 5.3, RFC 8047 section 5.1).

A host asks for a pair with an ESP_INFO whose OLD SPI is 0, and ends one with NEW SPI 0.  Inbound
SAs work side by side; data goes out on one.  The locators of type 1 say which SA belongs to which
address: when the path takes such an address, its pair takes over.  The pair before is never sent on
again, because nothing may make its sequence numbers begin anew; it receives until it is unused.

A pair is made like a rekey without new Diffie-Hellman, and one thing at a time: while either is
under way, the other is refused.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from hipgw.proto.announcing import addresses_to_announce, records_of
from hipgw.proto.association import Association, SaPair
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.keying import Keying
from hipgw.proto.locators import Happening
from hipgw.proto.pairs import Pair, all_paths, table_of
from hipgw.proto.refusals import Refused
from hipgw.proto.rekey_jobs import DerivedSas, DeriveSas, Material, has_keys_at
from hipgw.proto.states import State
from hipgw.proto.switching import RETIRED_MOST
from hipgw.proto.update_sender import UpdateSender
from hipgw.proto.update_state import Outstanding, Purpose, Reply
from hipgw.values import Address, Direction, Spi
from hipgw.values.identifiers import SPI_LEAST
from hipgw.wire import DiffieHellman, EspInfo, HipPacket, LocatorSet, Parameter

PAIRS_MOST: Final = 3
"""Beside the one in use."""
TRIES_BEFORE_OTHER_PATHS: Final = 2


class ParallelSas:
    """Opens, answers, uses and ends additional pairs."""

    def __init__(self, core: Core, sender: UpdateSender) -> None:
        self._core: Final = core
        self._sender: Final = sender

    # --- ours ---

    def open(self, association: Association, address: Address, now: float) -> bool:
        """Ask for a pair for one of our addresses; False when that cannot be now."""
        core, keying, esp = self._core, association.keying, association.esp
        if (
            association.state is not State.ESTABLISHED
            or keying is None
            or esp.rekey is not None
            or esp.is_opening
            or len(esp.pairs) >= PAIRS_MOST
            or address in esp.bound
        ):
            return False
        paths = [path for path in all_paths(core, association) if path.local == address]
        index = self._material(association, keying).next_index
        if not paths or not has_keys_at(index, keying):
            return False
        pair = SaPair(core.sas.reserve_spi(association.spi_in), index, used_s=now)
        esp.pairs += (pair,)
        esp.bound = {**esp.bound, address: pair.spi_in}
        listing = records_of(
            addresses_to_announce(core, association.path),
            association.path.local,
            core.config.locator_lifetime_s,
            association.spi_in,
            esp.bound,
        )
        outstanding = self._sender.send(
            association,
            Purpose.PAIR,
            (EspInfo(index, 0, int(pair.spi_in)), LocatorSet(listing)),
            path=paths[0],
            wide_after=TRIES_BEFORE_OTHER_PATHS,
        )
        if outstanding is None:
            self._give_up(association, pair)
            return False
        pair.update_id = outstanding.update_id
        self._arm(association, now)
        return True

    # --- the peer's ---

    def on_esp_info(
        self,
        association: Association,
        info: EspInfo,
        packet: HipPacket,
        reply: Reply,
        now: float,
    ) -> bool:
        """Take an ESP_INFO with OLD SPI 0 or NEW SPI 0.

        Returns:
            Whether the UPDATE will be acknowledged here, once the new inbound SA is installed.
        """
        if not info.new_spi:
            self._on_deprecated(association, info.old_spi, now)
            return False
        keying, esp = association.keying, association.esp
        pair = next((one for one in esp.pairs if one.is_incomplete), None)
        if (
            keying is None
            or esp.rekey is not None
            or packet.get(DiffieHellman) is not None
            or info.new_spi < SPI_LEAST
            or info.new_spi in {association.spi_out, *(one.spi_out for one in esp.pairs)}
            or (pair is not None and pair.theirs is not None)
            or (pair is None and len(esp.pairs) >= PAIRS_MOST)
        ):
            self._core.note("sa_pair_refused")
            return False
        index = max(self._material(association, keying).next_index, info.keymat_index)
        if not has_keys_at(index, keying):
            self._core.note("sa_pair_refused")
            return False
        if pair is None:
            pair = SaPair(self._core.sas.reserve_spi(association.spi_in), index, used_s=now)
            esp.pairs += (pair,)
        pair.theirs = info
        pair.replies.append(reply)
        self._arm(association, now)
        self._derive(association, pair, keying, index)
        return True

    def _derive(self, association: Association, pair: SaPair, keying: Keying, index: int) -> None:
        job = DeriveSas(
            association.dialect,
            keying,
            self._material(association, keying),
            association.local.hit,
            association.peer,
            None,
            None,
            max(index, pair.keymat_index),
        )
        self._core.compute(job, partial(self._on_derived, association, pair, keying))

    def _on_derived(
        self, association: Association, pair: SaPair, keying: Keying, result: object, now: float
    ) -> None:
        """Install the inbound SA, then tell the peer: with our half, or with an ACK alone."""
        core, esp = self._core, association.esp
        if pair not in esp.pairs or association.keying is not keying or pair.theirs is None:
            return
        if not isinstance(result, DerivedSas):
            core.drop(result.reason if isinstance(result, Refused) else "busy")
            self._give_up(association, pair)
            return
        pair.derived, pair.spi_out = result, Spi(pair.theirs.new_spi)
        esp.material = result.material
        core.sas.install_spare(association, pair.spi_in, keying.esp_suite, result.esp)
        replies = tuple(pair.replies)
        pair.replies.clear()
        if pair.update_id is None:
            parameters: list[Parameter] = [EspInfo(pair.keymat_index, 0, int(pair.spi_in))]
            outstanding = self._sender.send(
                association,
                Purpose.PAIR,
                parameters,
                path=replies[-1].path if replies else None,
                wide_after=TRIES_BEFORE_OTHER_PATHS,
                replies=replies,
            )
            if outstanding is None:
                pair.replies.extend(replies)
                self._give_up(association, pair)
                return
            pair.update_id = outstanding.update_id
        else:
            for reply in replies:
                self._sender.acknowledge(association, reply)
        core.note("sa_pair_opened")
        self._arm(association, now)

    def on_acked(self, association: Association, outstanding: Outstanding) -> None:
        """The peer has our half: it can receive on its own."""
        for pair in association.esp.pairs:
            if pair.update_id == outstanding.update_id:
                pair.is_acked = True

    # --- use ---

    def on_steered(self, association: Association, chosen: Pair, now: float) -> None:
        """The path leads to or from an address with a pair of its own: that pair takes over."""
        esp = association.esp
        for pair in esp.pairs:
            is_ours = esp.bound.get(chosen.path.local) == pair.spi_in
            is_theirs = pair.spi_out is not None and chosen.locator.spi == pair.spi_out
            if pair.is_ready and (is_ours or is_theirs):
                self._activate(association, pair, now)
                return

    def on_data(self, association: Association, spi: Spi, now: float) -> None:
        """Valid ESP arrived on one of our SPIs: where the peer sends on a pair, we follow."""
        for pair in association.esp.pairs:
            if pair.spi_in != spi:
                continue
            pair.used_s = now
            if pair.derived is not None:
                pair.is_acked = True
            if pair.is_ready:
                self._activate(association, pair, now)
            return

    def _activate(self, association: Association, pair: SaPair, now: float) -> None:
        core, esp, keying = self._core, association.esp, association.keying
        old_in, old_out = association.spi_in, association.spi_out
        derived, spi_out = pair.derived, pair.spi_out
        if keying is None or old_in is None or old_out is None:
            return
        if derived is None or spi_out is None or esp.rekey is not None:
            return
        core.sas.switch_out(association, spi_out, keying.esp_suite, derived.esp, beside=pair.spi_in)
        if esp.is_limited:
            core.sas.limit(association, esp.credit.take(now))
        core.sas.remove(association, Direction.OUT, old_out)
        association.spi_in = pair.spi_in
        spent = SaPair(old_in, 0, spi_out=old_out, is_acked=True, is_spent=True, used_s=now)
        esp.pairs = (*(one for one in esp.pairs if one is not pair), spent)
        core.note("sa_pair_taken")
        self._arm(association, now)

    # --- the end ---

    def _on_deprecated(self, association: Association, spi: int, now: float) -> None:
        """The peer receives no more on an SPI; addresses of that one alone are over, too."""
        esp = association.esp
        if spi == association.spi_out:
            ready = next((pair for pair in esp.pairs if pair.is_ready), None)
            if ready is not None:
                self._activate(association, ready, now)
        is_last = spi == association.spi_out
        pair = next((one for one in esp.pairs if one.spi_out == spi), None)
        if pair is None and not is_last:
            self._core.note("update_esp_info_ignored")
            return
        for locator in table_of(self._core, association):
            if locator.spi == spi or (is_last and locator.spi is None):
                locator.note(Happening.UNLISTED)
        if pair is not None:
            self._retire(association, pair, now)
        self._core.note("sa_deprecated")

    def on_timer(self, association: Association, now: float) -> None:
        """End what is unused, and what the peer has never answered."""
        esp = association.esp
        for pair in tuple(esp.pairs):
            if self._until_s(pair) > now:
                continue
            if pair.derived is None and not pair.is_spent:
                self._give_up(association, pair)
            else:
                self._sender.send(
                    association,
                    Purpose.PAIR,
                    (EspInfo(0, int(pair.spi_in), 0),),
                    wide_after=TRIES_BEFORE_OTHER_PATHS,
                )
                self._retire(association, pair, now)
        self._arm(association, now)

    def _retire(self, association: Association, pair: SaPair, now: float) -> None:
        """Take a pair out of use; its inbound SA stays for packets that are under way."""
        core, esp = self._core, association.esp
        self._unbind(association, pair)
        if pair.derived is None and not pair.is_spent:
            core.sas.release_spi(pair.spi_in)
            return
        esp.retired[pair.spi_in] = now + core.config.sa_grace_s
        while len(esp.retired) > RETIRED_MOST:
            oldest = next(iter(esp.retired))
            del esp.retired[oldest]
            core.sas.remove(association, Direction.IN, oldest)
        core.arm(association, TimerKind.RETIRE, now, max(min(esp.retired.values()) - now, 0.0))

    def _give_up(self, association: Association, pair: SaPair) -> None:
        """Forget a pair that did not come about; what the peer sent is acknowledged."""
        core = self._core
        self._unbind(association, pair)
        if pair.derived is None:
            core.sas.release_spi(pair.spi_in)
        else:
            core.sas.remove(association, Direction.IN, pair.spi_in)
        outstanding = association.updates.outstanding.get(
            -1 if (n := pair.update_id) is None else n
        )
        if outstanding is not None:
            self._sender.cancel(association, outstanding)
        for reply in pair.replies:
            self._sender.acknowledge(association, reply)
        core.note("sa_pair_given_up")

    @staticmethod
    def _unbind(association: Association, pair: SaPair) -> None:
        esp = association.esp
        esp.pairs = tuple(one for one in esp.pairs if one is not pair)
        esp.bound = {one: spi for one, spi in esp.bound.items() if spi != pair.spi_in}

    def _arm(self, association: Association, now: float) -> None:
        core, pairs = self._core, association.esp.pairs
        if not pairs:
            core.cancel_timers(association, (TimerKind.PAIRS,))
            return
        due = min(self._until_s(pair) for pair in pairs)
        core.arm(association, TimerKind.PAIRS, now, max(due - now, 0.0))

    def _until_s(self, pair: SaPair) -> float:
        """When to end a pair on which nothing has come."""
        config, is_asked = self._core.config, pair.derived is None and not pair.is_spent
        return pair.used_s + (config.rekey_timeout_s if is_asked else config.sa_pair_idle_s)

    @staticmethod
    def _material(association: Association, keying: Keying) -> Material:
        return association.esp.material or Material.of_exchange(keying)
