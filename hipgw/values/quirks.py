"""Compatibility switches: where known implementations leave the RFCs, and we follow one peer there.

All are off unless the operator names them for a peer, by its HIT.  This table is the one place that
says what each does; configuration, status and `docs/interop.md` are drawn from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Quirk(StrEnum):
    """A named deviation of a peer, as the configuration spells it."""

    LITTLE_ENDIAN_PUZZLE = "little-endian-puzzle"
    REVERSED_PUZZLE_HITS = "reversed-puzzle-hits"
    UNPADDED_DH_SECRET = "unpadded-dh-secret"  # noqa: S105 - a name
    LEFT_ALIGNED_DH_SECRET = "left-aligned-dh-secret"  # noqa: S105
    EXTRA_PUZZLE_BIT = "extra-puzzle-bit"
    INITIATOR_DH_ORDER = "initiator-dh-order"
    SWAPPED_MAC_KEYS = "swapped-mac-keys"
    SWAPPED_EXCHANGE_MAC_KEYS = "swapped-exchange-mac-keys"
    R2_SIGNATURE_2 = "r2-signature-2"
    ONE_OCTET_SIGNATURE_ALGORITHM = "one-octet-signature-algorithm"
    FULL_LENGTH_ICV = "full-length-icv"
    UNORDERED_PARAMETERS = "unordered-parameters"
    WRONG_DH_LENGTH = "wrong-dh-length"
    NO_R1_COUNTER_ECHO = "no-r1-counter-echo"
    CLEAR_HOST_ID = "clear-host-id"
    RESPONDER_SPI = "responder-spi"
    DH_IN_EVERY_REKEY = "dh-in-every-rekey"
    SHORT_LOCATOR = "short-locator"


Quirks = frozenset[Quirk]
"""Those of one peer."""
NO_QUIRKS: Final[Quirks] = frozenset()
"""Those of everybody else."""


@dataclass(frozen=True, slots=True)
class QuirkFacts:
    """What an operator should know of a switch; sentences without their full stop."""

    changes: str
    """What is done otherwise with that peer, in both directions unless it says so."""
    rule: str
    """The clause that the peer leaves."""
    versions: frozenset[int]
    """HIP versions in which it means anything."""
    cost: str
    """What it costs in security, for that peer alone."""
    seen_as: frozenset[str] = frozenset()
    """Reasons under which we drop packets of such a peer without it; many only show at the peer."""


_BOTH: Final = frozenset({1, 2})
_V1: Final = frozenset({1})
_V2: Final = frozenset({2})

QUIRKS: Final[Mapping[Quirk, QuirkFacts]] = MappingProxyType(
    {
        Quirk.LITTLE_ENDIAN_PUZZLE: QuirkFacts(
            "the K bits of a puzzle are the low ones of octets 12 to 19 of the digest, read as a"
            " little-endian number, both when we check and when we solve",
            "RFC 5201 6.3",
            _V1,
            "none: K bits of the digest are as hard to find anywhere in it",
            frozenset({"puzzle_wrong"}),
        ),
        Quirk.REVERSED_PUZZLE_HITS: QuirkFacts(
            "a puzzle is hashed as I, HIT of the Responder, HIT of the Initiator, J",
            "RFC 7401 6.3",
            _V2,
            "none: the same octets are bound, in another order",
            frozenset({"puzzle_wrong"}),
        ),
        Quirk.UNPADDED_DH_SECRET: QuirkFacts(
            "leading zero octets of the Diffie-Hellman secret are left out before KEYMAT is made",
            "RFC 7401 6.5, RFC 5903 7",
            _BOTH,
            "that a secret is short, once in 256 exchanges, can show in time; it tells nothing of"
            " the next one",
            frozenset({"mac_wrong"}),
        ),
        Quirk.LEFT_ALIGNED_DH_SECRET: QuirkFacts(
            "leading zero octets of the Diffie-Hellman secret are moved to its end before KEYMAT is"
            " made",
            "RFC 5201 6.5",
            _BOTH,
            "none: the length stays that of the group",
            frozenset({"mac_wrong"}),
        ),
        Quirk.EXTRA_PUZZLE_BIT: QuirkFacts(
            "a puzzle whose K is no multiple of 8 is solved for one bit more; of theirs K bits are"
            " enough",
            "RFC 7401 6.3",
            _V2,
            "none; such a puzzle takes twice the work",
        ),
        Quirk.INITIATOR_DH_ORDER: QuirkFacts(
            "as Responder, we take the first Diffie-Hellman group of their list that we have,"
            " instead of the first of ours that they have",
            "RFC 7401 5.2.6",
            _V2,
            "the weakest of our groups may be taken where both have a better one; never one that"
            " our configuration leaves out",
            frozenset({"mac_wrong"}),
        ),
        Quirk.SWAPPED_MAC_KEYS: QuirkFacts(
            "the host with the greater HIT makes its MACs with the second MAC key and the other one"
            " with the first; keys of ENCRYPTED and of ESP stay as they are",
            "RFC 7401 6.5",
            _V2,
            "none: each direction still has keys of its own",
            frozenset({"mac_wrong"}),
        ),
        Quirk.SWAPPED_EXCHANGE_MAC_KEYS: QuirkFacts(
            "as `swapped-mac-keys`, but in I2 and R2 alone: UPDATE and CLOSE have the keys of the"
            " RFC",
            "RFC 7401 6.5",
            _V2,
            "each host uses both MAC keys, so a key does not tell the direction in I2 and R2 from"
            " that in other packets; the HITs and packet type under the MAC do",
            frozenset({"mac_wrong"}),
        ),
        Quirk.R2_SIGNATURE_2: QuirkFacts(
            "the signature of an R2 stands in HIP_SIGNATURE_2 (61633), over the same octets; one in"
            " HIP_SIGNATURE is accepted as well",
            "RFC 7401 5.3.4",
            _V2,
            "none: nothing that HIP_SIGNATURE covers is left out",
            frozenset({"hip_missing"}),
        ),
        Quirk.ONE_OCTET_SIGNATURE_ALGORITHM: QuirkFacts(
            "the algorithm field of signatures has 8 bits, as in HIPv1, in HIPv2 packets too",
            "RFC 7401 5.2.14",
            _V2,
            "none: the algorithm must still be that of the Host Identity",
            frozenset({"signature_wrong"}),
        ),
        Quirk.FULL_LENGTH_ICV: QuirkFacts(
            "ESP suites with HMAC-SHA-256 carry all 32 octets of it instead of 16",
            "RFC 7402 5.1.2, RFC 4868",
            _V2,
            "none; 16 octets more in each packet",
            frozenset({"icv_wrong"}),
        ),
        Quirk.UNORDERED_PARAMETERS: QuirkFacts(
            "parameters may come in any order before the first MAC or signature; ours stay in"
            " order",
            "RFC 7401 5.2.1",
            _BOTH,
            "none: what MACs and signatures cover is still decided by place, and nothing may follow"
            " them that belongs before",
            frozenset({"hip_malformed"}),
        ),
        Quirk.WRONG_DH_LENGTH: QuirkFacts(
            "Public Value Length of DIFFIE_HELLMAN is not believed: the value reaches to the end of"
            " the parameter; ours is right",
            "RFC 7401 5.2.7",
            _V2,
            "none: the value must still be as long as the group says, and in the group",
            frozenset({"hip_malformed"}),
        ),
        Quirk.NO_R1_COUNTER_ECHO: QuirkFacts(
            "an I2 need not return the R1_COUNTER of our R1; one that it returns must be right",
            "RFC 7401 5.2.3",
            _V2,
            "none: the puzzle itself tells which generation it is of",
            frozenset({"hip_missing"}),
        ),
        Quirk.CLEAR_HOST_ID: QuirkFacts(
            "our I2 carries our HOST_ID in the clear; theirs may come either way, as ever",
            "none: RFC 7401 5.3.3 allows it",
            _BOTH,
            "whoever sees our I2 to that peer sees our public key and domain identifier",
        ),
        Quirk.RESPONDER_SPI: QuirkFacts(
            "as Initiator, we receive with the SPI of their R2, which is the one that we send with;"
            " an R2 with an SPI that we receive with already is refused",
            "RFC 7402 3.2.1, 6.5",
            _V2,
            "that peer, once authentic, chooses one of our inbound SPIs",
            frozenset({"spi_unknown"}),
        ),
        Quirk.DH_IN_EVERY_REKEY: QuirkFacts(
            "each rekey has a new Diffie-Hellman key of ours, so KEYMAT indices play no part",
            "RFC 5202 6.9, 6.10",
            _BOTH,
            "none; a rekey costs more computing",
        ),
        Quirk.SHORT_LOCATOR: QuirkFacts(
            "a locator of type 1 may say a length of 4 words although 5 follow; a lifetime of 0 in"
            " such a record is 1800 s",
            "RFC 8046 4",
            _BOTH,
            "none: addresses are still verified before they are used",
            frozenset({"hip_malformed"}),
        ),
    }
)
"""What each switch does; every member is there."""

_CUTEHIP: Final = frozenset(
    {
        Quirk.REVERSED_PUZZLE_HITS,
        Quirk.INITIATOR_DH_ORDER,
        Quirk.UNPADDED_DH_SECRET,
        Quirk.R2_SIGNATURE_2,
        Quirk.FULL_LENGTH_ICV,
        Quirk.UNORDERED_PARAMETERS,
        Quirk.CLEAR_HOST_ID,
    }
)

PRESETS: Final[Mapping[str, Quirks]] = MappingProxyType(
    {
        "cutehip": _CUTEHIP
        | {
            Quirk.EXTRA_PUZZLE_BIT,
            Quirk.SWAPPED_EXCHANGE_MAC_KEYS,
            Quirk.WRONG_DH_LENGTH,
            Quirk.NO_R1_COUNTER_ECHO,
        },
        "hip-vpls": _CUTEHIP | {Quirk.SWAPPED_MAC_KEYS},
        "openhip": frozenset(
            {Quirk.LITTLE_ENDIAN_PUZZLE, Quirk.LEFT_ALIGNED_DH_SECRET, Quirk.DH_IN_EVERY_REKEY}
        ),
        "hipl": frozenset(
            {
                Quirk.UNPADDED_DH_SECRET,
                Quirk.UNORDERED_PARAMETERS,
                Quirk.SHORT_LOCATOR,
            }
        ),
    }
)
"""Implementation -> the switches that it needs."""

_EXCLUSIVE: Final = (
    frozenset({Quirk.UNPADDED_DH_SECRET, Quirk.LEFT_ALIGNED_DH_SECRET}),
    frozenset({Quirk.SWAPPED_MAC_KEYS, Quirk.SWAPPED_EXCHANGE_MAC_KEYS}),
)


def contradiction(quirks: Quirks) -> str | None:
    """Two switches that cannot both be meant, in words; None when all go together."""
    for pair in _EXCLUSIVE:
        if quirks >= pair:
            return " and ".join(sorted(pair))
    return None


def seen_as(reason: str) -> tuple[Quirk, ...]:
    """Switches that may be missing for a peer whose packets are dropped for that reason."""
    return tuple(quirk for quirk, facts in QUIRKS.items() if reason in facts.seen_as)


def in_order(quirks: Quirks) -> tuple[Quirk, ...]:
    """The switches in the order of the table."""
    return tuple(quirk for quirk in Quirk if quirk in quirks)
