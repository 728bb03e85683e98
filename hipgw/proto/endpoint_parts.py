"""How an endpoint is put together: its parts, and who tells whom."""

from __future__ import annotations

from dataclasses import dataclass

from hipgw.proto.authentic import Authenticator
from hipgw.proto.calling import Caller
from hipgw.proto.certificate_asides import CertificateAsides
from hipgw.proto.certificate_gate import CertificateGate
from hipgw.proto.closing import Closer
from hipgw.proto.concluder import Concluder
from hipgw.proto.core import Core
from hipgw.proto.deadlines import Deadlines
from hipgw.proto.icmp_replies import IcmpReplier
from hipgw.proto.initiator import Initiator
from hipgw.proto.notifying import Notifier
from hipgw.proto.opportunistic import Opportunist
from hipgw.proto.puzzle_load import PuzzleLoad
from hipgw.proto.r1_pool import R1Pool
from hipgw.proto.reception import Reception
from hipgw.proto.reconfiguring import Reconfigurer
from hipgw.proto.responder import Responder
from hipgw.proto.sa_usage import SaUsage
from hipgw.proto.shotgun import Shotgun
from hipgw.proto.state_loss import StateLoss
from hipgw.proto.upkeep import Upkeep
from hipgw.wire import PacketType


@dataclass(frozen=True, slots=True)
class EndpointParts:
    """What the face of an endpoint calls."""

    pool: R1Pool
    load: PuzzleLoad
    opportunist: Opportunist
    state_loss: StateLoss
    upkeep: Upkeep
    usage: SaUsage
    gate: CertificateGate
    caller: Caller
    deadlines: Deadlines
    reconfigurer: Reconfigurer
    reception: Reception


def assemble(core: Core, now: float) -> EndpointParts:
    """Make the parts over a core, and ask for the first R1s.

    Args:
        core: shared by all of them.
        now: monotonic seconds.
    """
    pool = R1Pool(core, now)
    notifier = Notifier(core)
    authenticator = Authenticator(core)
    shotgun = Shotgun(core)
    responder = Responder(core, pool, notifier, now)
    replier = IcmpReplier(core, now)
    initiator = Initiator(core, notifier, shotgun)
    opportunist = Opportunist(core, initiator)
    closer = Closer(core, authenticator)
    upkeep = Upkeep(core, shotgun, authenticator=authenticator, notifier=notifier, closer=closer)
    upkeep.mobility.when_addresses_changed.append(pool.on_addresses_changed)
    gate = CertificateGate(core, notifier, closer, upkeep.sender)
    _join_gate(core, gate, responder, notifier=notifier, closer=closer, upkeep=upkeep)
    return EndpointParts(
        pool=pool,
        load=responder.load,
        opportunist=opportunist,
        state_loss=StateLoss(core),
        upkeep=upkeep,
        usage=SaUsage(core, upkeep),
        gate=gate,
        caller=Caller(core, initiator, closer),
        deadlines=Deadlines(
            core,
            pool,
            responder.load,
            initiator=initiator,
            opportunist=opportunist,
            closer=closer,
            gate=gate,
            upkeep=upkeep,
        ),
        reconfigurer=Reconfigurer(
            core,
            pool,
            initiator=initiator,
            responder=responder,
            replier=replier,
            closer=closer,
            upkeep=upkeep,
        ),
        reception=Reception(
            core,
            notifier,
            responder,
            replier,
            {
                PacketType.I1: responder.on_i1,
                PacketType.R1: opportunist.on_r1,
                PacketType.I2: responder.on_i2,
                PacketType.R2: Concluder(core, gate).on_r2,
                PacketType.UPDATE: upkeep.updater.on_update,
                PacketType.NOTIFY: notifier.on_notify,
                PacketType.CLOSE: closer.on_close,
                PacketType.CLOSE_ACK: closer.on_close_ack,
            },
        ),
    )


def _join_gate(
    core: Core,
    gate: CertificateGate,
    responder: Responder,
    *,
    notifier: Notifier,
    closer: Closer,
    upkeep: Upkeep,
) -> None:
    """Certificates: who tells the gate, and whom it tells."""
    asides = CertificateAsides(core, gate.arm)
    notifier.when_authentic.append(asides.on_packet)
    closer.when_authentic.append(asides.on_packet)
    responder.when_accepted.append(gate.begin)
    core.when_established.append(gate.on_established)
    upkeep.updater.when_authentic.append(gate.on_update)
    upkeep.sender.beside = gate.beside_update
    notifier.when_notified.append(gate.on_notify)
