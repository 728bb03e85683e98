"""How large an inner packet may be, so that its ESP packet fits the underlay.

Sizes: RFC 4303 section 2 (ESP), RFC 7402 appendix B (BEET carries no inner IP header), RFC 3948
section 2.1 (UDP encapsulation).  The inner IPv6 header of HITs has 40 octets, the inner IPv4
header of LSIs 20, and neither is sent: the same ESP packet carries an IPv6 packet that is
20 octets longer than the IPv4 one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hipgw.values import ESP_SHAPES, Encapsulation, EspSuite

OUTER_HEADER_OCTETS: Final = {4: 20, 6: 40}
INNER_HEADER_OCTETS: Final = {4: 20, 6: 40}
UDP_HEADER_OCTETS: Final = 8
ESP_HEADER_OCTETS: Final = 8
ESP_TRAILER_OCTETS: Final = 2
LEAST_IPV6_MTU: Final = 1280
"""RFC 8200 section 5: hip0 never goes below, or the kernel would turn IPv6 off on it."""


def largest_inner_octets(
    underlay_mtu_octets: int,
    outer_family: int,
    encapsulation: Encapsulation,
    suite: EspSuite,
    inner_family: int,
) -> int:
    """Octets of the longest inner packet, IP header included, whose ESP packet fits.

    Args:
        underlay_mtu_octets: MTU of the path between the two hosts.
        outer_family: 4 or 6, of the outer packet.
        encapsulation: raw ESP, or ESP in UDP.
        suite: its IV, ICV and alignment count.
        inner_family: 6 for packets between HITs, 4 between LSIs.
    """
    shape = ESP_SHAPES[suite]
    room = underlay_mtu_octets - OUTER_HEADER_OCTETS[outer_family] - ESP_HEADER_OCTETS
    if encapsulation is Encapsulation.UDP:
        room -= UDP_HEADER_OCTETS
    room -= shape.iv_octets + shape.icv_octets
    payload = room // shape.alignment_octets * shape.alignment_octets - ESP_TRAILER_OCTETS
    return payload + INNER_HEADER_OCTETS[inner_family]


def interface_mtus(
    underlay_mtu_octets: int, suites: Iterable[EspSuite], encapsulations: Iterable[Encapsulation]
) -> tuple[int, int]:
    """MTU of hip0 and of its LSI route: right for every enabled suite over either family.

    Returns:
        (octets for packets between HITs, octets for packets between LSIs), the first one at least
        `LEAST_IPV6_MTU`.
    """
    suites = tuple(suites)
    hit_mtu = min(
        largest_inner_octets(underlay_mtu_octets, family, encapsulation, suite, 6)
        for family in OUTER_HEADER_OCTETS
        for encapsulation in encapsulations
        for suite in suites
    )
    hit_mtu = max(hit_mtu, LEAST_IPV6_MTU)
    return hit_mtu, hit_mtu - (INNER_HEADER_OCTETS[6] - INNER_HEADER_OCTETS[4])
