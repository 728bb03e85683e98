"""Parameters whose layout HIPv1 had otherwise (RFC 5201 section 5.2).

Each derives from its successor in HIPv2 where both carry the same values, so that
`packet.require(Puzzle)` finds either.  What is not here has one layout in both versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.wire.number_lists import emit_u16_list, parse_u16_list
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType
from hipgw.wire.parameters.exchange import SUITES_MAX, Puzzle, R1Counter, Solution
from hipgw.wire.parameters.identity import HostId
from hipgw.wire.parameters.proofs import HipMac, HipMac2, HipSignature, HipSignature2

DNSKEY_FLAGS: Final = 0x0202
DNSKEY_PROTOCOL: Final = 0xFF
"""What deployed hosts write at the head of a Host Identity; nobody checks it."""
DH_VALUES_MAX: Final = 2

_PUZZLE: Final = Struct("!BB2s8s")
_SOLUTION: Final = Struct("!BB2s8s8s")
_OPAQUE_OCTETS: Final = 2
_NONCE_OCTETS: Final = 8
_DH_HEAD: Final = Struct("!BH")
_HOST_ID_HEAD: Final = Struct("!HH")
_DNSKEY_HEAD: Final = Struct("!HBB")
_DI_OCTETS_MAX: Final = 0x0FFF
_DI_TYPE_MAX: Final = 15
_MAC_OCTETS: Final = frozenset({16, 20})
"""HMAC-MD5 and HMAC-SHA-1, the only ones that HIP_TRANSFORM of RFC 5201 knows."""


@dataclass(frozen=True, slots=True)
class R1CounterV1(R1Counter):
    """Generation of valid puzzles; not critical, and its echo is optional (5.2.3)."""

    TYPE: ClassVar[int] = ParameterType.R1_COUNTER_V1


@dataclass(frozen=True, slots=True)
class PuzzleV1(Puzzle):
    """A puzzle whose random I has 64 bits (5.2.4)."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """K u8, lifetime u8, opaque 2 octets, I 8 octets."""
        if len(contents) != _PUZZLE.size:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, not {_PUZZLE.size}")
        return cls(*_PUZZLE.unpack(contents))

    def contents(self) -> bytes:
        """12 octets."""
        if len(self.opaque) != _OPAQUE_OCTETS or len(self.i) != _NONCE_OCTETS:
            raise LocalProtocolError("PUZZLE of HIPv1: opaque has 2 octets, I has 8")
        return _PUZZLE.pack(self.k, self.lifetime, self.opaque, self.i)


@dataclass(frozen=True, slots=True)
class SolutionV1(Solution):
    """A solution: I and J of 64 bits (5.2.5)."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """K u8, reserved u8 (ignored by receivers), opaque 2 octets, I and J 8 octets each."""
        if len(contents) != _SOLUTION.size:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, not {_SOLUTION.size}")
        k, reserved, opaque, i, j = _SOLUTION.unpack(contents)
        return cls(k, opaque, i, j, reserved)

    def contents(self) -> bytes:
        """20 octets."""
        if len(self.opaque) != _OPAQUE_OCTETS or {len(self.i), len(self.j)} != {_NONCE_OCTETS}:
            raise LocalProtocolError("SOLUTION of HIPv1: opaque has 2 octets, I and J have 8")
        return _SOLUTION.pack(self.k, self.reserved, self.opaque, self.i, self.j)


@dataclass(frozen=True, slots=True)
class DhPublicValue:
    """A public value of one Diffie-Hellman group."""

    group: int
    public: bytes


@dataclass(frozen=True, slots=True)
class DiffieHellmanV1(Parameter):
    """One public value, or two of different strength in an R1; an I2 answers one (5.2.6)."""

    TYPE: ClassVar[int] = ParameterType.DIFFIE_HELLMAN

    values: tuple[DhPublicValue, ...]

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Group u8, length u16 and public value, once or twice, and nothing behind it."""
        values: list[DhPublicValue] = []
        offset, end = 0, len(contents)
        while offset < end or not values:
            if len(values) == DH_VALUES_MAX:
                raise ParameterError(cls.TYPE, f"{end - offset} octets after two public values")
            if end - offset < _DH_HEAD.size:
                raise ParameterError(cls.TYPE, f"{end - offset} octets left of a public value")
            group, length = _DH_HEAD.unpack_from(contents, offset)
            offset += _DH_HEAD.size
            if length > end - offset:
                raise ParameterError(cls.TYPE, f"public value of {length} octets in {end - offset}")
            values.append(DhPublicValue(group, contents[offset : offset + length]))
            offset += length
        return cls(tuple(values))

    def contents(self) -> bytes:
        """3 + len(public) octets per value."""
        if not 1 <= len(self.values) <= DH_VALUES_MAX:
            raise LocalProtocolError(
                f"DIFFIE_HELLMAN of HIPv1: {len(self.values)} public values, 1 or 2 are possible"
            )
        return b"".join(
            _DH_HEAD.pack(value.group, len(value.public)) + value.public for value in self.values
        )


@dataclass(frozen=True, slots=True)
class HipTransformList(Parameter):
    """HIP transform suites in order of preference; exactly one in an I2 (5.2.7)."""

    TYPE: ClassVar[int] = ParameterType.HIP_TRANSFORM

    suites: tuple[int, ...]

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """16-bit ids; the first six count, the rest is dropped."""
        return cls(parse_u16_list(cls.TYPE, contents)[:SUITES_MAX])

    def contents(self) -> bytes:
        """2 octets per suite, at most six."""
        if len(self.suites) > SUITES_MAX:
            raise LocalProtocolError(f"HIP_TRANSFORM: {len(self.suites)} ids, at most {SUITES_MAX}")
        return emit_u16_list(self.suites)


