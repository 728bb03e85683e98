"""XFRM states to octets and back: NEWSA, UPDSA, DELSA, GETSA, ALLOCSPI."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from hipgw.netlink.xfrm.octets import (
    WORD,
    WORD_BE,
    Address,
    MessageWriter,
    XfrmFormatError,
    family_of,
    optional_word,
    pack_address,
    parse_address,
    read_attributes,
    take,
)
from hipgw.netlink.xfrm.parts import (
    known,
    pack_lifetime,
    pack_selector,
    parse_lifetime,
    parse_mark,
    parse_optional_address,
    parse_selector,
    parse_usage,
    write_mark,
)
from hipgw.netlink.xfrm.uapi import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    SPI_LEAST,
    Attribute,
    MessageType,
    Mode,
    StateExtraFlag,
    StateFlag,
)
from hipgw.netlink.xfrm.values import (
    Aead,
    Authentication,
    Cipher,
    Encapsulation,
    Failures,
    Mark,
    Replay,
    ReplayEsn,
    StateId,
    StateReport,
    XfrmState,
)

INFO_OCTETS: Final = 224
"""struct xfrm_usersa_info."""
ID_TAIL: Final = struct.Struct("=B3x")
INFO_TAIL: Final = struct.Struct("=IIHBBB7x")
STATS: Final = struct.Struct("=3I")
STATE_ID_TAIL: Final = struct.Struct("=HBx")
STATE_ID_OCTETS: Final = 24
NAME_AND_BITS: Final = struct.Struct("=64sI")
NAME_BITS_AND_ICV: Final = struct.Struct("=64sII")
ENCAP_HEAD: Final = struct.Struct("=H")
ENCAP_PORTS: Final = struct.Struct("!HH2x")
REPLAY: Final = struct.Struct("=3I")
REPLAY_ESN: Final = struct.Struct("=6I")
LOW: Final = 0xFFFFFFFF


def new_state(state: XfrmState) -> MessageWriter:
    """NEWSA: a state that must not be there yet.

    Raises:
        ValueError: an SPI below 256 or a window that needs `replay_esn`; the kernel takes both.
    """
    return _state_request(MessageType.NEWSA, state, NLM_F_CREATE | NLM_F_EXCL)


def update_state(state: XfrmState) -> MessageWriter:
    """UPDSA: on a state that works, keys and sequence numbers stay; ports and lifetimes change."""
    return _state_request(MessageType.UPDSA, state, 0)


def delete_state(name: StateId) -> MessageWriter:
    """DELSA."""
    return _state_id_request(MessageType.DELSA, name)


def get_state(name: StateId) -> MessageWriter:
    """GETSA of one."""
    return _state_id_request(MessageType.GETSA, name)


def dump_states() -> MessageWriter:
    """GETSA of all."""
    return MessageWriter(MessageType.GETSA)


def allocate_spi(wanted: XfrmState, least: int, most: int) -> MessageWriter:
    """ALLOCSPI: a larval state with a free SPI in a range, for `update_state` to fill."""
    if not SPI_LEAST <= least <= most <= LOW:
        raise ValueError(f"SPIs {least:#x} to {most:#x}: they count from {SPI_LEAST:#x}")
    writer = MessageWriter(MessageType.ALLOCSPI)
    _write_info(writer, wanted)
    writer.put(struct.pack("=II", least, most))
    write_mark(writer, wanted.mark, wanted.if_id)
    return writer


def _state_request(kind: MessageType, state: XfrmState, flags: int) -> MessageWriter:
    if not SPI_LEAST <= state.spi <= LOW:
        raise ValueError(f"SPI {state.spi:#x}: they count from {SPI_LEAST:#x} (RFC 4303 2.1)")
    if not 0 <= state.replay_window <= 32:
        raise ValueError(f"replay window {state.replay_window}: above 32 use replay_esn")
    if StateFlag.ESN in state.flags and state.replay_esn is None:
        raise ValueError("extended sequence numbers need replay_esn")
    writer = MessageWriter(kind, flags)
    _write_info(writer, state)
    _write_algorithms(writer, state)
    _write_options(writer, state)
    write_mark(writer, state.mark, state.if_id)
    return writer


def _write_info(writer: MessageWriter, state: XfrmState) -> None:
    """xfrm_usersa_info; usage and statistics are the kernel's and stay zero."""
    window = 0 if state.replay_esn is not None else state.replay_window
    writer.put(pack_selector(state.selector))
    writer.put(pack_address(state.destination) + WORD_BE.pack(state.spi))
    writer.put(ID_TAIL.pack(state.protocol) + pack_address(state.source))
    writer.put(pack_lifetime(state.lifetime) + bytes(32 + STATS.size))
    writer.put(
        INFO_TAIL.pack(
            state.acquire_sequence,
            state.reqid,
            family_of(state.destination),
            state.mode,
            window,
            state.flags,
        )
    )


