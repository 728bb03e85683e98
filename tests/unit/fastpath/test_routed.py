"""Packets of hosts that know no HIP, through two data paths.

behind A 192.168.7.0/24 fd00:7::/64 - [A] = ESP in UDP = [B] - behind B 192.168.8.0/24 fd00:8::/64
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_network

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
)
from scapy.packet import Packet, Raw

from hipgw._fastpath.punts import PUNT_NO_SA, PUNT_TOO_BIG
from hipgw._fastpath.routed import clamped, ecn_of
from hipgw._fastpath.tables import SaTables
from hipgw.policy import SubnetTable, flatten
from hipgw.values import Hit
from tests.unit.fastpath.wires import (
    HIT_A,
    HIT_B,
    HIT_C,
    NO_LSI,
    SPI_AB,
    Host,
    dropped,
    hit_udp,
    ipv6,
    wait_until,
    wired,
)

pytestmark = pytest.mark.usefixtures("each_way")

V4 = {"src": "192.168.7.2", "dst": "192.168.8.2"}
V6 = {"src": "fd00:7::2", "dst": "fd00:8::2"}
BEHIND_A = ("192.168.7.0/24", "fd00:7::/64")
BEHIND_B = ("192.168.8.0/24", "fd00:8::/64")
SYN = {"flags": "S", "options": [("NOP", None), ("MSS", 8960), ("SAckOK", b"")]}


def route(
    host: Host,
    local: bytes,
    peers: dict[bytes, tuple[str, ...]],
    here: tuple[str, ...] = (),
    *,
    clamp_mss: bool = True,
) -> None:
    """Give a data path its prefixes, as the daemon does."""
    table = SubnetTable(
        {ip_network(text): Hit(hit) for hit in peers for text in peers[hit]},
        [ip_network(text) for text in here],
    )
    ours = {
        family: flatten(
            (ip_network(text), 1) for text in here if ip_network(text).version == family
        )
        for family in (4, 6)
    }
    host.path.set_subnets(
        [(local, owner.packed) for owner in table.owners],
        peers4=table.ranges(4),
        peers6=table.ranges(6),
        here4=ours[4],
        here6=ours[6],
        clamp_mss=clamp_mss,
    )


def joined(**options: int) -> contextlib.AbstractContextManager[tuple[Host, Host]]:
    """Without LSIs, so that every payload is for the HIT."""
    return wired(lsis=(NO_LSI, NO_LSI), **options)


@contextlib.contextmanager
def gateways(**options: int) -> Iterator[tuple[Host, Host]]:
    with joined(**options) as (a, b):
        route(a, HIT_A, {HIT_B: BEHIND_B}, BEHIND_A)
        route(b, HIT_B, {HIT_A: BEHIND_A}, BEHIND_B)
        yield a, b


def whole(packet: Packet) -> bytes:
    return bytes(packet)


def is_dropped(a: Host, b: Host, packet: bytes, reason: str) -> None:
    """Send a packet that is not to arrive, then one that does; one counter of both rises."""
    before = a.path.counters(), b.path.counters()
    a.application.send(packet)
    last = hit_udp(b"after")
    a.application.send(last)
    assert b.application.recv(2048) == last

    def rose() -> dict[str, int]:
        return {
            name: count
            for host, counters in zip((a, b), before, strict=True)
            for name, count in dropped(counters, host.path.counters()).items()
        }

    wait_until(lambda: bool(rose()))
    assert rose() == {reason: 1}


PACKETS = {
    "ipv4 udp": IP(**V4, tos=0xB8, ttl=9) / UDP(sport=7, dport=8) / Raw(b"four"),
    "ipv4 options": IP(**V4, options=[b"\x01\x01\x01\x01"]) / UDP() / Raw(b"options"),
    "ipv4 fragment": IP(**V4, flags="MF", frag=0) / Raw(bytes(64)),
    "ipv4 later fragment": IP(**V4, frag=8) / Raw(bytes(64)),
    "ipv4 echo": IP(**V4) / ICMP() / Raw(b"ping"),
    "ipv4 without payload": IP(**V4, proto=253),
    "ipv6 udp": IPv6(**V6, tc=0x2E, hlim=3, fl=77) / UDP(sport=7, dport=8) / Raw(b"six"),
    "ipv6 options": IPv6(**V6) / IPv6ExtHdrDestOpt() / UDP() / Raw(b"options"),
    "ipv6 fragment": IPv6(**V6) / IPv6ExtHdrFragment(m=1) / Raw(bytes(64)),
    "ipv6 echo": IPv6(**V6) / ICMPv6EchoRequest(data=b"ping"),
    "ipv6 tcp": IPv6(**V6) / TCP(flags="A") / Raw(b"tcp"),
    "ipv6 alone": IPv6(**V6, nh=59),
}


@pytest.mark.parametrize("name", PACKETS)
@pytest.mark.parametrize("family", [4, 6])
def test_a_routed_packet_arrives_as_it_was(family: int, name: str) -> None:
    packet = whole(PACKETS[name])
    with gateways(family=family) as (a, b):
        a.application.send(packet)
        assert b.application.recv(2048) == packet


def test_octets_after_the_packet_are_cut_off() -> None:
    with gateways() as (a, b):
        for packet in (whole(PACKETS["ipv4 udp"]), whole(PACKETS["ipv6 udp"])):
            a.application.send(packet + b"padding")
            assert b.application.recv(2048) == packet


def test_an_ip6tnl_device_may_send_options_first() -> None:
    """RFC 2473 section 4.1.1: the tunnel encapsulation limit, in destination options."""
    inner = whole(PACKETS["ipv4 udp"])
    options = bytes([4, 0, 4, 1, 4, 1, 1, 0])
    head = b"\x60\0\0\0" + (8 + len(inner)).to_bytes(2) + bytes([60, 64]) + HIT_A + HIT_B
    with joined() as (a, b):
        route(b, HIT_B, {HIT_A: BEHIND_A}, BEHIND_B)
        a.application.send(head + options + inner)
        assert b.application.recv(2048) == inner


def test_without_subnets_of_that_peer_a_tunnel_device_gets_it() -> None:
    inner = whole(PACKETS["ipv4 udp"])
    with joined() as (a, b):
        route(a, HIT_A, {HIT_B: BEHIND_B}, BEHIND_A)
        route(b, HIT_B, {HIT_C: ("10.0.0.0/8",)})
        a.application.send(inner)
        got = b.application.recv(2048)
    assert got[6] == 4
    assert got[8:40] == HIT_A + HIT_B
    assert got[40:] == inner


STRANGERS = {
    "source of nobody": (IP(src="192.168.9.2", dst=V4["dst"]) / UDP(), "subnet_source"),
    "source behind us": (IP(src="192.168.8.9", dst=V4["dst"]) / UDP(), "subnet_source"),
    "ipv6 source": (IPv6(src="fd00:9::1", dst=V6["dst"]) / UDP(), "subnet_source"),
    "destination elsewhere": (IP(src=V4["src"], dst="192.168.8.200") / UDP(), None),
    "hit source": (
        IPv6(src=str(IPv6Address(HIT_A)), dst=V6["dst"]) / UDP(), "source_not_ours",
    ),
    "lsi source": (IP(src="1.0.0.1", dst=V4["dst"]) / UDP(), "source_not_ours"),
    "nobody's": (IP(src=V4["src"], dst="192.168.9.2") / UDP(), "not_hip_destination"),
    "ipv6 nobody's": (IPv6(src=V6["src"], dst="fd00:9::2") / UDP(), "not_hip_destination"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_prefixes_hold_both_ways(name: str) -> None:
    packet, reason = STRANGERS[name]
    with gateways() as (a, b):
        if reason is None:
            a.application.send(whole(packet))
            assert b.application.recv(2048) == whole(packet)
        else:
            is_dropped(a, b, whole(packet), reason)


@pytest.mark.parametrize(
    ("destination", "behind_c"),
    [("192.168.8.2", ("192.168.8.0/25",)), ("10.1.1.1", ()), ("127.0.0.1", ())],
)
def test_nothing_goes_through_to_elsewhere(destination: str, behind_c: tuple[str, ...]) -> None:
    """B forwards for its own hosts: neither to a third peer nor to anywhere else."""
    with joined() as (a, b):
        route(a, HIT_A, {HIT_B: ("0.0.0.0/0",)})
        route(b, HIT_B, {HIT_A: BEHIND_A, HIT_C: (*behind_c, "172.16.0.0/12")}, BEHIND_B)
        packet = IP(src=V4["src"], dst=destination) / UDP()
        if destination == "127.0.0.1":
            is_dropped(a, b, whole(packet), "loop")
        else:
            is_dropped(a, b, whole(packet), "subnet_destination")


def test_what_is_here_is_here_though_a_peer_has_all_around_it() -> None:
    """A branch behind a hub: everything else is the hub's."""
    with joined() as (a, b):
        route(a, HIT_A, {HIT_B: BEHIND_B}, ("192.168.0.0/16", "fd00::/16"))
        route(b, HIT_B, {HIT_A: ("192.168.0.0/16", "fd00::/16")}, BEHIND_B)
        for packet in (IP(**V4) / UDP(), IPv6(**V6) / UDP()):
            a.application.send(whole(packet))
            assert b.application.recv(2048) == whole(packet)
        # What is here is not there: nobody out there sends from it.
        lie = IP(src="192.168.8.9", dst=V4["dst"]) / UDP()
        is_dropped(a, b, ipv6(whole(lie), 4), "subnet_source")
        elsewhere = IP(src=V4["src"], dst="192.168.9.9") / UDP()
        is_dropped(a, b, ipv6(whole(elsewhere), 4), "subnet_destination")


