"""Dialects of peers that leave the RFCs, as the operator's compatibility switches name it.

What each switch changes is one line here, in the method that it bears upon; `values/quirks.py` says
why, and what it costs.  No switch skips a check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hipgw.crypto import (
    DhPrivateKey,
    HipKeys,
    PuzzleRule,
    left_aligned_secret,
    puzzle_is_solved,
    puzzle_v1_is_solved,
    solve_puzzle,
    solve_puzzle_v1,
    unpadded_secret,
)
from hipgw.crypto.keymat import KeymatStream
from hipgw.proto.config import EndpointConfig
from hipgw.proto.dialect import Dialect
from hipgw.proto.dialect_v1 import DialectV1
from hipgw.proto.dialect_v2 import DialectV2
from hipgw.proto.keying import Proposal, Protection
from hipgw.proto.local_identity import LocalIdentity
from hipgw.values import FULL_ICV_OF, DhGroup, EspSuite, Hit, HitSuite, Quirk
from hipgw.wire import (
    DhGroupList,
    HipPacket,
    HipSignature,
    HipSignature2,
    PacketType,
    Parameter,
    ParameterType,
    R1Counter,
    ShortHipSignature,
    ShortHipSignature2,
    append_parameter,
    covered_octets,
    find_tlv,
    parse_packet,
)
from hipgw.wire.framing import TLV_HEAD_OCTETS

_AGREED: Final = {full: suite for suite, full in FULL_ICV_OF.items()}


@dataclass(frozen=True, slots=True)
class QuirkyDialect(Dialect):
    """What switches change in either version of HIP."""

    # --- packets ---

    def parse(self, octets: bytes) -> HipPacket:
        """With the layouts and the order of the peer."""
        versions = frozenset({self.VERSION})
        return parse_packet(octets, versions=versions, quirks=self.quirks)

    @property
    def hides_host_id(self) -> bool:
        """Unless the peer cannot read it then."""
        return Quirk.CLEAR_HOST_ID not in self.quirks

    # --- keys ---

    def shared_secret(self, dh: DhPrivateKey, dh_peer: bytes) -> bytes:
        """Kij as the peer hashes it."""
        kij = dh.exchange(dh_peer)
        if Quirk.UNPADDED_DH_SECRET in self.quirks:
            return unpadded_secret(kij)
        if Quirk.LEFT_ALIGNED_DH_SECRET in self.quirks:
            return left_aligned_secret(kij)
        return kij

    @property
    def rekeys_with_dh(self) -> bool:
        """For peers that do not agree with us on the KEYMAT index of a rekey."""
        return Quirk.DH_IN_EVERY_REKEY in self.quirks


@dataclass(frozen=True, slots=True)
class QuirkyV2(QuirkyDialect, DialectV2):
    """HIPv2 as some peers speak it."""

    # --- signatures ---

    def with_signature(self, octets: bytes, local: LocalIdentity) -> bytes:
        """In an R2 perhaps HIP_SIGNATURE_2; perhaps with an algorithm field of one octet."""
        is_second = octets[2] & 0x7F == PacketType.R2 and Quirk.R2_SIGNATURE_2 in self.quirks
        algorithm, signature = int(local.public.algorithm), local.sign(octets)
        kind: type[HipSignature | HipSignature2]
        if Quirk.ONE_OCTET_SIGNATURE_ALGORITHM in self.quirks:
            kind = ShortHipSignature2 if is_second else ShortHipSignature
        else:
            kind = HipSignature2 if is_second else HipSignature
        return append_parameter(octets, kind(algorithm, signature))

    def r1_as_sent(self, octets: bytes) -> bytes:
        """An R1 made for everybody; its signature, which nothing covers, in the peer's layout."""
        if Quirk.ONE_OCTET_SIGNATURE_ALGORITHM not in self.quirks:
            return octets
        found = find_tlv(octets, ParameterType.HIP_SIGNATURE_2)
        if found is None:
            return octets
        offset, _ = found
        length = int.from_bytes(octets[offset + 2 : offset + TLV_HEAD_OCTETS], "big")
        start = offset + TLV_HEAD_OCTETS
        signature = HipSignature2.parse(octets[start : start + length])
        before = covered_octets(octets, ParameterType.HIP_SIGNATURE_2)
        return append_parameter(
            before, ShortHipSignature2(signature.algorithm, signature.signature)
        )

    def r2_signature(self, packet: HipPacket) -> HipSignature | HipSignature2:
        """HIP_SIGNATURE_2 if the peer puts it there."""
        found = packet.get(HipSignature2)
        if found is not None and Quirk.R2_SIGNATURE_2 in self.quirks:
            return found
        return packet.require(HipSignature)

    # --- what is offered, and what is chosen ---

    def group_for_i1(self, packet: HipPacket, config: EndpointConfig) -> DhGroup:
        """Perhaps by the order of the peer, which is the one that it goes by."""
        if Quirk.INITIATOR_DH_ORDER in self.quirks:
            ours = self.dh_groups(config)
            for group in packet.require(DhGroupList).groups:
                if group in ours:
                    return DhGroup(group)
        return DialectV2.group_for_i1(self, packet, config)

    def esp_offer(self, suites: Sequence[EspSuite]) -> tuple[Parameter, ...]:
        """By the numbers that are agreed on: how long an ICV is, they do not say."""
        agreed = tuple(_AGREED.get(suite, suite) for suite in suites)
        return DialectV2.esp_offer(self, agreed)

    def proposal_from_r1(self, packet: HipPacket, config: EndpointConfig) -> Proposal:
        """The suite with the ICV of the peer."""
        return self._with_icv(DialectV2.proposal_from_r1(self, packet, config))

    def proposal_from_i2(self, packet: HipPacket, config: EndpointConfig) -> Proposal:
        """The suite with the ICV of the peer."""
        return self._with_icv(DialectV2.proposal_from_i2(self, packet, config))

    def _with_icv(self, proposal: Proposal) -> Proposal:
        if Quirk.FULL_LENGTH_ICV not in self.quirks:
            return proposal
        suite = proposal.esp_suite
        return replace(proposal, esp_suite=FULL_ICV_OF.get(suite, suite))

    def counter_is_right(self, packet: HipPacket, counter: int) -> bool:
        """A peer may leave it out; what it says must be right."""
        if Quirk.NO_R1_COUNTER_ECHO in self.quirks and packet.get(R1Counter) is None:
            return True
        return DialectV2.counter_is_right(self, packet, counter)

    # --- the puzzle ---

    def puzzle_is_solved(self, k: int, hits: tuple[Hit, Hit], nonces: tuple[bytes, bytes]) -> bool:
        """With the HITs in the peer's order."""
        i, j = nonces
        return puzzle_is_solved(HitSuite(hits[1].suite), k, i, *self._hashed(hits), j)

    def solve_puzzle(
        self, k: int, hits: tuple[Hit, Hit], i: bytes, *, start_j: bytes, tries: int
    ) -> bytes | None:
        """With the HITs in the peer's order, and perhaps a bit more than it asks for."""
        suite = HitSuite(hits[1].suite)
        if Quirk.EXTRA_PUZZLE_BIT in self.quirks and k % 8:
            k += 1
        return solve_puzzle(suite, k, i, *self._hashed(hits), start_j=start_j, tries=tries)

    def _hashed(self, hits: tuple[Hit, Hit]) -> tuple[Hit, Hit]:
        return hits[::-1] if Quirk.REVERSED_PUZZLE_HITS in self.quirks else hits

    # --- keys ---

    def hip_keys(
        self, keymat: KeymatStream, protection: Protection, local: Hit, peer: Hit
    ) -> HipKeys:
        """The MAC keys perhaps the other way round."""
        keys = protection.hip_keys(keymat, local, peer)
        swapped = {Quirk.SWAPPED_MAC_KEYS, Quirk.SWAPPED_EXCHANGE_MAC_KEYS}
        return keys.with_mac_keys_swapped() if self.quirks & swapped else keys

    def mac_keys_after_exchange(self, keys: HipKeys) -> tuple[bytes, bytes]:
        """Perhaps those of the RFC again."""
        if Quirk.SWAPPED_EXCHANGE_MAC_KEYS in self.quirks:
            return keys.mac_in, keys.mac_out
        return keys.mac_out, keys.mac_in

    @property
    def receives_with_their_spi(self) -> bool:
        """As its switch says."""
        return Quirk.RESPONDER_SPI in self.quirks


@dataclass(frozen=True, slots=True)
class QuirkyV1(QuirkyDialect, DialectV1):
    """HIPv1 as some peers speak it."""

    # --- the puzzle ---

    def puzzle_is_solved(self, k: int, hits: tuple[Hit, Hit], nonces: tuple[bytes, bytes]) -> bool:
        """By the bits that the peer looks at."""
        i, j = nonces
        return puzzle_v1_is_solved(k, i, *hits, j, rule=self._rule)

    def solve_puzzle(
        self, k: int, hits: tuple[Hit, Hit], i: bytes, *, start_j: bytes, tries: int
    ) -> bytes | None:
        """For the bits that the peer looks at."""
        return solve_puzzle_v1(k, i, *hits, start_j=start_j, tries=tries, rule=self._rule)

    @property
    def _rule(self) -> PuzzleRule:
        is_openhip = Quirk.LITTLE_ENDIAN_PUZZLE in self.quirks
        return PuzzleRule.OPENHIP if is_openhip else PuzzleRule.RFC_5201
