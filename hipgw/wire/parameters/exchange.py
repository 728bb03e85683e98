"""Base exchange: R1_COUNTER, PUZZLE, SOLUTION, Diffie-Hellman, ciphers, ENCRYPTED, formats.

RFC 7401 sections 5.2.3 to 5.2.8, 5.2.11 and 5.2.18.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import ClassVar, Final, Self

from hipgw.errors import LocalProtocolError
from hipgw.values.quick_making import quickly_made
from hipgw.wire.number_lists import LISTS_KEPT, emit_u16_list, parse_u16_list
from hipgw.wire.parameter import Parameter, ParameterError
from hipgw.wire.parameter_types import ParameterType

SUITES_MAX: Final = 6
"""Most ids in HIP_CIPHER, ESP_TRANSFORM and NAT_TRAVERSAL_MODE; a receiver drops the rest."""

_COUNTER: Final = Struct("!IQ")
_PUZZLE_HEAD: Final = Struct("!BB2s")
_DH_HEAD: Final = Struct("!BH")
_OPAQUE_OCTETS: Final = 2


@quickly_made
@dataclass(frozen=True, slots=True)
class R1Counter(Parameter):
    """Generation of valid puzzles; the Initiator echoes it, `reserved` included (5.2.3)."""

    TYPE: ClassVar[int] = ParameterType.R1_COUNTER

    counter: int
    reserved: int = 0

    @classmethod
    @lru_cache(LISTS_KEPT)
    def parse(cls, contents: bytes) -> Self:
        """Reserved u32, counter u64."""
        if len(contents) != _COUNTER.size:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, not {_COUNTER.size}")
        reserved, counter = _COUNTER.unpack(contents)
        return cls(counter, reserved)

    def contents(self) -> bytes:
        """12 octets."""
        return _COUNTER.pack(self.reserved, self.counter)


@dataclass(frozen=True, slots=True)
class Puzzle(Parameter):
    """K, lifetime code, opaque data of the Responder and random I (5.2.4).

    The length of `i` follows from the Length field; whether it is RHASH_len, the engine checks.
    """

    TYPE: ClassVar[int] = ParameterType.PUZZLE

    k: int
    lifetime: int
    opaque: bytes
    i: bytes

    @property
    def lifetime_s(self) -> float:
        """Seconds that the lifetime code stands for: 2^(code - 32)."""
        return 2.0 ** (self.lifetime - 32)

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """K u8, lifetime u8, opaque 2 octets, I to the end."""
        if len(contents) <= _PUZZLE_HEAD.size:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets hold no random I")
        k, lifetime, opaque = _PUZZLE_HEAD.unpack_from(contents)
        return cls(k, lifetime, opaque, contents[_PUZZLE_HEAD.size :])

    def contents(self) -> bytes:
        """4 + len(i) octets."""
        if len(self.opaque) != _OPAQUE_OCTETS or not self.i:
            raise LocalProtocolError("PUZZLE: opaque has 2 octets, and I has some")
        return _PUZZLE_HEAD.pack(self.k, self.lifetime, self.opaque) + self.i


@quickly_made
@dataclass(frozen=True, slots=True)
class Solution(Parameter):
    """Answer to a puzzle: K, opaque and I as received, and the solution J (5.2.5).

    I and J are of one length, half of what the Length field leaves.
    """

    TYPE: ClassVar[int] = ParameterType.SOLUTION

    k: int
    opaque: bytes
    i: bytes
    j: bytes
    reserved: int = 0

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """K u8, reserved u8 (ignored by receivers), opaque 2 octets, I and J in equal halves."""
        rest = len(contents) - _PUZZLE_HEAD.size
        if rest <= 0 or rest & 1:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets hold no I and J of one length")
        k, reserved, opaque = _PUZZLE_HEAD.unpack_from(contents)
        middle = _PUZZLE_HEAD.size + rest // 2
        return cls(k, opaque, contents[_PUZZLE_HEAD.size : middle], contents[middle:], reserved)

    def contents(self) -> bytes:
        """4 + len(i) + len(j) octets."""
        if len(self.opaque) != _OPAQUE_OCTETS or len(self.i) != len(self.j) or not self.i:
            raise LocalProtocolError("SOLUTION: opaque has 2 octets, I and J are of one length")
        return _PUZZLE_HEAD.pack(self.k, self.reserved, self.opaque) + self.i + self.j


@dataclass(frozen=True, slots=True)
class DhGroupList(Parameter):
    """Diffie-Hellman groups, most preferred first (5.2.6)."""

    TYPE: ClassVar[int] = ParameterType.DH_GROUP_LIST

    groups: tuple[int, ...]

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """One octet per group; an empty list is the engine's to judge."""
        return cls(tuple(contents))

    def contents(self) -> bytes:
        """One octet per group."""
        return bytes(self.groups)


