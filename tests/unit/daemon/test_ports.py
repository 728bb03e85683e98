"""HIT or LSI, by the sockets that hold a port."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hipgw.daemon.ports import FAMILY_HIT, FAMILY_LSI, PortFamilies, parse_sockets
from hipgw.values import Hit, Lsi

OUR_HIT = Hit.parse("2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad")
OUR_LSI = Lsi.parse("1.0.0.1")
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue\n"
HIT_TEXT = "22000120" + "C430D3E0" + "E586A7F6" + "AD39C92D"
LSI_TEXT = "01000001"
ANY6, ANY4 = "0" * 32, "0" * 8
MAPPED_LSI = "0000000000000000FFFF0000" + LSI_TEXT


def families(directory: Path, tcp6: list[str], tcp: list[str]) -> PortFamilies:
    for name, entries in (("tcp6", tcp6), ("tcp", tcp)):
        lines = [f"   {n}: {entry} 0:0 0A 0:0\n" for n, entry in enumerate(entries)]
        (directory / name).write_text(HEAD + "".join(lines))
    return PortFamilies([OUR_HIT], [OUR_LSI], directory=directory)


@pytest.mark.parametrize(
    ("tcp6", "tcp", "family"),
    [
        ([], [], None),
        ([f"{ANY6}:0050"], [], FAMILY_HIT),
        ([], [f"{ANY4}:0050"], FAMILY_LSI),
        ([f"{ANY6}:0050"], [f"{ANY4}:0050"], FAMILY_HIT),
        ([f"{ANY6}:0050"], [f"{LSI_TEXT}:0050"], FAMILY_LSI),
        ([f"{HIT_TEXT}:0050"], [f"{LSI_TEXT}:0050"], FAMILY_HIT),
        ([f"{HIT_TEXT}:0051"], [f"{ANY4}:0050"], FAMILY_LSI),
        ([f"{MAPPED_LSI}:0050"], [], FAMILY_LSI),
        ([], ["0100007F:0050"], None),
        (["nonsense"], ["zz:00", ":", "0:0"], None),
    ],
)
def test_who_holds_the_port_decides(
    tmp_path: Path, tcp6: list[str], tcp: list[str], family: int | None
) -> None:
    assert families(tmp_path, tcp6, tcp).family_of(6, 80) == family


def test_other_protocols_and_missing_tables_have_no_holder(tmp_path: Path) -> None:
    chosen = PortFamilies([OUR_HIT], [OUR_LSI], directory=tmp_path)
    assert chosen.family_of(6, 80) is None
    assert chosen.family_of(132, 80) is None


def test_a_server_started_a_moment_ago_is_found(tmp_path: Path) -> None:
    chosen = families(tmp_path, [], [])
    assert chosen.family_of(6, 80) is None
    families(tmp_path, [], [f"{ANY4}:0050"])
    assert chosen.family_of(6, 80) == FAMILY_LSI


def test_a_known_holder_is_believed_for_a_while(tmp_path: Path) -> None:
    now = 0.0
    families(tmp_path, [], [f"{ANY4}:0050"])
    chosen = PortFamilies([OUR_HIT], [OUR_LSI], directory=tmp_path, clock=lambda: now)
    assert chosen.family_of(6, 80) == FAMILY_LSI
    families(tmp_path, [f"{ANY6}:0050"], [])
    assert chosen.family_of(6, 80) == FAMILY_LSI
    now = 1.0
    assert chosen.family_of(6, 80) == FAMILY_HIT


def test_a_peer_who_tries_ports_does_not_keep_us_reading(tmp_path: Path) -> None:
    now = 0.0
    families(tmp_path, [], [])
    chosen = PortFamilies([OUR_HIT], [OUR_LSI], directory=tmp_path, clock=lambda: now)
    for port in range(100, 1000):
        assert chosen.family_of(6, port) is None
    families(tmp_path, [], [f"{ANY4}:0050"])
    assert chosen.family_of(6, 80) is None
    now = 0.1
    assert chosen.family_of(6, 80) == FAMILY_LSI


def test_the_kernel_of_this_host_is_understood() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.bind(("127.0.0.1", 0))
        port = channel.getsockname()[1]
        text = Path("/proc/net/udp").read_text()
        assert (socket.inet_aton("127.0.0.1"), port) in parse_sockets(text)