def _name(name: str) -> bytes:
    encoded = name.encode("ascii")
    if not 0 < len(encoded) < 64:
        raise ValueError(f"algorithm name of {len(encoded)} octets: {name[:64]!r}")
    return encoded


def _write_algorithms(writer: MessageWriter, state: XfrmState) -> None:
    if state.aead is not None:
        one = state.aead
        head = NAME_BITS_AND_ICV.pack(_name(one.name), 8 * len(one.key), one.icv_bits)
        writer.attribute(Attribute.ALG_AEAD, head, one.key)
    if state.authentication is not None:
        mac = state.authentication
        head = NAME_BITS_AND_ICV.pack(_name(mac.name), 8 * len(mac.key), mac.icv_bits)
        writer.attribute(Attribute.ALG_AUTH_TRUNC, head, mac.key)
    if state.cipher is not None:
        cipher = state.cipher
        head = NAME_AND_BITS.pack(_name(cipher.name), 8 * len(cipher.key))
        writer.attribute(Attribute.ALG_CRYPT, head, cipher.key)


def _write_options(writer: MessageWriter, state: XfrmState) -> None:
    if state.encapsulation is not None:
        write_encapsulation(writer, state.encapsulation)
    if (replay := state.replay) is not None:
        numbers = REPLAY.pack(replay.outbound, replay.inbound, replay.bitmap)
        writer.attribute(Attribute.REPLAY_VAL, numbers)
    if (esn := state.replay_esn) is not None:
        words = esn.bitmap or (0,) * ((esn.window_packets + 31) // 32)
        head = REPLAY_ESN.pack(
            len(words),
            esn.outbound & LOW,
            esn.inbound & LOW,
            esn.outbound >> 32,
            esn.inbound >> 32,
            esn.window_packets,
        )
        writer.attribute(Attribute.REPLAY_ESN_VAL, head, struct.pack(f"={len(words)}I", *words))
    if state.extra_flags:
        writer.attribute(Attribute.SA_EXTRA_FLAGS, WORD.pack(state.extra_flags))
    if state.output_mark is not None:
        writer.attribute(Attribute.SET_MARK, WORD.pack(state.output_mark.value))
        writer.attribute(Attribute.SET_MARK_MASK, WORD.pack(state.output_mark.mask))
    if state.mapping_interval_s is not None:
        writer.attribute(Attribute.MTIMER_THRESH, WORD.pack(state.mapping_interval_s))


def write_encapsulation(writer: MessageWriter, encap: Encapsulation) -> None:
    """XFRMA_ENCAP."""
    original = bytes(16) if encap.original is None else pack_address(encap.original)
    ports = ENCAP_PORTS.pack(encap.source_port, encap.destination_port)
    writer.attribute(Attribute.ENCAP, ENCAP_HEAD.pack(encap.kind) + ports + original)


def _state_id_request(kind: MessageType, name: StateId) -> MessageWriter:
    writer = MessageWriter(kind)
    writer.put(pack_address(name.destination) + WORD_BE.pack(name.spi))
    writer.put(STATE_ID_TAIL.pack(family_of(name.destination), name.protocol))
    write_mark(writer, name.mark, None)
    return writer


def parse_state_id(octets: memoryview) -> StateId:
    """xfrm_usersa_id.

    Raises:
        XfrmFormatError: cut short or of another family.
    """
    take(octets, STATE_ID_OCTETS, "state id")
    family, protocol = STATE_ID_TAIL.unpack_from(octets, 20)
    (spi,) = WORD_BE.unpack_from(octets, 16)
    return StateId(parse_address(octets[:16], family), spi, protocol)


def parse_state(body: memoryview, *, with_keys: bool = False) -> StateReport:
    """The body of a NEWSA or UPDSA message.

    Args:
        body: from the xfrm_usersa_info on.
        with_keys: copy the keys, too; whoever asks wipes them.

    Raises:
        XfrmFormatError: whatever is wrong with it.
    """
    return _report(
        take(body, INFO_OCTETS, "state"), read_attributes(body[INFO_OCTETS:]), with_keys=with_keys
    )


def parse_spi(body: memoryview) -> int:
    """The SPI in the answer to ALLOCSPI."""
    spi: int = WORD_BE.unpack_from(take(body, INFO_OCTETS, "state"), 72)[0]
    return spi


def parse_state_info(info: memoryview, attributes: Mapping[int, memoryview]) -> StateReport:
    """An xfrm_usersa_info whose attributes stand elsewhere, as in an EXPIRE; without keys."""
    return _report(take(info, INFO_OCTETS, "state"), attributes, with_keys=False)


def _report(
    info: memoryview, attributes: Mapping[int, memoryview], *, with_keys: bool
) -> StateReport:
    sequence, reqid, family, mode, window, flags = INFO_TAIL.unpack_from(info, 204)
    (spi,) = WORD_BE.unpack_from(info, 72)
    aead, cipher, authentication = _algorithms(attributes, with_keys=with_keys)
    state = XfrmState(
        source=parse_address(info[80:96], family),
        destination=parse_address(info[56:72], family),
        spi=spi,
        mode=known(Mode, mode),
        selector=parse_selector(info[:56]),
        aead=aead,
        cipher=cipher,
        authentication=authentication,
        protocol=info[76],
        reqid=reqid,
        replay_window=window,
        replay=_replay(attributes),
        replay_esn=_replay_esn(attributes),
        flags=StateFlag(flags),
        extra_flags=StateExtraFlag(optional_word(attributes, Attribute.SA_EXTRA_FLAGS) or 0),
        encapsulation=_encapsulation(attributes),
        lifetime=parse_lifetime(info[96:160]),
        mark=parse_mark(attributes),
        output_mark=_output_mark(attributes),
        if_id=optional_word(attributes, Attribute.IF_ID),
        acquire_sequence=sequence,
        mapping_interval_s=optional_word(attributes, Attribute.MTIMER_THRESH),
    )
    last_used = attributes.get(Attribute.LASTUSED)
    return StateReport(
        state,
        usage=parse_usage(info[160:192]),
        failures=Failures(*STATS.unpack_from(info, 192)),
        last_used_s=None
        if last_used is None
        else struct.unpack("=Q", take(last_used, 8, "last use"))[0],
    )


def _algorithms(
    attributes: Mapping[int, memoryview], *, with_keys: bool
) -> tuple[Aead | None, Cipher | None, Authentication | None]:
    aead = cipher = authentication = None
    if (octets := attributes.get(Attribute.ALG_AEAD)) is not None:
        name, key, icv_bits = _algorithm(octets, NAME_BITS_AND_ICV, with_keys=with_keys)
        aead = Aead(name, key, icv_bits)
    if (octets := attributes.get(Attribute.ALG_CRYPT)) is not None:
        name, key, _ = _algorithm(octets, NAME_AND_BITS, with_keys=with_keys)
        cipher = Cipher(name, key)
    if (octets := attributes.get(Attribute.ALG_AUTH_TRUNC)) is not None:
        name, key, icv_bits = _algorithm(octets, NAME_BITS_AND_ICV, with_keys=with_keys)
        authentication = Authentication(name, key, icv_bits)
    return aead, cipher, authentication


def _algorithm(
    octets: memoryview, head: struct.Struct, *, with_keys: bool
) -> tuple[str, bytearray, int]:
    """Name, key (empty unless wanted) and ICV bits (0 where the structure has none)."""
    fields = head.unpack(take(octets, head.size, "algorithm"))
    key_octets = (fields[1] + 7) // 8
    key = take(octets[head.size :], key_octets, "key")
    try:
        name = fields[0].rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError as error:
        raise XfrmFormatError("algorithm name that is not ASCII") from error
    return name, bytearray(key) if with_keys else bytearray(), fields[2] if len(fields) > 2 else 0


def _encapsulation(attributes: Mapping[int, memoryview]) -> Encapsulation | None:
    octets = attributes.get(Attribute.ENCAP)
    if octets is None:
        return None
    take(octets, 24, "encapsulation")
    (kind,) = ENCAP_HEAD.unpack_from(octets, 0)
    source_port, destination_port = ENCAP_PORTS.unpack_from(octets, 2)
    original: Address | None = parse_optional_address(octets[8:24])
    return Encapsulation(source_port, destination_port, kind, original)


def _replay(attributes: Mapping[int, memoryview]) -> Replay | None:
    octets = attributes.get(Attribute.REPLAY_VAL)
    return None if octets is None else Replay(*REPLAY.unpack(take(octets, REPLAY.size, "replay")))


def _replay_esn(attributes: Mapping[int, memoryview]) -> ReplayEsn | None:
    octets = attributes.get(Attribute.REPLAY_ESN_VAL)
    if octets is None:
        return None
    head = REPLAY_ESN.unpack(take(octets, REPLAY_ESN.size, "replay"))
    words, outbound, inbound, outbound_high, inbound_high, window = head
    bitmap = take(octets[REPLAY_ESN.size :], 4 * words, "replay bitmap")
    if window > min(4096, 32 * words):
        raise XfrmFormatError(f"replay window of {window} packets in {words} words")
    return ReplayEsn(
        window,
        outbound_high << 32 | outbound,
        inbound_high << 32 | inbound,
        struct.unpack(f"={words}I", bitmap),
    )


def _output_mark(attributes: Mapping[int, memoryview]) -> Mark | None:
    value = optional_word(attributes, Attribute.SET_MARK)
    if value is None:
        return None
    mask = optional_word(attributes, Attribute.SET_MARK_MASK)
    return Mark(value, LOW if mask is None else mask)
