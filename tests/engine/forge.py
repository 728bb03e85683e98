"""Packets that an honest endpoint would not send: changed, signed anew, or by a liar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from hipgw.crypto import HostIdentity, PrivateHostIdentity
from hipgw.proto.packets import build_packet, with_mac, with_signature, with_signature_2
from hipgw.values import NULL_HIT, Encapsulation, Hit, Path
from hipgw.wire import (
    HipPacket,
    HipSignature2,
    PacketType,
    Parameter,
    ParameterType,
    Puzzle,
    append_parameter,
    emit_packet,
    parse_packet,
    patch_r1,
    with_checksum,
)
from tests.engine.network import Datagram, Node


def checksummed(payload: bytes, path: Path) -> bytes:
    """What a sender would put on `path`, which is seen from the receiver."""
    if path.encapsulation is Encapsulation.UDP:
        return payload
    return with_checksum(payload, path.peer, path.local)


def changed(
    datagram: Datagram, change: Callable[[tuple[Parameter, ...]], Iterable[Parameter]]
) -> Datagram:
    """The same packet with other parameters; MACs and signatures stay as they are."""
    packet = parse_packet(datagram.payload)
    parameters = tuple(sorted(change(packet.parameters), key=lambda one: one.wire_type))
    payload = emit_packet(replace(packet, parameters=parameters))
    return replace(datagram, payload=checksummed(payload, datagram.path))


def swap(new: Parameter) -> Callable[[tuple[Parameter, ...]], Iterable[Parameter]]:
    """Replace the parameter of the same class."""
    return lambda old: tuple(new if type(one) is type(new) else one for one in old)


def without(kind: type[Parameter]) -> Callable[[tuple[Parameter, ...]], Iterable[Parameter]]:
    return lambda old: tuple(one for one in old if not isinstance(one, kind))


def resigned_r1(
    datagram: Datagram,
    signer: PrivateHostIdentity,
    change: Callable[[tuple[Parameter, ...]], Iterable[Parameter]],
) -> Datagram:
    """An R1 that its own Responder might have made so."""
    packet = parse_packet(datagram.payload)
    puzzle = packet.require(Puzzle)
    blank = replace(puzzle, opaque=bytes(2), i=bytes(len(puzzle.i)))
    parameters = tuple(without(HipSignature2)(tuple(change(tuple(swap(blank)(packet.parameters))))))
    before = [one for one in parameters if one.wire_type < ParameterType.HIP_SIGNATURE_2]
    octets = build_packet(PacketType.R1, packet.sender, NULL_HIT, before)
    octets = with_signature_2(octets, signer)
    for one in parameters[len(before) :]:
        octets = append_parameter(octets, one)
    octets = patch_r1(octets, packet.receiver, puzzle.opaque, puzzle.i)
    return replace(datagram, payload=checksummed(octets, datagram.path))


def sealed(
    sender: Node, receiver: Node, kind: PacketType, *parameters: Parameter
) -> tuple[bytes, Path]:
    """A packet with the MAC and signature of `sender`, and the path it arrives on."""
    assert sender.keying is not None
    octets = build_packet(kind, sender.hit, receiver.hit, parameters)
    octets = with_mac(octets, sender.keying.suite, sender.keying.hip.mac_out)
    octets = with_signature(octets, sender.identities[0])
    path = receiver.path_to(sender)
    return checksummed(octets, path), path


def signed(
    sender: Node, receiver: Node, kind: PacketType, *parameters: Parameter
) -> tuple[bytes, Path]:
    """A packet with a signature and no MAC, such as NOTIFY."""
    octets = build_packet(kind, sender.hit, receiver.hit, parameters)
    octets = with_signature(octets, sender.identities[0])
    path = receiver.path_to(sender)
    return checksummed(octets, path), path


def bare(kind: PacketType, sender: Hit, receiver: Hit, path: Path, *parameters: Parameter) -> bytes:
    return checksummed(emit_packet(HipPacket(kind, sender, receiver, parameters)), path)


@dataclass(frozen=True)
class LyingIdentity:
    """Signs packets of some types wrongly, or claims a HIT that is not its own."""

    real: PrivateHostIdentity
    lies_in: frozenset[PacketType] = frozenset()
    hit: Hit = field(default=NULL_HIT)

    def __post_init__(self) -> None:
        if self.hit.is_null:
            object.__setattr__(self, "hit", self.real.hit)

    @property
    def public(self) -> HostIdentity:
        return self.real.public

    def sign(self, message: bytes) -> bytes:
        signature = self.real.sign(message)
        if message[2] & 0x7F in self.lies_in:
            return signature[:-1] + bytes([signature[-1] ^ 1])
        return signature
