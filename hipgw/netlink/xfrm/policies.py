"""XFRM policies to octets and back: NEWPOLICY, UPDPOLICY, DELPOLICY, GETPOLICY, MIGRATE."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from hipgw.netlink.xfrm.octets import (
    WORD_BE,
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
    SELECTOR_OCTETS,
    known,
    pack_lifetime,
    pack_selector,
    parse_lifetime,
    parse_mark,
    parse_selector,
    write_mark,
)
from hipgw.netlink.xfrm.states import ID_TAIL, write_encapsulation
from hipgw.netlink.xfrm.uapi import (
    ALL_ALGORITHMS,
    NLM_F_CREATE,
    NLM_F_EXCL,
    Attribute,
    MessageType,
    Mode,
    PolicyAction,
    PolicyDirection,
    PolicyFlag,
)
from hipgw.netlink.xfrm.values import (
    Encapsulation,
    Migration,
    PolicyId,
    Selector,
    Template,
    XfrmPolicy,
)

POLICY_OCTETS: Final = 168
"""struct xfrm_userpolicy_info."""
POLICY_TAIL: Final = struct.Struct("=II4B4x")
POLICY_ID_TAIL: Final = struct.Struct("=IB3x")
POLICY_ID_OCTETS: Final = 64
TEMPLATE_OCTETS: Final = 64
TEMPLATE_TAIL: Final = struct.Struct("=I3Bx3I")
FAMILY: Final = struct.Struct("=H2x")
MIGRATE_TAIL: Final = struct.Struct("=2BHI2H")
MOST_TEMPLATES: Final = 6
"""XFRM_MAX_DEPTH."""


def new_policy(policy: XfrmPolicy) -> MessageWriter:
    """NEWPOLICY: a policy that must not be there yet."""
    return _policy_request(MessageType.NEWPOLICY, policy, NLM_F_CREATE | NLM_F_EXCL)


def update_policy(policy: XfrmPolicy) -> MessageWriter:
    """UPDPOLICY: takes the place of one with the same selector, direction and mark at once."""
    return _policy_request(MessageType.UPDPOLICY, policy, 0)


def delete_policy(name: PolicyId) -> MessageWriter:
    """DELPOLICY, by index where there is one."""
    writer = MessageWriter(MessageType.DELPOLICY)
    _write_policy_id(writer, name)
    return writer


def dump_policies() -> MessageWriter:
    """GETPOLICY of all."""
    return MessageWriter(MessageType.GETPOLICY)


def migrate(
    selector: Selector,
    direction: PolicyDirection,
    moves: Sequence[Migration],
    encapsulation: Encapsulation | None = None,
) -> MessageWriter:
    """MIGRATE: one request for each direction of a policy.

    Args:
        selector: of the policy.
        direction: of the policy.
        moves: old and new addresses.
        encapsulation: new UDP ports; None keeps those that are there.

    Raises:
        ValueError: no move, or more than a policy can have templates.
    """
    if not 1 <= len(moves) <= MOST_TEMPLATES:
        raise ValueError(f"{len(moves)} moves, 1 to {MOST_TEMPLATES} work")
    writer = MessageWriter(MessageType.MIGRATE)
    _write_policy_id(writer, PolicyId(selector, direction))
    writer.attribute(Attribute.MIGRATE, *(_pack_migration(move) for move in moves))
    if encapsulation is not None:
        write_encapsulation(writer, encapsulation)
    return writer


def _policy_request(kind: MessageType, policy: XfrmPolicy, flags: int) -> MessageWriter:
    if len(policy.templates) > MOST_TEMPLATES:
        raise ValueError(f"{len(policy.templates)} templates, at most {MOST_TEMPLATES} work")
    writer = MessageWriter(kind, flags)
    writer.put(pack_selector(policy.selector) + pack_lifetime(policy.lifetime) + bytes(32))
    tail = (policy.priority, policy.index, policy.direction, policy.action, policy.flags, 0)
    writer.put(POLICY_TAIL.pack(*tail))
    if policy.templates:
        writer.attribute(Attribute.TMPL, *(_pack_template(one) for one in policy.templates))
    write_mark(writer, policy.mark, policy.if_id)
    return writer


def _write_policy_id(writer: MessageWriter, name: PolicyId) -> None:
    writer.put(pack_selector(name.selector) + POLICY_ID_TAIL.pack(name.index, name.direction))
    write_mark(writer, name.mark, name.if_id)


def _pack_template(template: Template) -> bytes:
    return b"".join(
        (
            pack_address(template.destination),
            WORD_BE.pack(template.spi),
            ID_TAIL.pack(template.protocol),
            FAMILY.pack(family_of(template.destination)),
            pack_address(template.source),
            TEMPLATE_TAIL.pack(
                template.reqid,
                template.mode,
                0,
                template.optional,
                ALL_ALGORITHMS,
                ALL_ALGORITHMS,
                ALL_ALGORITHMS,
            ),
        )
    )


def _pack_migration(move: Migration) -> bytes:
    addresses = (move.old_destination, move.old_source, move.new_destination, move.new_source)
    old, new = family_of(move.old_destination), family_of(move.new_destination)
    tail = MIGRATE_TAIL.pack(move.protocol, move.mode, 0, move.reqid, old, new)
    return b"".join(pack_address(address) for address in addresses) + tail


def parse_policy(body: memoryview) -> XfrmPolicy:
    """The body of a NEWPOLICY or UPDPOLICY message.

    Raises:
        XfrmFormatError: whatever is wrong with it.
    """
    info = take(body, POLICY_OCTETS, "policy")
    return parse_policy_info(info, read_attributes(body[POLICY_OCTETS:]))


def parse_policy_info(info: memoryview, attributes: Mapping[int, memoryview]) -> XfrmPolicy:
    """An xfrm_userpolicy_info and the attributes that belong to it.

    Raises:
        XfrmFormatError: also for a policy of a socket, which has no place in the table.
    """
    take(info, POLICY_OCTETS, "policy")
    priority, index, direction, action, flags, _ = POLICY_TAIL.unpack_from(info, 152)
    selector = parse_selector(info[:SELECTOR_OCTETS])
    if selector is None:
        raise XfrmFormatError("policy whose selector has no family")
    return XfrmPolicy(
        selector=selector,
        direction=known(PolicyDirection, direction),
        templates=parse_templates(attributes.get(Attribute.TMPL)),
        priority=priority,
        action=known(PolicyAction, action),
        index=index,
        flags=PolicyFlag(flags),
        lifetime=parse_lifetime(info[56:120]),
        mark=parse_mark(attributes),
        if_id=optional_word(attributes, Attribute.IF_ID),
    )


def parse_templates(octets: memoryview | None) -> tuple[Template, ...]:
    """An array of xfrm_user_tmpl.

    Raises:
        XfrmFormatError: not a whole number of them.
    """
    if octets is None:
        return ()
    if len(octets) % TEMPLATE_OCTETS:
        raise XfrmFormatError(f"templates of {len(octets)} octets, {TEMPLATE_OCTETS} each")
    return tuple(
        _parse_template(octets[start : start + TEMPLATE_OCTETS])
        for start in range(0, len(octets), TEMPLATE_OCTETS)
    )


def _parse_template(octets: memoryview) -> Template:
    (spi,) = WORD_BE.unpack_from(octets, 16)
    (family,) = FAMILY.unpack_from(octets, 24)
    reqid, mode, _, optional, *_ = TEMPLATE_TAIL.unpack_from(octets, 44)
    return Template(
        source=parse_address(octets[28:44], family),
        destination=parse_address(octets[:16], family),
        mode=known(Mode, mode),
        reqid=reqid,
        spi=spi,
        protocol=octets[20],
        optional=bool(optional),
    )


def parse_policy_id(octets: memoryview) -> PolicyId:
    """xfrm_userpolicy_id.

    Raises:
        XfrmFormatError: cut short, or a direction that is none.
    """
    take(octets, POLICY_ID_OCTETS, "policy id")
    index, direction = POLICY_ID_TAIL.unpack_from(octets, SELECTOR_OCTETS)
    selector = parse_selector(octets[:SELECTOR_OCTETS])
    return PolicyId(selector, known(PolicyDirection, direction), index)
