"""Packets between hosts that share keys: HIP_MAC first, then HIP_SIGNATURE (RFC 7401 6.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.core import Core
from hipgw.proto.jobs import VerifySignature
from hipgw.proto.keying import Keying
from hipgw.proto.refusals import RefusedError
from hipgw.proto.states import Trigger
from hipgw.wire import HipMac, HipPacket, HipSignature, PacketType

TRIGGER_OF: Final = {
    PacketType.UPDATE: Trigger.UPDATE_VALID,
    PacketType.CLOSE: Trigger.CLOSE_VALID,
    PacketType.CLOSE_ACK: Trigger.CLOSE_ACK_VALID,
}

WORK_MOST: Final = 16
"""Signatures of one peer that are verified at the same time."""

Verified = Callable[[Association, Keying, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A packet with the right MAC whose signature is being verified."""

    association: Association
    keying: Keying
    trigger: Trigger
    work: int
    then: Verified


class Authenticator:
    """Decides whether an UPDATE, CLOSE or CLOSE_ACK is what it claims to be."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    def expect(self, packet: HipPacket, trigger: Trigger) -> tuple[Association, Keying]:
        """The association of a packet whose MAC is right.

        Raises:
            RefusedError: no association, wrong state, wrong MAC.
            WireError: no HIP_MAC or HIP_SIGNATURE.
        """
        association = self._core.find(packet.receiver, packet.sender)
        if association is None:
            raise RefusedError("no_association")
        keying = association.keying
        if keying is None or not association.allows(trigger):
            raise RefusedError("state_unexpected")
        packet.require(HipMac)
        packet.require(HipSignature)
        _, mac_key = association.dialect.mac_keys_after_exchange(keying.hip)
        if not association.dialect.mac_is_right(packet, keying.protection, mac_key):
            raise RefusedError("mac_wrong")
        return association, keying

    def check(
        self,
        packet: HipPacket,
        association: Association,
        keying: Keying,
        then: Verified,
        *,
        work: int | None = None,
    ) -> None:
        """Have the signature verified; `then` is called if it is right and all is as before.

        Args:
            packet: what `expect` let through.
            association: whose it is.
            keying: the keys of its MAC.
            then: goes on.
            work: names the work, so that it is not done twice at once; default the packet type.

        Raises:
            RefusedError: the same is being verified already, or nobody to verify it with.
        """
        identity = association.peer_identity
        if identity is None:
            raise RefusedError("state_unexpected")
        work = int(packet.packet_type) if work is None else work
        if work in association.verifying:
            raise RefusedError("replayed")
        if len(association.verifying) >= WORK_MOST:
            raise RefusedError("busy")
        association.begin_check(work)
        claim = Claim(association, keying, TRIGGER_OF[packet.packet_type], work, then)
        self._core.compute(
            VerifySignature(
                association.dialect, identity, packet.require(HipSignature), packet.octets
            ),
            partial(self._on_verified, claim),
        )

    def _on_verified(self, claim: Claim, result: object, now: float) -> None:
        association = claim.association
        if association.keying is not claim.keying or not association.allows(claim.trigger):
            self._core.drop("state_unexpected")
            return
        association.end_check(claim.work)
        if result is True:
            self._core.unproven.forget(association)
            claim.then(association, claim.keying, now)
        else:
            self._core.drop("signature_wrong")
