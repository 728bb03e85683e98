"""Invariant: an edited packet is right again in whatever the script asks to be made right.

Changes to one packet of the peer, then its MAC, its signature and its checksum by the peer's keys,
so that what only an authenticated liar could send gets through to the code behind those checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hipgw.errors import CryptoError, LocalProtocolError, WireError
from hipgw.proto.keying import Keying
from hipgw.values import Encapsulation, Path
from hipgw.wire import (
    EspInfo,
    ParameterType,
    mac2_octets,
    r1_signed_octets,
    with_checksum,
)
from tests.fuzz.tlvs import KNOWN_TYPES, RawPacket, Tlv, join, split
from tests.fuzz.world import Host

EDIT_OCTETS = 5
TLVS_MOST = 40
CONTENTS_MOST = 1200
ENCRYPTED_HEAD_OCTETS = 4
AES_IV_OCTETS = 16
SIGNATURES = frozenset({ParameterType.HIP_SIGNATURE, ParameterType.HIP_SIGNATURE_2})


@dataclass(frozen=True)
class Sealing:
    """What to make right again after the edits, and with what."""

    signer: Host
    host_id_tlv: bytes
    """The signer's HOST_ID of its R1, for HIP_MAC_2."""
    mac: bool = True
    signature: bool = True

    @property
    def keying(self) -> Keying | None:
        return self.signer.keying


@dataclass(frozen=True)
class Edit:
    """One change; what the numbers mean depends on `verb`, and any will do."""

    verb: int
    tlv: int
    place: int
    value: int


def edits_of(octets: bytes) -> list[Edit]:
    """Read as many edits as there are octets for."""
    return [
        Edit(one[0], one[1], one[2] << 8 | one[3], one[4])
        for start in range(0, len(octets) - EDIT_OCTETS + 1, EDIT_OCTETS)
        if (one := octets[start : start + EDIT_OCTETS])
    ]


def edited(octets: bytes, edits: Sequence[Edit], library: Sequence[Tlv], sealing: Sealing) -> bytes:
    """A packet after edits, sealed; its checksum field is zero."""
    packet = split(octets)
    for edit in edits:
        verb = VERBS[edit.verb % len(VERBS)]
        packet = verb(packet, edit, library, sealing)
    packet = replace(packet, tlvs=packet.tlvs[:TLVS_MOST])
    return sealed(packet, sealing)


def sealed(packet: RawPacket, sealing: Sealing) -> bytes:
    """The octets of a packet with MACs and signatures as `sealing` says."""
    header = packet.header[:4] + bytes(2) + packet.header[6:]
    done = RawPacket(header, ())
    for number, contents in packet.tlvs:
        proof = _proof(number, done, sealing)
        done = replace(done, tlvs=(*done.tlvs, (number, contents if proof is None else proof)))
    return join(replace(done, tail=packet.tail))


def _proof(number: int, before: RawPacket, sealing: Sealing) -> bytes | None:
    """Contents of a MAC or signature over what comes before; None for anything else."""
    covered, keying = join(before), sealing.keying
    try:
        if sealing.mac and keying is not None:
            if number == ParameterType.HIP_MAC:
                return keying.protection.mac(keying.hip.mac_out, covered)
            if number == ParameterType.HIP_MAC_2:
                covered = mac2_octets(covered, sealing.host_id_tlv)
                return keying.protection.mac(keying.hip.mac_out, covered)
        if sealing.signature and number in SIGNATURES:
            if number == ParameterType.HIP_SIGNATURE_2:
                covered = r1_signed_octets(covered)
            identity = sealing.signer.identity
            algorithm = int(identity.public.algorithm)
            octets = 1 if identity.version == 1 else 2
            return algorithm.to_bytes(octets, "big") + identity.sign(covered)
    except WireError:
        return None
    return None


def checksummed(octets: bytes, path: Path) -> bytes:
    """With the checksum that the path needs, if the octets can have one."""
    if path.encapsulation is Encapsulation.UDP:
        return octets
    try:
        return with_checksum(octets, path.peer, path.local)
    except LocalProtocolError:
        return octets


# --- verbs ---


def _with(packet: RawPacket, at: int, *instead: Tlv) -> RawPacket:
    return replace(packet, tlvs=(*packet.tlvs[:at], *instead, *packet.tlvs[at + 1 :]))


def _on_contents(change: Callable[[bytes, Edit], bytes]) -> Verb:
    def verb(packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing) -> RawPacket:
        if not packet.tlvs:
            return packet
        at = edit.tlv % len(packet.tlvs)
        number, contents = packet.tlvs[at]
        return _with(packet, at, (number, change(contents, edit)[:CONTENTS_MOST]))

    return verb


def _set_octet(contents: bytes, edit: Edit) -> bytes:
    if not contents:
        return bytes([edit.value])
    at = edit.place % len(contents)
    return contents[:at] + bytes([edit.value]) + contents[at + 1 :]


def _flip(contents: bytes, edit: Edit) -> bytes:
    if not contents:
        return contents
    at = edit.place % len(contents)
    return contents[:at] + bytes([contents[at] ^ (edit.value or 1)]) + contents[at + 1 :]


def _set_word(contents: bytes, edit: Edit) -> bytes:
    at = edit.place % (len(contents) + 1)
    return contents[:at] + bytes([edit.value]) * 4 + contents[at + 4 :]


def _cut(contents: bytes, edit: Edit) -> bytes:
    return contents[: edit.place % (len(contents) + 1)]


