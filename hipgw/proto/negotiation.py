"""Choosing among proposals: pure functions that return a choice or raise `RefusedError`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from hipgw.proto.config import EndpointConfig
from hipgw.proto.packets import ESP_FORMAT
from hipgw.proto.refusals import RefusedError
from hipgw.values import WEAK_DH_GROUPS, DhGroup, EspSuite, HipCipher, NotifyType
from hipgw.wire import (
    DhGroupList,
    DiffieHellman,
    EspTransform,
    HipCipherList,
    HipPacket,
    TransportFormatList,
)

IDS_MOST = 6
"""Suite ids of a list that count; the rest is ignored (RFC 7401 section 5.2.8)."""


class UnacceptableError(RefusedError):
    """An authentic R1 with which no exchange can come about: asking again would not help."""


def first_common(preferred: Iterable[int], acceptable: Collection[int]) -> int | None:
    """The first of `preferred` that is also in `acceptable`."""
    return next((number for number in preferred if number in acceptable), None)


def group_for_i1(offered: Sequence[int], ours: Sequence[DhGroup], *, is_legacy: bool) -> DhGroup:
    """The group of the R1: first of our list that the I1 offers, else our first (5.2.6, 6.7).

    Raises:
        RefusedError: the configuration has weak groups only, and does not allow them the peer.
    """
    for group in ours:
        if group in offered and (is_legacy or group not in WEAK_DH_GROUPS):
            return group
    for group in ours:
        if is_legacy or group not in WEAK_DH_GROUPS:
            return group
    raise RefusedError("dh_group")


def acceptable_groups(config: EndpointConfig, *, is_legacy: bool) -> tuple[DhGroup, ...]:
    """Our groups, weak ones only for peers that the configuration allows them."""
    return config.dh_groups if is_legacy else _without_weak(config.dh_groups)


@lru_cache(maxsize=16)
def _without_weak(groups: tuple[DhGroup, ...]) -> tuple[DhGroup, ...]:
    return tuple(group for group in groups if group not in WEAK_DH_GROUPS)


class Choice(NamedTuple):
    """Group, HIP cipher and ESP suite of one exchange."""

    group: DhGroup
    public: bytes
    cipher: HipCipher
    esp_suite: EspSuite


_GROUPS: Final = {int(group): group for group in DhGroup}
_CIPHERS: Final = {int(cipher): cipher for cipher in HipCipher}
_ESP_SUITES: Final = {int(suite): suite for suite in EspSuite}
"""Members by number, which takes less time than to call their class."""


def proposal_from_r1(
    packet: HipPacket, config: EndpointConfig, groups: Sequence[DhGroup]
) -> Choice:
    """Choose group and suites for our I2; the signature of the R1 has been verified.

    Args:
        packet: the R1.
        config: ours.
        groups: that our I1 offered.

    Raises:
        UnacceptableError: nothing in common.
        RefusedError: the group is not the one our I1 asks for - a downgrade (section 4.1.7).
    """
    public = packet.require(DiffieHellman)
    expected = first_common(packet.require(DhGroupList).groups, groups)
    if expected is None:
        raise UnacceptableError("dh_group", NotifyType.NO_DH_PROPOSAL_CHOSEN)
    if public.group != expected:
        raise RefusedError("dh_group")
    cipher = first_common(packet.require(HipCipherList).ciphers[:IDS_MOST], config.hip_ciphers)
    if cipher is None:
        raise UnacceptableError("hip_cipher", NotifyType.NO_HIP_PROPOSAL_CHOSEN)
    if ESP_FORMAT not in packet.require(TransportFormatList).formats:
        raise UnacceptableError("transport_format", NotifyType.NO_ESP_PROPOSAL_CHOSEN)
    esp_suite = first_common(packet.require(EspTransform).suites[:IDS_MOST], config.esp_suites)
    if esp_suite is None:
        raise UnacceptableError("esp_suite", NotifyType.NO_ESP_PROPOSAL_CHOSEN)
    return Choice(_GROUPS[expected], public.public, _CIPHERS[cipher], _ESP_SUITES[esp_suite])


def proposal_from_i2(
    packet: HipPacket, config: EndpointConfig, groups: Sequence[DhGroup]
) -> Choice:
    """Check what an Initiator chose against what our R1 offers; its puzzle is solved.

    Raises:
        RefusedError: something that we did not offer, with the NOTIFY that says so.
        WireError: a parameter is missing.
    """
    public = packet.require(DiffieHellman)
    if public.group not in groups:
        raise RefusedError("dh_group", NotifyType.INVALID_DH_CHOSEN)
    ciphers = packet.require(HipCipherList).ciphers
    if len(ciphers) != 1 or ciphers[0] not in config.hip_ciphers:
        raise RefusedError("hip_cipher", NotifyType.INVALID_HIP_CIPHER_CHOSEN)
    if ESP_FORMAT not in packet.require(TransportFormatList).formats:
        raise RefusedError("transport_format", NotifyType.INVALID_ESP_TRANSFORM_CHOSEN)
    suites = packet.require(EspTransform).suites
    if len(suites) != 1 or suites[0] not in config.esp_suites:
        raise RefusedError("esp_suite", NotifyType.INVALID_ESP_TRANSFORM_CHOSEN)
    return Choice(
        _GROUPS[public.group], public.public, _CIPHERS[ciphers[0]], _ESP_SUITES[suites[0]]
    )