IDENTITIES = {
    "hit": IPv6(src=str(IPv6Address(HIT_C)), dst=V6["dst"]) / UDP(),
    "lsi": IP(src="1.0.0.3", dst=V4["dst"]) / UDP(),
    "loopback": IP(src="127.0.0.1", dst=V4["dst"]) / UDP(),
    "ipv6 loopback": IPv6(src="::1", dst=V6["dst"]) / UDP(),
    "multicast": IPv6(src="ff02::1", dst=V6["dst"]) / UDP(),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_no_prefix_lends_a_peer_the_name_of_another(name: str) -> None:
    """A may send from anywhere; a HIT or an LSI as a source would still be a lie."""
    octets = whole(IDENTITIES[name])
    protocol = 41 if octets[0] >> 4 == 6 else 4
    with joined() as (a, b):
        route(b, HIT_B, {HIT_A: ("0.0.0.0/0", "::/0")}, BEHIND_B)
        is_dropped(a, b, ipv6(octets, protocol), "subnet_source")


BROKEN = {
    "total too long": b"\x45\0\0\xff" + whole(PACKETS["ipv4 udp"])[4:],
    "total too short": b"\x45\0\0\x10" + whole(PACKETS["ipv4 udp"])[4:],
    "header too short": b"\x44" + whole(PACKETS["ipv4 udp"])[1:],
    "ipv6 too long": whole(PACKETS["ipv6 udp"])[:4] + b"\xff\xff" + whole(PACKETS["ipv6 udp"])[6:],
    "jumbogram": whole(IPv6(**V6, plen=0, nh=0) / Raw(bytes(8))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_packet_that_contradicts_itself_is_dropped(name: str) -> None:
    with gateways() as (a, b):
        is_dropped(a, b, BROKEN[name], "inner_malformed")


@pytest.mark.parametrize("name", BROKEN)
def test_a_peer_that_contradicts_itself_is_dropped(name: str) -> None:
    """A sends, as a tunnel device would, what its own data path would not have wrapped."""
    octets = BROKEN[name]
    protocol = 41 if octets[0] >> 4 == 6 else 4
    for body in (octets, octets[:5], octets[:19], b""):
        head = b"\x60\0\0\0" + len(body).to_bytes(2) + bytes([protocol, 64]) + HIT_A + HIT_B
        with joined() as (a, b):
            route(b, HIT_B, {HIT_A: BEHIND_A}, BEHIND_B)
            is_dropped(a, b, head + body, "inner_malformed")


def test_without_an_sa_it_is_handed_up() -> None:
    with joined() as (a, _):
        route(a, HIT_A, {HIT_C: BEHIND_B})
        a.application.send(whole(PACKETS["ipv4 udp"]))
        assert a.punts(1) == [(PUNT_NO_SA, whole(PACKETS["ipv4 udp"]), ())]


def test_prefixes_change_while_packets_flow() -> None:
    packet = whole(PACKETS["ipv4 udp"])
    with gateways() as (a, b):
        for _ in range(200):
            route(a, HIT_A, {HIT_B: BEHIND_B}, BEHIND_A)
            a.application.send(packet)
            assert b.application.recv(2048) == packet
        a.path.set_subnets([], peers4=[], peers6=[], here4=[], here6=[], clamp_mss=True)
        is_dropped(a, b, packet, "not_hip_destination")


# --- size


@pytest.mark.parametrize("name", ["ipv4", "ipv6"])
def test_the_mss_of_a_syn_is_clamped_both_ways(name: str) -> None:
    ip, headers = (IP(**V4), 40) if name == "ipv4" else (IPv6(**V6), 60)
    with gateways() as (a, b):
        a.path.set_payload_most(SPI_AB, HIT_A, HIT_B, 1400)
        a.application.send(whole(ip / TCP(**SYN)))
        got = type(ip)(b.application.recv(2048))
        assert dict(got[TCP].options)["MSS"] == 1400 - headers
        right = got[TCP].chksum
        del got[TCP].chksum
        assert type(ip)(bytes(got))[TCP].chksum == right
        # The other way round A's own path decides, although B does not clamp.
        b.path.set_subnets([], peers4=[], peers6=[], here4=[], here6=[], clamp_mss=True)
        route(b, HIT_B, {HIT_A: BEHIND_A}, BEHIND_B, clamp_mss=False)
        back = type(ip)(src=ip.dst, dst=ip.src) / TCP(**(SYN | {"flags": "SA"}))
        b.application.send(whole(back))
        got = type(ip)(a.application.recv(2048))
        assert dict(got[TCP].options)["MSS"] == 1400 - headers


def test_a_syn_that_asks_for_little_stays() -> None:
    syn = whole(IP(**V4) / TCP(flags="S", options=[("MSS", 1000)]))
    with gateways() as (a, b):
        a.path.set_payload_most(SPI_AB, HIT_A, HIT_B, 1400)
        a.application.send(syn)
        assert b.application.recv(2048) == syn


@pytest.mark.parametrize("at", range(8))
def test_the_option_is_found_at_odd_places(at: int) -> None:
    segment = IP(**V4) / TCP(options=[("NOP", None)] * at + [("MSS", 8960)])
    before = bytes(segment)[20:]
    after = clamped(before, 1360)
    ours = TCP(after)
    assert dict(ours.options)["MSS"] == 1360
    again = IP(bytes(IP(**V4) / TCP(options=[("NOP", None)] * at + [("MSS", 1360)])))
    assert after == bytes(again[TCP])


@pytest.mark.parametrize(
    "options",
    [
        b"\x01\x02\x04\x23",
        b"\x02",
        b"\x02\x00\x23\x00",
        b"\x08\xff\0\0",
        b"\x00\x02\x04\x23\x00\0\0\0",
    ],
)
def test_broken_options_are_left_alone(options: bytes) -> None:
    padded = options + bytes(-len(options) % 4)
    segment = bytes(12) + bytes([(20 + len(padded)) << 2, 2]) + bytes(6) + padded
    for length in range(len(segment) + 1):
        assert clamped(segment[:length], 1360) == segment[:length]


@pytest.mark.parametrize(
    ("packet", "mtu_octets"),
    [
        (IP(**V4, flags="DF") / UDP() / Raw(bytes(1400)), 1400),
        (IPv6(**V6) / UDP() / Raw(bytes(1400)), 1400),
        (Raw(hit_udp(bytes(1400))), 1440),
    ],
)
def test_what_the_path_does_not_carry_is_told(packet: Packet, mtu_octets: int) -> None:
    with gateways() as (a, b):
        assert a.path.set_payload_most(SPI_AB, HIT_A, HIT_B, 1400)
        is_dropped(a, b, bytes(packet), "too_big")
        assert a.punts(1) == [(PUNT_TOO_BIG, bytes(packet)[:1280], (mtu_octets,))]


def test_a_packet_that_may_be_fragmented_goes() -> None:
    packet = bytes(IP(**V4) / UDP() / Raw(bytes(1400)))
    with gateways() as (a, b):
        a.path.set_payload_most(SPI_AB, HIT_A, HIT_B, 1400)
        a.application.send(packet)
        assert b.application.recv(2048) == packet


def test_nobody_is_told_too_often() -> None:
    packet = bytes(IPv6(**V6) / UDP() / Raw(bytes(1400)))
    with gateways() as (a, _):
        a.path.set_payload_most(SPI_AB, HIT_A, HIT_B, 1400)
        began_s = time.monotonic()
        for _ in range(300):
            a.application.send(packet)
        wait_until(lambda: a.path.counters()["too_big"] == 300)
        told = len(a.path.take_punts(1000))
        assert 1 <= told <= 1 + (time.monotonic() - began_s) / 0.001, "once a millisecond"


def test_an_sa_that_is_not_there_has_no_path() -> None:
    tables = SaTables()
    assert not tables.set_payload_most(SPI_AB, HIT_A, HIT_B, 1400)


# --- traffic class

ECN_TABLE = {
    # RFC 6040 section 4.2, figure 4: (inner, outer) -> forwarded; None: drop
    (0, 0): 0, (0, 2): 0, (0, 1): 0, (0, 3): -1,
    (2, 0): 2, (2, 2): 2, (2, 1): 1, (2, 3): 3,
    (1, 0): 1, (1, 2): 1, (1, 1): 1, (1, 3): 3,
    (3, 0): 3, (3, 2): 3, (3, 1): 3, (3, 3): 3,
}  # fmt: skip


def test_ecn_is_combined_as_rfc_6040_says() -> None:
    for (inner, outer), forwarded in ECN_TABLE.items():
        assert ecn_of(inner | 0xB8, outer | 0x08) == forwarded


@pytest.mark.parametrize(("mask", "seen"), [(0xFF, 0xBA), (0xFC, 0xB8), (0, 0)])
@pytest.mark.parametrize("family", [4, 6])
def test_the_traffic_class_of_hits_goes_over_the_outer_header(
    family: int, mask: int, seen: int
) -> None:
    packet = bytearray(hit_udp(b"x"))
    packet[0:2] = (0x6000 | 0xBA << 4).to_bytes(2)
    with joined(family=family, class_mask=mask) as (a, b):
        a.application.send(bytes(packet))
        got = b.application.recv(2048)
        assert (int.from_bytes(got[:2]) >> 4) & 0xFF == seen
        assert got[2:] == packet[2:]


def test_packets_of_two_classes_are_no_train() -> None:
    """Classes by turns, each packet with its own; nothing is lost or changes places."""
    packets = []
    for number in range(40):
        packet = bytearray(hit_udp(number.to_bytes(2)))
        packet[0:2] = (0x6000 | (0xB8 if number % 3 else 0x28) << 4).to_bytes(2)
        packets.append(bytes(packet))
    with joined() as (a, b):
        for packet in packets:
            a.application.send(packet)
        assert [b.application.recv(2048) for _ in packets] == packets
