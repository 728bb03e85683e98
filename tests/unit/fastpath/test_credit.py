"""An SA that is limited sends its credit and not an octet more (RFC 8046 section 5.6)."""

from __future__ import annotations

import pytest

from tests.unit.fastpath.wires import HIT_A, HIT_B, LSI_A, LSI_B, SPI_AB, hit_udp, wait_until, wired

pytestmark = pytest.mark.usefixtures("each_way")

UDP = 17
PACKET = hit_udp(b"ten octets")


def test_credit_is_spent_once_adds_up_and_is_lifted() -> None:
    with wired() as (a, b):
        b.path.set_port_family(UDP, 2000, 6)

        def send(count: int) -> tuple[int, int]:
            """Packets sent and packets refused of `count`."""
            before = a.path.counters()
            for _ in range(count):
                a.application.send(PACKET)
            wait_until(lambda: a.path.counters()["tun_rx"] == before["tun_rx"] + count)
            wait_until(
                lambda: (
                    sum(a.path.counters()[name] for name in ("esp_tx", "credit_spent"))
                    == before["esp_tx"] + before["credit_spent"] + count
                )
            )
            after = a.path.counters()
            sent = after["esp_tx"] - before["esp_tx"]
            assert [b.application.recv(4096) for _ in range(sent)] == [PACKET] * sent
            return sent, after["credit_spent"] - before["credit_spent"]

        limit = a.path.limit_out
        assert send(3) == (3, 0)
        assert limit(SPI_AB, HIT_A, HIT_B, 2 * len(PACKET) + 5)
        assert send(4) == (2, 2)
        assert limit(SPI_AB, HIT_A, HIT_B, len(PACKET) - 5)  # the 5 left over count
        assert send(2) == (1, 1)
        assert limit(SPI_AB, HIT_A, HIT_B, None)
        assert send(3) == (3, 0)
        assert limit(SPI_AB, HIT_A, HIT_B, 0)  # after None it starts from nothing
        assert send(1) == (0, 1)


def test_a_move_keeps_the_limit() -> None:
    with wired() as (a, b):
        assert a.path.limit_out(SPI_AB, HIT_A, HIT_B, 0)
        a.install_out(SPI_AB, (HIT_A, HIT_B), (LSI_A, LSI_B), b.port)
        a.application.send(PACKET)
        wait_until(lambda: a.path.counters()["credit_spent"] == 1)
        assert a.path.counters()["esp_tx"] == 0


def test_an_sa_that_is_not_there_cannot_be_limited() -> None:
    with wired() as (a, _):
        assert not a.path.limit_out(SPI_AB + 1, HIT_A, HIT_B, 5)
