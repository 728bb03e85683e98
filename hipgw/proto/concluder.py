"""The end of a base exchange for its Initiator: the R2 (RFC 7401 section 6.10)."""

from __future__ import annotations

from functools import partial
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.certificate_gate import CertificateGate
from hipgw.proto.core import Core
from hipgw.proto.jobs import VerifySignature
from hipgw.proto.keying import Keying
from hipgw.proto.packets import esp_info_is_fit
from hipgw.proto.refusals import RefusedError
from hipgw.proto.states import Trigger
from hipgw.values import Path, Spi
from hipgw.wire import EspInfo, HipMac2, HipPacket, LocatorSet


class Concluder:
    """Answers an R2 with an association."""

    def __init__(self, core: Core, gate: CertificateGate) -> None:
        self._core: Final = core
        self._gate: Final = gate

    def on_r2(self, packet: HipPacket, _path: Path, _now: float) -> None:
        """Check HIP_MAC_2, then have the signature verified.

        Raises:
            RefusedError, WireError: the R2 goes no further.
        """
        association = self._core.find(packet.receiver, packet.sender)
        if association is None:
            raise RefusedError("no_association")
        initiation, keying = association.initiation, association.keying
        identity = association.peer_identity
        if (
            not association.allows(Trigger.R2_VALID)
            or initiation is None
            or keying is None
            or identity is None
        ):
            raise RefusedError("state_unexpected")
        esp_info = packet.require(EspInfo)
        packet.require(HipMac2)
        signature = association.dialect.r2_signature(packet)
        if not association.dialect.mac_2_is_right(
            packet, keying.protection, keying.hip.mac_in, initiation.peer_host_id_tlv
        ):
            raise RefusedError("mac_wrong")
        if not esp_info_is_fit(esp_info, keying.hip.keymat_index):
            raise RefusedError("hip_malformed")
        kind = int(packet.packet_type)
        if kind in association.verifying:
            raise RefusedError("replayed")
        association.begin_check(kind)
        self._core.compute(
            VerifySignature(association.dialect, identity, signature, packet.octets),
            partial(self._on_verified, association, keying, packet),
        )

    def _on_verified(
        self,
        association: Association,
        keying: Keying,
        packet: HipPacket,
        result: object,
        now: float,
    ) -> None:
        """The R2 is authentic: the peer's certificates are the last thing to look at."""
        core = self._core
        if association.keying is not keying or not association.allows(Trigger.R2_VALID):
            core.drop("state_unexpected")
            return
        if result is not True:
            association.end_check(int(packet.packet_type))
            core.drop("signature_wrong")
            return
        self._gate.on_r2(
            association, packet, partial(self._conclude, association, keying, packet), now
        )

    def _conclude(
        self, association: Association, keying: Keying, packet: HipPacket, now: float
    ) -> None:
        """Install the outbound SA; from now on data may be sent."""
        core = self._core
        association.end_check(int(packet.packet_type))
        theirs = Spi(packet.require(EspInfo).new_spi)
        if association.dialect.receives_with_their_spi:
            if core.sas.is_taken(theirs):
                core.drop("spi_taken")
                return
            core.sas.exchange_in(association, theirs, keying)
        association.agreed_r1 = core.r1_clock.tick(now)
        listed = tuple(record for one in packet.all(LocatorSet) for record in one.locators)
        association.reach.offered += listed
        core.sas.install_out(association, theirs, keying)
        core.establish(association, Trigger.R2_VALID, now)