def _lengthen(contents: bytes, edit: Edit) -> bytes:
    return contents + bytes([edit.value]) * (edit.place % 600)


def _repeat(contents: bytes, edit: Edit) -> bytes:
    return contents * (2 + edit.value % 30)


def _delete(packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing) -> RawPacket:
    return _with(packet, edit.tlv % len(packet.tlvs)) if packet.tlvs else packet


def _double(packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing) -> RawPacket:
    if not packet.tlvs:
        return packet
    at = edit.tlv % len(packet.tlvs)
    return _with(packet, at, *(packet.tlvs[at],) * (2 + edit.value % 3))


def _retype(packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing) -> RawPacket:
    if not packet.tlvs:
        return packet
    at = edit.tlv % len(packet.tlvs)
    number = KNOWN_TYPES[edit.value % len(KNOWN_TYPES)] if edit.value < 0xF0 else edit.place
    return _sorted(_with(packet, at, (number, packet.tlvs[at][1])))


def _insert(packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing) -> RawPacket:
    return _sorted(replace(packet, tlvs=(*packet.tlvs, library[-1 - edit.place % len(library)])))


def _substitute(
    packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing
) -> RawPacket:
    """Contents of another packet's parameter of the same type."""
    if not packet.tlvs:
        return packet
    at = edit.tlv % len(packet.tlvs)
    number = packet.tlvs[at][0]
    alike = [one for one in library if one[0] == number]
    return _with(packet, at, alike[-1 - edit.place % len(alike)]) if alike else packet


def _swap(packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing) -> RawPacket:
    if len(packet.tlvs) < 2:
        return packet
    tlvs = list(packet.tlvs)
    one, other = edit.tlv % len(tlvs), edit.value % len(tlvs)
    tlvs[one], tlvs[other] = tlvs[other], tlvs[one]
    return replace(packet, tlvs=tuple(tlvs))


def _sorted(packet: RawPacket) -> RawPacket:
    return replace(packet, tlvs=tuple(sorted(packet.tlvs, key=lambda one: one[0])))


def _set_header(
    packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing
) -> RawPacket:
    at = edit.place % len(packet.header)
    header = packet.header[:at] + bytes([edit.value]) + packet.header[at + 1 :]
    return replace(packet, header=header)


def _exchange_hits(
    packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing
) -> RawPacket:
    """Null receiver, swapped HITs, one HIT twice, or a sender that nobody knows."""
    sender, receiver = packet.header[8:24], packet.header[24:40]
    stranger = sender[:15] + bytes([edit.value])
    pairs = (
        (sender, bytes(16)),
        (receiver, sender),
        (receiver, receiver),
        (sender, sender),
        (stranger, receiver),
        (bytes(16), receiver),
    )
    return replace(packet, header=packet.header[:8] + b"".join(pairs[edit.place % len(pairs)]))


def _in_plaintext(
    packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing
) -> RawPacket:
    """Change what is inside ENCRYPTED, and encrypt it again."""
    numbers = [number for number, _ in packet.tlvs]
    keying = sealing.keying
    if keying is None or ParameterType.ENCRYPTED not in numbers:
        return packet
    at = numbers.index(ParameterType.ENCRYPTED)
    contents = packet.tlvs[at][1]
    head, secret = contents[:ENCRYPTED_HEAD_OCTETS], contents[ENCRYPTED_HEAD_OCTETS:]
    key = keying.hip.encryption_out
    try:
        plain = keying.protection.decrypt(key, secret)
        change = (_set_octet, _flip, _set_word, _cut, _lengthen)[edit.tlv % 5]
        plain = change(plain, edit)[:CONTENTS_MOST]
        plain = plain.ljust(-(-len(plain) // AES_IV_OCTETS) * AES_IV_OCTETS, b"\0")
        secret = keying.protection.encrypt(key, secret[:AES_IV_OCTETS], plain)
    except CryptoError:
        return packet
    return _with(packet, at, (int(ParameterType.ENCRYPTED), head + secret))


def _add_tail(packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing) -> RawPacket:
    return replace(packet, tail=bytes([edit.value]) * (edit.place % 64))


def _rekey(packet: RawPacket, edit: Edit, library: Sequence[Tlv], sealing: Sealing) -> RawPacket:
    """An ESP_INFO that could be right: SPIs and KEYMAT index of the signer."""
    spis, keying = sealing.signer.spis() or [0], sealing.keying
    old = spis[edit.tlv % len(spis)]
    new = (old, 0, 0x1000 + edit.value)[edit.place % 3]
    index = 0 if keying is None or edit.place & 4 else keying.esp.keymat_index_after
    info = int(ParameterType.ESP_INFO), EspInfo(index, old, new).contents()
    others = tuple(one for one in packet.tlvs if one[0] != info[0])
    return _sorted(replace(packet, tlvs=(info, *others)))


Verb = Callable[[RawPacket, Edit, Sequence[Tlv], Sealing], RawPacket]

VERBS: tuple[Verb, ...] = (
    _on_contents(_set_octet),
    _on_contents(_flip),
    _on_contents(_set_word),
    _on_contents(_cut),
    _on_contents(_lengthen),
    _on_contents(_repeat),
    _delete,
    _double,
    _retype,
    _insert,
    _insert,
    _substitute,
    _substitute,
    _swap,
    _set_header,
    _exchange_hits,
    _in_plaintext,
    _add_tail,
    _rekey,
)
