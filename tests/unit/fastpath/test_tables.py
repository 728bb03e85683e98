"""The SA tables against dictionaries."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hipgw._fastpath.tables import SaTables

GCM, ENCRYPTION_KEY = 13, bytes(range(20))
HITS = [bytes.fromhex("20010020") + bytes(11) + bytes([n]) for n in range(6)]
LSIS = [bytes(4), *(bytes([1, 0, 0, n]) for n in range(1, 5))]
SPIS = st.one_of(st.integers(256, 300), st.integers(256, 0xFFFFFFFF))


def install_out(
    tables: SaTables,
    spi: int,
    local: bytes,
    peer: bytes,
    lsi: bytes = bytes(4),
    *,
    sequence: int = 0,
) -> None:
    tables.install_out(
        spi,
        GCM,
        ENCRYPTION_KEY,
        b"",
        local,
        peer,
        LSIS[1],
        lsi,
        family=4,
        source=bytes(4),
        destination=b"\x7f\0\0\1",
        udp=True,
        source_port=10500,
        destination_port=10500,
        sequence=sequence,
    )


def install_in(tables: SaTables, spi: int, suite: int = GCM, key: bytes = ENCRYPTION_KEY) -> None:
    tables.install_in(spi, suite, key, b"", HITS[0], HITS[1], LSIS[0], LSIS[0])


class TablesMachine(RuleBasedStateMachine):
    """Installs, replacements and removals in any order answer as dictionaries do."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = SaTables()
        self.inbound: set[int] = set()
        self.outbound: dict[tuple[bytes, bytes], tuple[int, bytes]] = {}
        self.by_lsi: dict[bytes, tuple[bytes, bytes]] = {}

    @rule(spi=SPIS)
    def add_in(self, spi: int) -> None:
        if spi in self.inbound:
            with pytest.raises(ValueError, match="in use"):
                install_in(self.tables, spi)
        else:
            install_in(self.tables, spi)
            self.inbound.add(spi)

    @rule(spi=SPIS)
    def remove_in(self, spi: int) -> None:
        assert self.tables.remove_in(spi) == (spi in self.inbound)
        self.inbound.discard(spi)

    @rule(spi=SPIS, local=st.sampled_from(HITS[:2]), peer=st.sampled_from(HITS[2:]), data=st.data())
    def add_out(self, spi: int, local: bytes, peer: bytes, data: st.DataObject) -> None:
        lsi = data.draw(st.sampled_from(LSIS))
        install_out(self.tables, spi, local, peer, lsi)
        self.forget(local, peer)
        self.outbound[local, peer] = spi, lsi
        if any(lsi):
            self.by_lsi[lsi] = local, peer

    @rule(local=st.sampled_from(HITS[:2]), peer=st.sampled_from(HITS[2:]), spi=SPIS)
    def remove_out(self, local: bytes, peer: bytes, spi: int) -> None:
        held = self.outbound.get((local, peer))
        spi = held[0] if held else spi
        assert self.tables.remove_out(spi, local, peer) == (held is not None)
        self.forget(local, peer)

    def forget(self, local: bytes, peer: bytes) -> None:
        self.outbound.pop((local, peer), None)
        self.by_lsi = {lsi: pair for lsi, pair in self.by_lsi.items() if pair != (local, peer)}

    @invariant()
    def look_ups_agree(self) -> None:
        for local in HITS[:2]:
            for peer in HITS[2:]:
                expected = self.outbound.get((local, peer), (None, b""))[0]
                assert self.tables.out_spi(local, peer) == expected
        for lsi in LSIS[1:]:
            pair = self.by_lsi.get(lsi)
            assert self.tables.out_spi_by_lsi(LSIS[1], lsi) == (
                self.outbound[pair][0] if pair else None
            )
        for spi in range(256, 301):
            assert self.tables.has_in(spi) == (spi in self.inbound)
        rows = self.tables.statistics()
        assert {row[1] for row in rows if row[0] == 0} == self.inbound
        assert {row[6:] for row in rows if row[0] == 1} == self.outbound.keys()

    @invariant()
    def nothing_waits_without_workers(self) -> None:
        assert self.tables.reclaim() == 0


