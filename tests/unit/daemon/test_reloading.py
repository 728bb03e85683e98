"""Reload and changes by hand: what holds at once, what waits for a restart, what is refused."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from hipgw.daemon.config import (
    Config,
    HipOptions,
    HostIdentityOptions,
    LegacyOptions,
    OpportunisticOptions,
)
from hipgw.daemon.control_methods import ControlMethods
from hipgw.daemon.control_protocol import RefusedError
from hipgw.daemon.engine_config import associations_most, endpoint_config
from hipgw.proto import State
from hipgw.values import DhGroup, Hit
from tests.unit.daemon import gateways
from tests.unit.daemon.gateways import MemoryGateway, gateway_pair, settled


def tell(directory: Path, story: Any) -> None:
    async def with_ask(a: MemoryGateway, b: MemoryGateway) -> None:
        methods = ControlMethods(a.gateway, directory / "hipgw.toml").table()

        async def ask(method: str, **params: object) -> dict[str, Any]:
            return await methods[method].call(params)

        await story(ask, a, b)

    gateways.tell(directory, with_ask)


def write(directory: Path, text: str) -> None:
    (directory / "hipgw.toml").write_text(text)


def test_a_reload_says_what_holds_and_what_waits(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        await ask("connect", target="b")
        write(tmp_path, "[hip]\nheartbeat_s = 7\npuzzle_k = 3\n[network]\nudp_port = 10501\n")
        said = await ask("reload")
        assert said == {
            "taken": ["hip.puzzle_k", "hip.heartbeat_s"],
            "restart_needed": ["network.udp_port"],
        }
        assert a.engine.endpoint.config.heartbeat_s == 7.0
        assert a.gateway.config.network.udp_port == 10500
        again = await ask("reload")
        assert again == {"taken": [], "restart_needed": ["network.udp_port"]}
        status = await ask("status")
        assert (status["hip"]["heartbeat_s"], status["hip"]["puzzle_k"]) == (7.0, 3)
        assert status["associations"] == {"total": 1, "by_state": {"ESTABLISHED": 1}}
        assert [view.state for view in a.engine.endpoint.associations()] == [State.ESTABLISHED]
        await settled(a, b)

    tell(tmp_path, story)


def test_a_file_with_a_mistake_changes_nothing(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        for text in ("[hip]\nheartbeat_s = 7\nnonsense = 1\n", "[hip\n"):
            write(tmp_path, text)
            with pytest.raises(RefusedError, match="configuration not taken"):
                await ask("reload")
        assert a.engine.endpoint.config.heartbeat_s == 0.0

    tell(tmp_path, story)


def test_changes_by_hand_act_at_once_and_end_with_a_reload(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        write(tmp_path, "")
        said = await ask("set", heartbeat_s=5, shotgun=True, announce_locators=True)
        assert said == {"set": {"heartbeat_s": 5.0, "shotgun": True, "announce_locators": True}}
        config = a.engine.endpoint.config
        assert (config.heartbeat_s, config.shotgun, config.announce_locators) == (5.0, True, True)
        assert a.gateway.paths.all_pairs
        assert (await ask("status"))["hip"]["changed_by_hand"] == [
            "hip.announce_locators",
            "hip.heartbeat_s",
            "hip.shotgun",
        ]
        said = await ask("reload")
        assert set(said["taken"]) == {"hip.announce_locators", "hip.heartbeat_s", "hip.shotgun"}
        assert (await ask("status"))["hip"]["changed_by_hand"] == []
        assert not a.gateway.paths.all_pairs
        await settled(a, b)

    tell(tmp_path, story)


def test_the_puzzle_by_hand(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        assert (await ask("puzzle"))["mode"] == "auto"
        await ask("set", puzzle="fixed", puzzle_k=9)
        shown = {"k": 9, "mode": "fixed", "least": 9, "ceiling": 9, "peers": []}
        assert await ask("puzzle") == shown
        before = a.counter
        assert (await ask("new_puzzle"))["k"] == 9
        assert a.counter == before + 1
        await settled(a, b)

    tell(tmp_path, story)


def test_the_puzzle_of_one_peer_by_hand(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        hit, engine = str(b.hit), a.engine.endpoint
        assert await ask("puzzle", hit=hit) == {"hit": hit, "k": 0, "own": False}
        before = a.counter
        said = await ask("set_peer_puzzle", hit=hit, k=7)
        assert said == {"hit": hit, "k": 7, "own": True} == await ask("puzzle", hit=hit)
        assert (a.counter, engine.config.puzzle_ks) == (before + 1, {b.hit: 7})
        shown = await ask("puzzle")
        assert (shown["k"], shown["peers"]) == (0, [{"hit": hit, "k": 7}])
        assert (await ask("status"))["hip"]["changed_by_hand"] == [f"peer {hit} puzzle_k"]
        await ask("set", heartbeat_s=5)
        assert engine.config.puzzle_ks == {b.hit: 7}, "another change by hand leaves it"
        await ask("set_peer_puzzle", hit=hit)
        assert engine.config.puzzle_ks == {}
        assert (await ask("new_puzzle", hit=hit))["k"] == 0
        await settled(a, b)

    tell(tmp_path, story)


def test_the_puzzle_of_one_peer_in_the_file(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        hit, engine = str(b.hit), a.engine.endpoint
        text = f'[[peer]]\nhit = "{hit}"\npuzzle_k = 4\n'
        write(tmp_path, text)
        assert (await ask("reload"))["taken"] == ["peer"]
        assert engine.config.puzzle_ks == {b.hit: 4}
        await ask("set_peer_puzzle", hit=hit)
        assert engine.config.puzzle_ks == {}, "by hand comes first"
        assert (await ask("reload"))["taken"] == ["peer"]
        assert engine.config.puzzle_ks == {b.hit: 4}
        assert (await ask("status"))["hip"]["changed_by_hand"] == []
        await settled(a, b)

    tell(tmp_path, story)


def test_legacy_for_every_peer_comes_and_goes(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        engine = a.engine.endpoint
        assert not engine.config.is_legacy(b.hit)
        write(tmp_path, '[legacy]\nevery_peer = true\ndh_groups = ["modp-1536"]\n')
        said = await ask("reload")
        assert said == {"taken": ["legacy.every_peer", "legacy.dh_groups"], "restart_needed": []}
        assert engine.config.is_legacy(b.hit)
        assert engine.config.speaks_v1()
        assert engine.config.v1_dh_groups == (DhGroup.MODP_1536,)
        write(tmp_path, "")
        assert set((await ask("reload"))["taken"]) == {"legacy.every_peer", "legacy.dh_groups"}
        assert not engine.config.is_legacy(b.hit)
        assert not engine.config.speaks_v1()
        await settled(a, b)

    tell(tmp_path, story)


def test_an_association_that_is_legacy_no_more_is_closed(tmp_path: Path) -> None:
    weak = Config(hip=HipOptions(dh_groups=(DhGroup.MODP_1536,)), legacy=LegacyOptions(True))

    async def story() -> None:
        a, b = await gateway_pair(tmp_path, weak)
        methods = ControlMethods(a.gateway, tmp_path / "hipgw.toml").table()
        await methods["connect"].call({"target": "b"})
        shown = [await methods[name].call({}) for name in ("peers", "sas", "status")]
        rows = [*shown[0]["peers"], *shown[1]["sas"], *shown[2]["peers"]]
        assert len(rows) == 4
        assert all(row["legacy"] and row["version"] == 2 for row in rows)
        assert all(row["legacy_use"] == ["group MODP-1536"] for row in rows)
        write(tmp_path, '[hip]\ndh_groups = ["modp-1536"]\n[legacy]\nevery_peer = false\n')
        assert (await methods["reload"].call({}))["taken"] == ["legacy.every_peer"]
        await settled(a, b)
        assert a.engine.endpoint.associations() == []
        a.engine.close()
        b.engine.close()

    asyncio.run(story())


def test_another_domain_identifier_is_shown_to_the_next_peer(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        special = HostIdentityOptions("special", anonymous=True, domain_identifier="me@example.org")
        ghost = HostIdentityOptions("ghost", anonymous=True)
        for options in (special, ghost):
            await a.gateway.own.make(options)
        write(tmp_path, '[identity]\ndomain_identifier = "gw.example.org"\n')
        assert (await ask("reload"))["taken"] == ["identity.domain_identifier"]
        await settled(a, b)
        named = {one["name"]: one["domain_identifier"] for one in (await ask("hits"))["hits"]}
        assert named == {"key": "gw.example.org", "special": "me@example.org", "ghost": None}
        await ask("connect", target="b")
        (view,) = b.engine.endpoint.associations()
        assert (view.peer_di_type, view.peer_di) == (1, b"\x02gw\x07example\x03org\0")
        counter = a.counter
        assert (await ask("reload"))["taken"] == []
        assert a.counter == counter, "no new R1s where nothing has changed"
        write(tmp_path, f'[identity]\ndomain_identifier = "{64 * "x"}.org"\n')
        with pytest.raises(RefusedError, match="1 to 63"):
            await ask("reload")
        assert a.gateway.config.identity.domain_identifier == "gw.example.org"

    tell(tmp_path, story)


def test_opportunistic_mode_follows_the_file(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        write(tmp_path, "[opportunistic]\nanswer = true\ninitiate = true\npin = false\n")
        taken = (await ask("reload"))["taken"]
        assert taken == ["opportunistic.answer", "opportunistic.initiate", "opportunistic.pin"]
        shown = {"answer": True, "initiate": True, "pin": False}
        assert await ask("opportunistic") == shown
        core = a.engine.endpoint._core
        assert core.answers_opportunistic
        await ask("opportunistic_set", answer=False)
        status = await ask("status")
        assert status["hip"]["changed_by_hand"] == ["opportunistic.answer"]
        await ask("set", heartbeat_s=5)
        assert not core.answers_opportunistic, "another change by hand leaves it"
        assert set((await ask("reload"))["taken"]) == {"hip.heartbeat_s", "opportunistic.answer"}
        assert await ask("opportunistic") == shown
        assert core.answers_opportunistic
        assert (await ask("reload"))["taken"] == []
        await settled(a, b)

    tell(tmp_path, story)


def test_pins_are_used_once_the_file_says_so(tmp_path: Path) -> None:
    address = IPv4Address("192.0.2.77")

    async def story() -> None:
        a, b = await gateway_pair(tmp_path, Config(opportunistic=OpportunisticOptions(pin=False)))
        methods = ControlMethods(a.gateway, tmp_path / "hipgw.toml").table()
        await a.gateway.opportunity.pins.keep(address, b.hit)
        assert address not in a.resolver.locators_of(b.hit)
        write(tmp_path, "")
        assert (await methods["reload"].call({}))["taken"] == ["opportunistic.pin"]
        assert address in a.resolver.locators_of(b.hit)
        a.engine.close()
        b.engine.close()

    asyncio.run(story())


def test_subnets_must_fit_the_prefix_of_lsis_that_holds_until_the_restart(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        text = f'[network]\nlsi_prefix = "10.0.0.0/8"\n[[peer]]\nhit = "{b.hit}"\nsubnets = '
        write(tmp_path, text + '["1.2.0.0/16"]\n')
        with pytest.raises(RefusedError, match=r"1\.2\.0\.0/16 .* until a restart"):
            await ask("reload")
        assert a.gateway.config == Config()
        write(tmp_path, text + '["192.0.2.0/24"]\n')
        assert (await ask("reload"))["restart_needed"] == ["network.lsi_prefix"]

    tell(tmp_path, story)


def test_so_many_peers_have_a_puzzle_of_their_own(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        hits = [Hit(bytes.fromhex("20010022") + n.to_bytes(12, "big")) for n in range(65)]
        for hit in hits[:64]:
            await ask("set_peer_puzzle", hit=str(hit), k=1)
        bad: tuple[dict[str, object], ...] = (
            {"hit": str(hits[64]), "k": 1},
            {"hit": str(hits[0]), "k": 29},
            {"hit": "2001:db8::1", "k": 1},
            {},
        )
        for params in bad:
            with pytest.raises(RefusedError) as caught:
                await ask("set_peer_puzzle", **params)
            assert caught.value.code == "bad_params"
        assert a.engine.endpoint.config.puzzle_ks == dict.fromkeys(hits[:64], 1)
        tables = "".join(f'[[peer]]\nhit = "{hit}"\npuzzle_k = 1\n' for hit in hits)
        write(tmp_path, tables)
        with pytest.raises(RefusedError, match="at most 64 peers"):
            await ask("reload")

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"heartbeat_s": -1},
        {"heartbeat_s": "often"},
        {"puzzle": "hard"},
        {"puzzle_k": 29},
        {"esp_suites": ["aes-128-gcm-16"]},
        {"udp_port": 1},
    ],
    ids=str,
)
def test_what_cannot_be_set_is_refused(tmp_path: Path, params: dict[str, object]) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        with pytest.raises(RefusedError) as caught:
            await ask("set", **params)
        assert caught.value.code == "bad_params"
        assert a.gateway.config == Config()

    tell(tmp_path, story)


def test_lists_come_in_shares(tmp_path: Path) -> None:
    async def story(ask: Any, a: MemoryGateway, b: MemoryGateway) -> None:
        await ask("connect", target="b")
        for method, total in (("peers", 1), ("associations", 1), ("sas", 2)):
            whole = await ask(method)
            assert (len(whole[method]), whole["total"]) == (total, total)
            assert (await ask(method, most=0))[method] == []
            last = await ask(method, first=total - 1, most=5)
            assert [row.get("spi") for row in last[method]] == [whole[method][-1].get("spi")]
            assert (await ask(method, first=total))[method] == []
            with pytest.raises(RefusedError):
                await ask(method, first=-1)
        status = await ask("status", most=0)
        assert (status["peers"], status["peers_total"]) == ([], 1)

    tell(tmp_path, story)


def test_memory_is_a_ceiling_too() -> None:
    assert associations_most(HipOptions()) == 100_000
    assert associations_most(HipOptions(associations_memory_octets=8_192_000)) == 1000
    assert associations_most(HipOptions(associations_memory_octets=1)) == 1
    few = HipOptions(associations_limit=10, associations_memory_octets=1 << 40)
    assert associations_most(few) == 10


def test_the_ceiling_of_k_is_never_below_its_floor() -> None:
    config = Config(hip=HipOptions(puzzle_k=20, puzzle_k_ceiling=10))
    assert endpoint_config(config, 0).puzzle_k_ceiling == 20


def test_the_ceiling_that_is_shown_is_the_one_that_holds(tmp_path: Path) -> None:
    async def story() -> None:
        config = Config(hip=HipOptions(puzzle_k=12, puzzle_k_ceiling=10))
        a, b = await gateway_pair(tmp_path, config)
        shown = await ControlMethods(a.gateway).table()["puzzle"].call({})
        assert shown == {"k": 12, "mode": "auto", "least": 12, "ceiling": 12, "peers": []}
        a.engine.close()
        b.engine.close()

    asyncio.run(story())