@quickly_made
@dataclass(frozen=True, slots=True)
class DiffieHellman(Parameter):
    """One public value, as it is on the wire for its group (5.2.7)."""

    TYPE: ClassVar[int] = ParameterType.DIFFIE_HELLMAN

    group: int
    public: bytes

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Group u8, length u16, public value of exactly that length and nothing behind it."""
        if len(contents) < _DH_HEAD.size:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, the least is {_DH_HEAD.size}")
        group, length = _DH_HEAD.unpack_from(contents)
        if _DH_HEAD.size + length != len(contents):
            raise ParameterError(
                cls.TYPE, f"public value of {length} octets in contents of {len(contents)}"
            )
        return cls(group, contents[_DH_HEAD.size :])

    def contents(self) -> bytes:
        """3 + len(public) octets."""
        return _DH_HEAD.pack(self.group, len(self.public)) + self.public


@quickly_made
@dataclass(frozen=True, slots=True)
class HipCipherList(Parameter):
    """HIP ciphers in order of preference; exactly one in an I2 (5.2.8)."""

    TYPE: ClassVar[int] = ParameterType.HIP_CIPHER

    ciphers: tuple[int, ...]

    @classmethod
    @lru_cache(LISTS_KEPT)
    def parse(cls, contents: bytes) -> Self:
        """16-bit ids; the first six count, the rest is dropped."""
        return cls(parse_u16_list(cls.TYPE, contents)[:SUITES_MAX])

    def contents(self) -> bytes:
        """2 octets per cipher, at most six."""
        if len(self.ciphers) > SUITES_MAX:
            raise LocalProtocolError(f"HIP_CIPHER: {len(self.ciphers)} ids, at most {SUITES_MAX}")
        return emit_u16_list(self.ciphers)


@quickly_made
@dataclass(frozen=True, slots=True)
class Encrypted(Parameter):
    """Encrypted parameters (5.2.18); where the IV ends depends on the HIP cipher.

    It may repeat: section 5.2.18 sets no limit, and I2 may hold one for HOST_ID and one for the
    LOCATOR_SET of RFC 9028 section 4.5.
    """

    TYPE: ClassVar[int] = ParameterType.ENCRYPTED
    MAY_REPEAT: ClassVar[bool] = True

    iv_and_ciphertext: bytes
    reserved: int = 0

    @classmethod
    def parse(cls, contents: bytes) -> Self:
        """Reserved u32 (ignored by receivers), IV, ciphertext."""
        if len(contents) < 4:
            raise ParameterError(cls.TYPE, f"{len(contents)} octets, the least is 4")
        return cls(contents[4:], int.from_bytes(contents[:4]))

    def contents(self) -> bytes:
        """4 octets, IV, ciphertext."""
        return self.reserved.to_bytes(4) + self.iv_and_ciphertext


@quickly_made
@dataclass(frozen=True, slots=True)
class TransportFormatList(Parameter):
    """Transport formats by the type of their parameter, most preferred first (5.2.11)."""

    TYPE: ClassVar[int] = ParameterType.TRANSPORT_FORMAT_LIST

    formats: tuple[int, ...]

    @classmethod
    @lru_cache(LISTS_KEPT)
    def parse(cls, contents: bytes) -> Self:
        """16-bit parameter types."""
        return cls(parse_u16_list(cls.TYPE, contents))

    def contents(self) -> bytes:
        """2 octets per format."""
        return emit_u16_list(self.formats)