@dataclass(frozen=True, slots=True)
class HostIdV1(HostId):
    """A Host Identity as DNSKEY data, and perhaps a Domain Identifier (5.2.8).

    Attributes:
        algorithm: DNSKEY algorithm: 3 DSA, 5 RSA.
        hi: the public key without the DNSKEY head, of which the HIT is the hash.
        flags: of the DNSKEY head.
        protocol: of the DNSKEY head.
    """

    flags: int = DNSKEY_FLAGS
    protocol: int = DNSKEY_PROTOCOL

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """HI length u16, DI type 4 bits and length 12 bits, flags u16, protocol u8, algorithm u8.

        Then key and DI; HI length counts the four octets from flags to algorithm.
        """
        least = _HOST_ID_HEAD.size + _DNSKEY_HEAD.size
        if len(contents) < least:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, the least is {least}")
        hi_octets, di_field = _HOST_ID_HEAD.unpack_from(contents)
        di_type, di_octets = di_field >> 12, di_field & _DI_OCTETS_MAX
        if _HOST_ID_HEAD.size + hi_octets + di_octets != len(contents):
            raise ParameterError(
                cls.TYPE, f"HI of {hi_octets} and DI of {di_octets} octets in {len(contents)}"
            )
        if hi_octets < _DNSKEY_HEAD.size:
            raise ParameterError(cls.TYPE, f"HI of {hi_octets} octets has no DNSKEY head")
        if not di_type and di_octets:
            raise ParameterError(cls.TYPE, f"DI of {di_octets} octets of type 0 (none)")
        flags, protocol, algorithm = _DNSKEY_HEAD.unpack_from(contents, _HOST_ID_HEAD.size)
        end = _HOST_ID_HEAD.size + hi_octets
        return cls(algorithm, contents[least:end], di_type, contents[end:], flags, protocol)

    def contents(self) -> bytes:
        """8 + len(hi) + len(di) octets."""
        if not 0 <= self.di_type <= _DI_TYPE_MAX or len(self.di) > _DI_OCTETS_MAX:
            raise LocalProtocolError(f"HOST_ID: DI type {self.di_type}, {len(self.di)} octets")
        if self.di and not self.di_type:
            raise LocalProtocolError("HOST_ID: a DI needs a type, 1 (FQDN) or 2 (NAI)")
        dnskey = _DNSKEY_HEAD.pack(self.flags, self.protocol, self.algorithm) + self.hi
        return _HOST_ID_HEAD.pack(len(dnskey), self.di_type << 12 | len(self.di)) + dnskey + self.di


def _parse_mac(parameter_type: int, contents: bytes) -> bytes:
    if len(contents) not in _MAC_OCTETS:
        raise ParameterError(parameter_type, f"MAC of {len(contents)} octets, not 16 or 20")
    return contents


def _emit_mac(parameter_type: int, mac: bytes) -> bytes:
    if len(mac) not in _MAC_OCTETS:
        raise LocalProtocolError(f"parameter {parameter_type}: MAC of {len(mac)} octets")
    return mac


@dataclass(frozen=True, slots=True)
class HipMacV1(HipMac):
    """HMAC of RFC 5201 section 5.2.9: HMAC-SHA-1 or HMAC-MD5."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """The MAC, 20 or 16 octets."""
        return cls(_parse_mac(cls.TYPE, contents))

    def contents(self) -> bytes:
        """The MAC."""
        return _emit_mac(self.TYPE, self.mac)


@dataclass(frozen=True, slots=True)
class HipMac2V1(HipMac2):
    """HMAC_2 of RFC 5201 section 5.2.10: the same over the sender's HOST_ID as well."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """The MAC, 20 or 16 octets."""
        return cls(_parse_mac(cls.TYPE, contents))

    def contents(self) -> bytes:
        """The MAC."""
        return _emit_mac(self.TYPE, self.mac)


def split_signature(parameter_type: int, contents: bytes) -> tuple[int, bytes]:
    """Algorithm u8 and signature; ParameterError when there is no signature."""
    if len(contents) <= 1:
        raise ParameterError(parameter_type, f"{len(contents)} octets hold no signature")
    return contents[0], contents[1:]


def join_signature(parameter_type: int, algorithm: int, signature: bytes) -> bytes:
    """Algorithm u8 and signature; LocalProtocolError when there is no signature."""
    if not signature:
        raise LocalProtocolError(f"parameter {parameter_type} without a signature")
    return algorithm.to_bytes(1) + signature


@dataclass(frozen=True, slots=True)
class HipSignatureV1(HipSignature):
    """Signature whose algorithm field has one octet (5.2.11)."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Algorithm u8, signature."""
        return cls(*split_signature(cls.TYPE, contents))

    def contents(self) -> bytes:
        """1 + len(signature) octets."""
        return join_signature(self.TYPE, self.algorithm, self.signature)


@dataclass(frozen=True, slots=True)
class HipSignature2V1(HipSignature2):
    """Signature of an R1 whose algorithm field has one octet (5.2.12)."""

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Algorithm u8, signature."""
        return cls(*split_signature(cls.TYPE, contents))

    def contents(self) -> bytes:
        """1 + len(signature) octets."""
        return join_signature(self.TYPE, self.algorithm, self.signature)
