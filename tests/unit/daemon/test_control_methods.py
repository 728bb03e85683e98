"""What the daemon answers, in the shapes that the commands print."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from hipgw._fastpath.reasons import REASONS
from hipgw.daemon.address_watch import AddressWatch
from hipgw.daemon.config import PeerOptions
from hipgw.daemon.control import Access
from hipgw.daemon.control_methods import ControlMethods
from hipgw.daemon.control_protocol import RefusedError
from hipgw.daemon.drop_reasons import DAEMON_REASONS
from hipgw.daemon.engine_config import domain_identifier
from hipgw.daemon.views import drops_view, spell_domain_identifier
from hipgw.errors import ConfigError
from hipgw.netlink.monitor import UsableAddress
from hipgw.values import Direction, Quirk
from hipgw.values.reasons import CONTROL_REASONS
from tests.unit.cli import answers
from tests.unit.daemon import gateways
from tests.unit.daemon.gateways import MemoryGateway, settled

NEWCOMER = "2001:22::77"

Ask = Callable[..., Awaitable[dict[str, Any]]]
Story = Callable[[Ask, MemoryGateway, MemoryGateway], Awaitable[None]]


def tell(directory: Path, story: Story) -> None:
    async def with_ask(a: MemoryGateway, b: MemoryGateway) -> None:
        table = ControlMethods(a.gateway).table()

        async def ask(method: str, **params: object) -> dict[str, Any]:
            answer = await table[method].call(params)
            json.dumps(answer, allow_nan=False)
            return answer

        await story(ask, a, b)

    gateways.tell(directory, with_ask)


def test_connect_then_look_then_close(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        answer = await ask("connect", target="B", wait_s=5)
        assert answer["peer"]["hit"] == str(b.hit)
        assert answer["peer"]["state"] == "ESTABLISHED"
        assert 0 < answer["took_s"] < 5
        again = await ask("connect", target=answer["peer"]["lsi"])
        assert again["peer"]["spi_in"] == answer["peer"]["spi_in"]
        (association,) = (await ask("associations"))["associations"]
        assert association.keys() >= answers.ASSOCIATIONS["associations"][0].keys()
        assert association["esp_suite"] == "AES_GCM_16"
        assert association["role"] == "initiator"
        assert association["rx_octets"] == 100
        sas = (await ask("sas"))["sas"]
        assert sorted(sa["direction"] for sa in sas) == ["in", "out"]
        assert sas[0].keys() >= answers.SAS["sas"][0].keys()
        assert (await ask("close", target=str(b.hit))) == {"closed": [str(b.hit)]}
        await settled(a, b)
        assert (await ask("sas"))["sas"] == []
        with pytest.raises(RefusedError, match="no association") as caught:
            await ask("close", target="b")
        assert caught.value.code == "not_found"

    tell(tmp_path, story)


def test_status_has_the_shape_that_the_command_prints(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        status = await ask("status")
        assert status.keys() == answers.STATUS.keys()
        for part in ("host", "interface", "identity", "listening"):
            assert status[part].keys() >= answers.STATUS[part].keys(), part
        (peer,) = status["peers"]
        assert peer.keys() >= answers.QUIET_PEER.keys()
        assert (peer["hit"], peer["state"], peer["name"]) == (str(b.hit), "UNASSOCIATED", "b")
        await ask("connect", target="b")
        (peer,) = (await ask("status"))["peers"]
        assert peer.keys() >= answers.PEER.keys()
        assert peer["state"] == "ESTABLISHED"
        (hit,) = (await ask("hits"))["hits"]
        assert hit.keys() == answers.HITS["hits"][0].keys()
        assert hit["default"]

    tell(tmp_path, story)


def test_compatibility_switches_are_shown_and_come_with_a_reload(tmp_path: Path) -> None:
    """Both hosts have the one for the other, which shows that it reaches the engine."""
    quirk = Quirk.SWAPPED_MAC_KEYS

    def reload(gateway: MemoryGateway, peer: MemoryGateway, *quirks: Quirk) -> None:
        options = PeerOptions(peer.hit, compatibility=frozenset(quirks))
        gateway.gateway.compatible.update(replace(gateway.gateway.config, peers=(options,)))

    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        (peer,) = (await ask("peers"))["peers"]
        assert peer["compatibility"] == []
        reload(a, b, quirk)
        (peer,) = (await ask("peers"))["peers"]
        assert (peer["state"], peer["compatibility"]) == ("UNASSOCIATED", [str(quirk)])
        with pytest.raises(RefusedError):
            await ask("connect", target="b", wait_s=0.3)
        (drop,) = [one for one in drops_view(b.gateway) if one["reason"] == "mac_wrong"]
        assert drop["count"]
        assert (drop["latest"]["peer_hit"], drop["latest"]["detail"]) == (str(a.hit), "")
        assert str(quirk) in drop["switches"]
        reload(b, a, quirk)
        await ask("connect", target="b", wait_s=5)
        reload(a, b)
        (peer,) = (await ask("status"))["peers"]
        assert (peer["state"], peer["compatibility"]) == ("ESTABLISHED", [str(quirk)])

    tell(tmp_path, story)


def test_no_answer_holds_a_key(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        await ask("connect", target="b")
        keys = [sa.encryption_key for sa in a.backend.sas.values()]
        assert len(keys) == 2
        said = ""
        for method in ("status", "peers", "associations", "sas", "drops", "hits", "doctor"):
            said += json.dumps(await ask(method))
        for key in keys:
            assert key.hex()[:12] not in said
        assert keys[0].hex() not in repr(a.sas.records())

    tell(tmp_path, story)


def test_drops_show_all_three_tables(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        a.traffic.on_no_sa(b"", ())
        a.receive(b"short")
        drops = {entry["reason"]: entry for entry in (await ask("drops"))["drops"]}
        assert drops.keys() == {**CONTROL_REASONS, **REASONS, **DAEMON_REASONS}.keys()
        assert len(drops) == len(CONTROL_REASONS) + len(REASONS) + len(DAEMON_REASONS)
        assert drops["punt_malformed"]["count"] == 1
        assert drops["hip_short"]["count"] == 1
        assert drops["icv_wrong"] == {
            "reason": "icv_wrong",
            "count": 3,
            "meaning": REASONS["icv_wrong"],
            "where": "data",
            "latest": None,
            "switches": ["full-length-icv"],
        }
        assert drops["hip_short"]["switches"] == []
        assert drops["hip_short"]["latest"] is None

    tell(tmp_path, story)


def test_mappings_of_hipconf(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        await ask("map_add", hit=NEWCOMER, ip="192.0.2.7", lsi=None)
        answer = await ask("map_add", hit=NEWCOMER, ip="2001:db8::7", lsi="1.0.0.44")
        assert answer == {
            "hit": NEWCOMER,
            "ips": ["192.0.2.7", "2001:db8::7"],
            "lsi": "1.0.0.44",
            "names": [],
        }
        assert await ask("map_get", target="1.0.0.44") == answer
        assert (await ask("lsi_to_hit", lsi="1.0.0.44"))["hit"] == NEWCOMER
        assert (await ask("hit_to_lsi", hit=NEWCOMER))["lsi"] == "1.0.0.44"
        with pytest.raises(RefusedError) as caught:
            await ask("map_add", hit=str(b.hit), ip="192.0.2.8", lsi="1.0.0.44")
        assert caught.value.code == "wrong_lsi"
        assert (await ask("map_get", target="b"))["ips"] == ["127.0.0.1"]

    tell(tmp_path, story)


def test_an_lsi_in_use_does_not_move(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        await ask("connect", target="b")
        with pytest.raises(RefusedError, match="in use") as caught:
            await ask("map_add", hit=str(b.hit), ip="192.0.2.8", lsi="1.0.0.99")
        assert caught.value.code == "wrong_lsi"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("connect", {}, "bad_params"),
        ("connect", {"target": ""}, "bad_params"),
        ("connect", {"target": "nobody"}, "not_found"),
        ("connect", {"target": "1.0.0.200"}, "not_found"),
        ("connect", {"target": "2001:db8::1"}, "bad_params"),
        ("connect", {"target": "b", "wait_s": -1}, "bad_params"),
        ("connect", {"target": "b", "wait_s": float("nan")}, "bad_params"),
        ("connect", {"target": NEWCOMER}, "failed"),
        ("close", {"target": "nobody"}, "not_found"),
        ("map_add", {"hit": NEWCOMER, "ip": "127.0.0.1"}, "bad_params"),
        ("map_add", {"hit": NEWCOMER}, "bad_params"),
        ("map_add", {"hit": "2001:db8::1", "ip": "192.0.2.1"}, "bad_params"),
        ("set_default_hip_version", {"version": 3}, "bad_params"),
        ("set_default_hip_version", {}, "bad_params"),
        ("map_add", {"hit": "x", "ip": "192.0.2.1"}, "bad_params"),
        ("map_add", {"hit": NEWCOMER, "ip": "192.0.2.1", "lsi": "10.0.0.1"}, "wrong_lsi"),
        ("hit_to_lsi", {"hit": "::1"}, "bad_params"),
        ("lsi_to_hit", {"lsi": "1.0.0.222"}, "not_found"),
        ("lsi_to_hit", {}, "bad_params"),
        ("ping", {"x": 1}, "bad_params"),
        ("status", {"x": 1}, "bad_params"),
    ],
)
def test_refusals_have_codes(
    tmp_path: Path, method: str, params: dict[str, Any], code: str
) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        with pytest.raises(RefusedError) as caught:
            await ask(method, **params)
        assert caught.value.code == code

    tell(tmp_path, story)


def test_this_host_is_no_peer(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        for target in (str(a.hit), str(a.lsi)):
            with pytest.raises(RefusedError, match="this host"):
                await ask("connect", target=target)

    tell(tmp_path, story)


def test_connect_says_when_nobody_answers(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        a.sockets.is_cut = True
        with pytest.raises(RefusedError, match="I1-SENT") as caught:
            await ask("connect", target="b", wait_s=0.05)
        assert caught.value.code == "timeout"

    tell(tmp_path, story)


def test_rekey_makes_new_sas_and_the_totals_go_on(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        a.backend.packets = 1
        old = (await ask("connect", target="b"))["peer"]
        for gateway in (a, b):
            (spi_in,) = (spi for way, spi in gateway.backend.sas if way is Direction.IN)
            gateway.traffic.on_first_esp(b"", (spi_in,))
        answer = await ask("rekey", target="b", wait_s=5)
        new = answer["peer"]
        assert {new["spi_in"], new["spi_out"]}.isdisjoint({old["spi_in"], old["spi_out"]})
        assert (new["rekeys"], new["state"]) == (1, "ESTABLISHED")
        # The double counts 100 octets for each packet, and one packet for each SA.
        assert (old["tx_octets"], new["tx_octets"]) == (100, 200)

    tell(tmp_path, story)


def test_an_update_by_hand_replaces_keys_where_asked(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        await ask("connect", target="b")
        for gateway in (a, b):  # both have heard of each other's data
            spi_in = next(spi for direction, spi in gateway.backend.sas if not direction)
            gateway.traffic.on_first_esp(b"", (spi_in,))
        assert (await ask("manual_update", target="b", rekey=True)) == {"peers": 1}
        await settled(a, b)
        assert (await ask("associations"))["associations"][0]["rekeys"] == 1

    tell(tmp_path, story)


@pytest.mark.parametrize("method", ["rekey", "manual_update"])
def test_without_an_association_there_is_nothing_to_update(tmp_path: Path, method: str) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        with pytest.raises(RefusedError) as refusal:
            await ask(method, target="b")
        assert refusal.value.code == "not_found"
        assert (await ask("manual_update")) == {"peers": 0}

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("address", "code"),
    [("192.0.2.1", "not_found"), ("nonsense", "bad_params"), ("", "bad_params")],
)
def test_a_further_pair_needs_an_association_and_an_address(
    tmp_path: Path, address: str, code: str
) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        with pytest.raises(RefusedError) as refusal:
            await ask("open_sa_pair", target="b", address=address)
        assert refusal.value.code == code

    tell(tmp_path, story)


def test_a_rekey_that_nobody_answers_times_out(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        await ask("connect", target="b")
        a.sockets.is_cut = True
        with pytest.raises(RefusedError) as refusal:
            await ask("rekey", target="b", wait_s=0.05)
        assert refusal.value.code == "timeout"
        assert (await ask("associations"))["associations"][0]["rekeying"]

    tell(tmp_path, story)


def test_locators_and_puzzle_are_shown(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        assert (await ask("locators")) == {"locators": [], "announce_locators": False}
        watch = AddressWatch(a.gateway)
        watch.report((UsableAddress("eth0", IPv4Address("192.0.2.1"), 0),))
        assert (await ask("locators"))["locators"] == ["192.0.2.1"]
        assert watch.is_wanted("eth0", IPv4Address("192.0.2.1"))
        assert not watch.is_wanted("hip0", IPv4Address("192.0.2.1"))
        assert not watch.is_wanted("eth0", IPv4Address("1.0.0.9"))
        assert not watch.is_wanted("eth0", IPv6Address("2001:22::9"))
        shown = {"k": 0, "mode": "auto", "least": 0, "ceiling": 16, "peers": []}
        assert (await ask("puzzle")) == shown

    tell(tmp_path, story)


def test_only_what_changes_something_needs_root(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        table = ControlMethods(a.gateway).table()
        changing = {name for name, method in table.items() if method.access is Access.CHANGE}
        assert changing == {
            *("connect", "close", "map_add", "rekey", "manual_update", "open_sa_pair"),
            *("reload", "set", "set_peer_puzzle", "new_puzzle", "set_default_hip_version"),
            *("identity_new", "identity_add", "identity_remove", "identity_rotate"),
            *("opportunistic_set", "pins_remove"),
            "certificate",
        }

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("text", "kind", "octets"),
    [
        ("", 0, b""),
        ("gw1.example.org", 1, b"\x03gw1\x07example\x03org\0"),
        ("gw1", 1, b"\x03gw1\0"),
        ("joe@example.org", 2, b"joe@example.org"),
    ],
)
def test_domain_identifiers_go_both_ways(text: str, kind: int, octets: bytes) -> None:
    assert domain_identifier(text) == (kind, octets)
    assert spell_domain_identifier(kind, octets) == (text or None)


def test_a_label_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 to 63"):
        domain_identifier("x" * 64 + ".org")


@pytest.mark.parametrize(
    ("kind", "octets", "spelled"),
    [
        (1, b"\x05ab", None),
        (1, b"\xff" + b"a" * 255, None),
        (1, b"\x04a\n\x1b]", "a\\010\\027]"),
        (2, b"j\\oe\x00", "j\\092oe\\000"),
        (7, b"x", None),
        (1, b"\0", None),
    ],
)
def test_odd_names_of_peers_are_harmless(kind: int, octets: bytes, spelled: str | None) -> None:
    assert spell_domain_identifier(kind, octets) == spelled