TestTables = TablesMachine.TestCase
TestTables.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_thousands_of_sas_are_found_and_removed() -> None:
    tables = SaTables()
    for spi in range(256, 5256):
        install_in(tables, spi)
    assert all(tables.has_in(spi) for spi in range(256, 5256))
    assert not tables.has_in(5256)
    for spi in range(256, 5256, 2):
        assert tables.remove_in(spi)
    assert [spi for spi in range(256, 5256) if tables.has_in(spi)] == list(range(257, 5256, 2))


def test_two_peers_may_choose_the_same_spi() -> None:
    tables = SaTables()
    install_out(tables, 7777, HITS[0], HITS[1])
    install_out(tables, 7777, HITS[0], HITS[2])
    assert tables.remove_out(7777, HITS[0], HITS[2])
    assert tables.out_spi(HITS[0], HITS[1]) == 7777
    assert tables.out_spi(HITS[0], HITS[2]) is None
    assert tables.remove_out(7777)
    assert not tables.remove_out(7777)


def test_a_rekey_starts_at_one_and_a_new_address_does_not() -> None:
    """Same SPI: same keys, so numbers already used must never come again (RFC 4106 section 3.1)."""
    tables = SaTables()

    def sequence() -> int:
        [row] = tables.statistics()
        return row[4]

    install_out(tables, 1000, HITS[0], HITS[1], sequence=5)
    assert sequence() == 5
    install_out(tables, 1000, HITS[0], HITS[1])
    assert sequence() > 5 + 65536
    install_out(tables, 1001, HITS[0], HITS[1])
    assert sequence() == 0


@pytest.mark.parametrize("spi", [0, 1, 255, 0x1_0000_0000])
def test_reserved_spis_are_refused(spi: int) -> None:
    tables = SaTables()
    with pytest.raises(ValueError, match="SPI"):
        install_in(tables, spi)
    with pytest.raises(ValueError, match="SPI"):
        install_out(tables, spi, HITS[0], HITS[1])


@pytest.mark.parametrize(
    ("suite", "key", "words"),
    [(13, bytes(16), "20 and 0 octets"), (8, bytes(16), "16 and 32"), (99, b"", "not carried")],
)
def test_keys_that_do_not_fit_are_refused_without_showing_them(
    suite: int, key: bytes, words: str
) -> None:
    tables = SaTables()
    with pytest.raises(ValueError, match=words) as raised:
        install_in(tables, 256, suite, key)
    assert key.hex() not in str(raised.value) or not key
    assert not tables.has_in(256)


def test_names_of_the_wrong_length_are_refused() -> None:
    tables = SaTables()
    with pytest.raises(ValueError, match="local HIT has 16 octets, not 4"):
        tables.install_in(256, GCM, ENCRYPTION_KEY, b"", b"abcd", HITS[0], LSIS[0], LSIS[0])
    with pytest.raises(ValueError, match="outer destination has 4 octets, not 16"):
        tables.install_out(
            256,
            GCM,
            ENCRYPTION_KEY,
            b"",
            HITS[0],
            HITS[1],
            LSIS[0],
            LSIS[0],
            family=4,
            source=bytes(4),
            destination=bytes(16),
            udp=False,
            source_port=0,
            destination_port=0,
        )


def test_two_local_lsis_towards_one_peer_have_an_sa_each() -> None:
    """Two identities of one host: which of them speaks is told by the source LSI."""
    tables = SaTables()
    for number, local_lsi in enumerate(LSIS[1:3]):
        tables.install_out(
            300 + number,
            GCM,
            ENCRYPTION_KEY,
            b"",
            HITS[number],
            HITS[5],
            local_lsi,
            LSIS[4],
            family=4,
            source=bytes(4),
            destination=b"\x7f\0\0\1",
            udp=True,
            source_port=10500,
            destination_port=10500,
        )
    assert [tables.out_spi_by_lsi(local, LSIS[4]) for local in LSIS[1:4]] == [300, 301, None]
    assert tables.remove_out(300, HITS[0], HITS[5])
    assert [tables.out_spi_by_lsi(local, LSIS[4]) for local in LSIS[1:4]] == [None, 301, None]
