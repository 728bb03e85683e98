"""Packets that an honest endpoint would not send: changed, signed anew, or by a liar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from hipgw.crypto import HostIdentity, PrivateHostIdentity
from hipgw.proto.dialect import Dialect
from hipgw.proto.dialect_v2 import DialectV2
from hipgw.proto.local_identity import LocalIdentity
from hipgw.values import NULL_HIT, Encapsulation, Hit, Path
from hipgw.wire import (
    HipMac,
    HipMacV1,
    HipPacket,
    HipSignature,
    HipSignature2,
    HipSignatureV1,
    PacketType,
    Parameter,
    ParameterType,
    Puzzle,
    append_parameter,
    emit_packet,
    patch_r1,
    with_checksum,
)
from tests.engine.network import Datagram, Node, Speech, parse_packet

V2 = DialectV2()


def named(signer: PrivateHostIdentity, dialect: Dialect = V2) -> LocalIdentity:
    """As one of the HIP versions knows it."""
    return LocalIdentity.of(signer, dialect.VERSION)


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
    parameters = tuple(
        in_version(packet.version, one)
        for one in sorted(change(packet.parameters), key=lambda one: one.wire_type)
    )
    payload = emit_packet(replace(packet, parameters=parameters))
    return replace(datagram, payload=checksummed(payload, datagram.path))


def swap(new: Parameter) -> Callable[[tuple[Parameter, ...]], Iterable[Parameter]]:
    """Replace the parameter of the same type."""
    return lambda old: tuple(new if one.wire_type == new.wire_type else one for one in old)


def in_version(version: int, parameter: Parameter) -> Parameter:
    """A MAC or signature in the layout of a HIP version."""
    if version == 1 and type(parameter) is HipMac:
        return HipMacV1(parameter.mac[:20])
    if version == 1 and type(parameter) is HipSignature:
        return HipSignatureV1(5 if parameter.algorithm == 7 else 3, parameter.signature)
    return parameter


def without(kind: type[Parameter]) -> Callable[[tuple[Parameter, ...]], Iterable[Parameter]]:
    return lambda old: tuple(one for one in old if not isinstance(one, kind))


def resigned_r1(
    datagram: Datagram,
    signer: PrivateHostIdentity,
    change: Callable[[tuple[Parameter, ...]], Iterable[Parameter]],
    dialect: Dialect | None = None,
) -> Datagram:
    """An R1 that its own Responder might have made so."""
    dialect = dialect or Speech.dialect()
    packet = dialect.parse(datagram.payload)
    puzzle = packet.require(Puzzle)
    blank = replace(puzzle, opaque=bytes(2), i=bytes(len(puzzle.i)))
    parameters = tuple(without(HipSignature2)(tuple(change(tuple(swap(blank)(packet.parameters))))))
    before = [one for one in parameters if one.wire_type < ParameterType.HIP_SIGNATURE_2]
    octets = dialect.build(PacketType.R1, packet.sender, NULL_HIT, before)
    octets = dialect.with_signature_2(octets, named(signer, dialect))
    for one in parameters[len(before) :]:
        octets = append_parameter(octets, one)
    octets = patch_r1(octets, packet.receiver, puzzle.opaque, puzzle.i)
    return replace(datagram, payload=checksummed(octets, datagram.path))


def sealed(
    sender: Node, receiver: Node, kind: PacketType, *parameters: Parameter
) -> tuple[bytes, Path]:
    """A packet with the MAC and signature of `sender`, and the path it arrives on."""
    assert sender.keying is not None
    dialect = sender.dialect
    octets = dialect.build(kind, sender.hit, receiver.hit, parameters)
    octets = dialect.with_mac(octets, sender.keying.protection, sender.keying.hip.mac_out)
    octets = dialect.with_signature(octets, named(sender.identities[0], dialect))
    path = receiver.path_to(sender)
    return checksummed(octets, path), path


def signed(
    sender: Node, receiver: Node, kind: PacketType, *parameters: Parameter
) -> tuple[bytes, Path]:
    """A packet with a signature and no MAC, such as NOTIFY."""
    octets = sender.dialect.build(kind, sender.hit, receiver.hit, parameters)
    octets = sender.dialect.with_signature(octets, named(sender.identities[0], sender.dialect))
    path = receiver.path_to(sender)
    return checksummed(octets, path), path


def bare(kind: PacketType, sender: Hit, receiver: Hit, path: Path, *parameters: Parameter) -> bytes:
    version = sender.version or 2
    fit = tuple(in_version(version, one) for one in parameters)
    packet = HipPacket(kind, sender, receiver, fit, version=version)
    return checksummed(emit_packet(packet), path)


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

    def hit_of(self, version: int) -> Hit:
        return self.hit if self.hit != self.real.hit else self.real.hit_of(version)

    def sign(self, message: bytes, *, version: int = 2) -> bytes:
        signature = self.real.sign(message, version=version)
        if message[2] & 0x7F in self.lies_in:
            return signature[:-1] + bytes([signature[-1] ^ 1])
        return signature
