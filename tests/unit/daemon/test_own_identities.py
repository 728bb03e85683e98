"""Identities at the start and at run time, and peers found by address, without a host."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hipgw.daemon import own_identities
from hipgw.daemon.certificate_config import CertificateOptions, load_certificates
from hipgw.daemon.config import (
    Config,
    HipOptions,
    HostIdentityOptions,
    IdentityOptions,
    LegacyOptions,
    NetworkOptions,
    OpportunisticOptions,
    PeerOptions,
)
from hipgw.daemon.control_methods import ControlMethods
from hipgw.daemon.control_protocol import RefusedError
from hipgw.daemon.keys import NamedIdentity
from hipgw.daemon.own_identities import start_identities
from hipgw.errors import LocalProtocolError
from hipgw.proto import State
from hipgw.values import Hit
from tests.unit.crypto.certificate_forge import identity as certified
from tests.unit.crypto.certificate_forge import leaf as certificate_of
from tests.unit.daemon import gateways
from tests.unit.daemon.gateways import LOOPBACK, MemoryGateway, Story, settled

OPEN = Config(opportunistic=OpportunisticOptions(answer=True, initiate=True))


def tell(directory: Path, story: Story, config: Config | None = None) -> None:
    keys = directory / "keys"
    keys.mkdir()
    identity = IdentityOptions(directory=keys)
    gateways.tell(directory, story, replace(config or Config(), identity=identity))


async def ask(gateway: MemoryGateway, method: str, **params: object) -> dict[str, object]:
    answer = await ControlMethods(gateway.gateway).table()[method].call(params)
    json.dumps(answer, allow_nan=False)
    return answer


# --- at the start ---


def test_the_start_takes_every_key_and_makes_what_is_asked_for(tmp_path: Path) -> None:
    config = Config(
        identity=IdentityOptions(directory=tmp_path, domain_identifier="gw.example.org"),
        host_identities=(
            HostIdentityOptions("ghost", anonymous=True, rotate_s=60.0),
            HostIdentityOptions("kept", anonymous=True, keep=True),
            HostIdentityOptions("work", "ed25519", domain_identifier="me@example.org"),
            HostIdentityOptions("ecdsa-p256", domain_identifier=""),
        ),
    )
    first = {entry.name: entry for entry in start_identities(config)}
    again = {entry.name: entry for entry in start_identities(config)}
    assert next(iter(first)) == next(iter(again)) == "ecdsa-p256"
    assert first.keys() == again.keys() == {"ecdsa-p256", "ghost", "kept", "work"}
    same = {name for name in first if first[name].hit == again[name].hit}
    assert same == {"ecdsa-p256", "kept", "work"}, "a key in memory is another one every time"
    assert not (tmp_path / "ghost.pem").exists()
    assert {name: one.traits.is_anonymous for name, one in again.items()} == {
        "ecdsa-p256": False,
        "kept": True,
        "work": False,
        "ghost": True,
    }
    assert {name: one.traits.di_type for name, one in again.items()} == {
        "ecdsa-p256": 0,
        "kept": 0,
        "work": 2,
        "ghost": 0,
    }
    assert again["work"].identity.public.kind == "ed25519"
    assert (again["ghost"].rotate_s, again["ghost"].is_on_disk) == (60.0, False)
    (tmp_path / "other.pem").write_bytes((tmp_path / "work.pem").read_bytes())
    (tmp_path / "other.pem").chmod(0o600)
    general = {one.name: one for one in start_identities(config)}["other"]
    assert general.traits.di == b"\x02gw\x07example\x03org\x00"


# --- at run time ---


def test_an_identity_is_made_used_and_taken_away(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        made = await ask(a, "identity_new", name="work")
        view = made["identity"]
        assert isinstance(view, dict)
        assert (tmp_path / "keys" / "work.pem").exists()
        assert a.addressed[-1] == (a.hit, a.gateway.facts.hits[1])
        assert view["lsi"] == "1.0.0.2"
        await settled(a)
        answer = await ask(a, "connect", target="b", local="work")
        assert answer["peer"]["local_hit"] == view["hit"]  # type: ignore[index]
        second = await ask(a, "connect", target="b", local="1.0.0.1")
        assert second["peer"]["local_hit"] == str(a.hit)  # type: ignore[index]
        assert await ask(a, "identity_remove", target="work") == {"removed": [view["hit"]]}
        await settled(a, b)
        assert a.gateway.facts.hits == (a.hit,)
        assert a.addressed[-1] == (a.hit,)
        assert a.lsis.known_lsi(a.gateway.facts.hits[0]) == a.lsi
        states = {one.local: one.state for one in a.engine.endpoint.associations()}
        assert states == {a.hit: State.ESTABLISHED}, "the other one is untouched"
        added = await ask(a, "identity_add")
        assert [one["hit"] for one in added["identities"]] == [view["hit"]]  # type: ignore[attr-defined]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("method", "params", "code", "what"),
    [
        ("identity_new", {"name": "key"}, "conflict", "called 'key' already"),
        ("identity_new", {"name": "../key"}, "bad_params", "is no name"),
        ("identity_new", {"name": "x", "kind": "dsa-1024"}, "bad_params", "kind"),
        ("identity_new", {"name": "x", "domain_identifier": "a..b"}, "conflict", "labels"),
        ("identity_add", {"name": "nothere"}, "failed", "No such file"),
        ("identity_remove", {"target": "key"}, "failed", "it stays"),
        ("identity_remove", {"target": "nobody"}, "not_found", "'nobody'"),
        ("identity_rotate", {"target": "key"}, "failed", "only anonymous identities rotate"),
        ("connect", {"target": "b", "local": "nobody"}, "not_found", "'nobody'"),
        ("connect", {"target": "b", "local": "key", "anonymous": True}, "bad_params", "not anon"),
        ("connect", {"target": "192.0.2.7", "opportunistic": True}, "failed", "mode is off"),
        ("pins_remove", {"target": "192.0.2.7"}, "not_found", "no pin"),
    ],
)
def test_refusals(
    tmp_path: Path, method: str, params: dict[str, object], code: str, what: str
) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        with pytest.raises(RefusedError, match=what) as caught:
            await ask(a, method, **params)
        assert caught.value.code == code
        assert caught.value.remedy
        assert a.gateway.facts.hits == (a.hit,)
        assert b.engine.endpoint.associations() == []

    tell(tmp_path, story)


def test_an_anonymous_identity_is_made_when_asked_for_and_rotates(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        answer = await ask(a, "connect", target="b", anonymous=True)
        ghost = a.gateway.own.entries[1]
        assert ghost.name == "anonymous"
        assert answer["peer"]["local_hit"] == str(ghost.hit)  # type: ignore[index]
        (theirs,) = (await ask(b, "associations"))["associations"]  # type: ignore[misc]
        assert theirs["anonymous"]
        assert list((tmp_path / "keys").iterdir()) == []
        rotated = await ask(a, "identity_rotate", target="anonymous")
        assert rotated["was"] == str(ghost.hit)
        names = [(one.name, one.is_retired) for one in a.gateway.own.entries]
        assert names == [("key", False), ("anonymous", True), ("anonymous", False)]
        with pytest.raises(RefusedError, match="on its way out"):
            await ask(a, "connect", target="b", local=str(ghost.hit))
        assert len({str(lsi) for lsi in a.gateway.facts.own_lsis}) == 3
        await ask(a, "close", target="all")
        await settled(a, b)
        assert [one.is_retired for one in a.gateway.own.entries] == [False, False]
        assert a.lsis.known_lsi(ghost.hit) is None

    tell(tmp_path, story)


def test_what_is_due_for_rotation_is_told_by_its_age(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, _b: MemoryGateway) -> None:
        own = a.gateway.own
        made = await own.make(HostIdentityOptions("ghost", anonymous=True, rotate_s=60.0))
        now = a.engine.now()
        assert own.due(now + 59.0) == []
        assert own.due(now + 61.0) == [made]
        successor = await own.rotate(made)
        assert own.due(now + 59.0) == []
        assert own.due(a.engine.now() + 61.0) == [successor]
        with pytest.raises(LocalProtocolError, match="default"):
            own.retire(own.entries[0])

    tell(tmp_path, story)


def test_anonymous_peers_are_not_written_to_disk(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        await ask(a, "connect", target="b", anonymous=True)
        await ask(a, "connect", target="b", local="key")
        unsaved = b.lsis.unsaved()
        assert unsaved is not None
        assert set(unsaved) == {a.hit}
        assert b.lsis.known_lsi(a.gateway.own.entries[1].hit) is not None

    tell(tmp_path, story)


def test_a_peer_has_the_identity_that_the_configuration_gives_it(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        work = await a.gateway.own.make(HostIdentityOptions("work"))
        a.gateway.config = replace(
            a.gateway.config, peers=(PeerOptions(b.hit, identity="work"), PeerOptions(a.hit))
        )
        ((peer, lsi, entry, own_lsi),) = a.gateway.own.own_of_peers()
        assert (peer, entry) == (b.hit, work)
        assert (lsi, own_lsi) == (a.lsis.known_lsi(b.hit), a.gateway.facts.own_lsis[1])
        (shown,) = (await ask(a, "peers"))["peers"]  # type: ignore[misc]
        assert shown["local_hit"] == str(work.hit)
        await settled(a)
        answer = await ask(a, "connect", target="b")
        assert answer["peer"]["local_hit"] == str(work.hit)  # type: ignore[index]

    tell(tmp_path, story)


def test_two_who_ask_for_an_anonymous_identity_at_once_share_it(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, _b: MemoryGateway) -> None:
        one, other = await asyncio.gather(a.gateway.own.anonymous(), a.gateway.own.anonymous())
        assert one == other
        assert [entry.name for entry in a.gateway.own.entries] == ["key", "anonymous"]

    tell(tmp_path, story)


def test_no_room_for_an_anonymous_identity_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_identities, "IDENTITIES_MOST", 1)

    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        with pytest.raises(RefusedError, match="remove some first") as caught:
            await ask(a, "connect", target="b", anonymous=True)
        assert caught.value.code == "conflict"
        assert b.engine.endpoint.associations() == []

    tell(tmp_path, story)


def test_who_is_on_his_way_out_speaks_to_nobody_new(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        first, peer = await old_friends(a, b)
        await ask(a, "connect", target=str(peer), local="old-a", wait_s=5.0)
        second = await a.gateway.own.make(HostIdentityOptions("older", "rsa-2048"))
        assert a.gateway.own.for_peer(peer) == first
        a.gateway.own.retire(first)
        assert a.gateway.own.for_peer(peer) == second

    tell(tmp_path, story, OLD)


def test_rotation_ends_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_identities, "IDENTITIES_MOST", 3)

    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        own = a.gateway.own
        entry = await own.make(HostIdentityOptions("ghost", anonymous=True, rotate_s=60.0))
        await ask(a, "connect", target="b", local="ghost")
        entry = await own.rotate(entry)
        assert len(own.entries) == 3, "the first one waits for the end of its association"
        with pytest.raises(LocalProtocolError, match="3 identities"):
            await own.rotate(entry)
        assert own.named("ghost") == entry
        assert not entry.is_retired

    tell(tmp_path, story)


def test_a_reload_during_a_rotation_is_not_undone_by_it(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, _b: MemoryGateway) -> None:
        own, gateway = a.gateway.own, a.gateway
        options = HostIdentityOptions("ghost", anonymous=True, domain_identifier="me@example.org")
        entry = replace(await own.make(options), domain_identifier=None)
        gateway.facts = replace(
            gateway.facts, identities=(gateway.facts.identities[0], entry)
        )  # as if it followed the general one
        rotating = asyncio.ensure_future(own.rotate(entry))
        await asyncio.sleep(0)
        own.follow()
        successor = await rotating
        assert (entry.traits.di_type, successor.traits.di_type) == (2, 0)

    tell(tmp_path, story)


def test_an_identity_that_gets_no_lsi_is_refused(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, _b: MemoryGateway) -> None:
        made = await ask(a, "identity_new", name="one")
        assert made["identity"]["lsi"] == "1.0.0.2"  # type: ignore[index]
        with pytest.raises(RefusedError, match=r"no LSI of 1\.0\.0\.0/30 is free"):
            await ask(a, "identity_new", name="two")
        assert [entry.name for entry in a.gateway.own.entries] == ["key", "one"]

    network = NetworkOptions(lsi_prefix=IPv4Network("1.0.0.0/30"))
    tell(tmp_path, story, Config(network=network))


# --- opportunistic mode ---


def test_a_peer_is_found_pinned_and_found_again(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        found = await a.gateway.opportunity.connect(LOOPBACK, a.hit, 5.0)
        assert (found.peer, found.is_pinned, found.is_new) == (b.hit, True, True)
        (pin,) = (await ask(a, "pins"))["pins"]  # type: ignore[misc]
        assert (pin["address"], pin["hit"]) == ("127.0.0.1", str(b.hit))
        again = await a.gateway.opportunity.connect(LOOPBACK, a.hit, 5.0)
        assert (again.is_pinned, again.is_new) == (True, False)
        assert a.gateway.counters["established"] == 1

    tell(tmp_path, story, OPEN)


def test_another_host_at_a_pinned_address_is_refused(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        await a.gateway.opportunity.pins.keep(LOOPBACK, a.hit)
        with pytest.raises(RefusedError, match=f"answers as {b.hit}, and not as {a.hit}") as caught:
            await a.gateway.opportunity.connect(LOOPBACK, a.hit, 5.0)
        assert caught.value.code == "peer_changed"
        assert "hipgw pins remove 127.0.0.1" in caught.value.remedy
        assert a.engine.endpoint.associations() == []
        assert len((await ask(a, "pins_remove", target=str(a.hit)))["removed"]) == 1  # type: ignore[arg-type]
        found = await a.gateway.opportunity.connect(LOOPBACK, a.hit, 5.0)
        assert found.peer == b.hit

    tell(tmp_path, story, OPEN)


def test_without_pins_whoever_is_there_is_taken_and_none_is_kept(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        await a.gateway.opportunity.pins.keep(LOOPBACK, a.hit)
        found = await a.gateway.opportunity.connect(LOOPBACK, a.hit, 5.0)
        assert (found.peer, found.is_pinned) == (b.hit, False)

    options = OpportunisticOptions(answer=True, initiate=True, pin=False)
    tell(tmp_path, story, Config(opportunistic=options))


def test_nobody_answers_in_time(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.gateway.opportunity.set(answer=None, initiate=True)
        with pytest.raises(RefusedError, match="nobody at") as caught:
            await a.gateway.opportunity.connect(LOOPBACK, a.hit, 0.05)
        assert caught.value.code == "timeout"
        b.gateway.opportunity.set(answer=True, initiate=None)
        found = await a.gateway.opportunity.connect(LOOPBACK, a.hit, 5.0)
        assert found.peer == b.hit
        assert await ask(b, "opportunistic") == {"answer": True, "initiate": False, "pin": True}

    tell(tmp_path, story)


def test_an_anonymous_host_may_be_found_and_is_not_pinned(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        # Of the same suite as its default one, which answers: public ones come first.
        ghost = await b.gateway.own.make(HostIdentityOptions("ghost", "ed25519", anonymous=True))
        edward = await a.gateway.own.make(HostIdentityOptions("edward", "ed25519"))
        await settled(a, b)
        found = await a.gateway.opportunity.connect(LOOPBACK, edward.hit, 5.0)
        assert (found.peer, found.is_pinned) == (ghost.hit, False)
        assert a.gateway.opportunity.pins.all() == []

    tell(tmp_path, story, OPEN)


def test_an_anonymous_host_is_refused_where_none_is_wanted(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        await b.gateway.own.make(HostIdentityOptions("ghost", "ed25519", anonymous=True))
        edward = await a.gateway.own.make(HostIdentityOptions("edward", "ed25519"))
        await settled(a, b)
        with pytest.raises(RefusedError, match="is anonymous"):
            await a.gateway.opportunity.connect(LOOPBACK, edward.hit, 5.0)

    tell(tmp_path, story, replace(OPEN, hip=HipOptions(accept_anonymous=False)))


# --- identities with a HIT of each HIP version ---


OLD = replace(OPEN, legacy=LegacyOptions(every_peer=True))


async def old_friends(a: MemoryGateway, b: MemoryGateway) -> tuple[NamedIdentity, Hit]:
    """An RSA identity of `a`, and the HIT of HIPv1 of one of `b`, whose address is known."""
    mine = await a.gateway.own.make(HostIdentityOptions("old-a", "rsa-2048"))
    theirs = await b.gateway.own.make(HostIdentityOptions("old-b", "rsa-2048"))
    a.resolver.add_mapping(theirs.hits[1], LOOPBACK)
    await settled(a, b)
    return mine, theirs.hits[1]


def test_who_is_connected_already_in_hipv1_is_not_called_again(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        _, peer = await old_friends(a, b)
        first = await ask(a, "connect", target=str(peer), local="old-a", wait_s=5.0)
        again = await ask(a, "connect", target=str(peer), local="old-a", wait_s=0.5)
        assert again["peer"]["since_s"] >= first["peer"]["since_s"]  # type: ignore[index]
        assert a.gateway.counters["established"] == 1

    tell(tmp_path, story, OLD)


def test_an_identity_is_known_by_its_hit_of_hipv1_too(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        mine, peer = await old_friends(a, b)
        assert a.gateway.own.named(str(mine.hits[1])) == mine
        answer = await ask(a, "connect", target=str(peer), local=str(mine.hits[1]), wait_s=5.0)
        assert answer["peer"]["local_hit"] == str(mine.hits[1])  # type: ignore[index]

    tell(tmp_path, story, OLD)


def test_an_identity_that_goes_takes_its_associations_of_hipv1_with_it(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        mine, peer = await old_friends(a, b)
        await ask(a, "connect", target=str(peer), local="old-a", wait_s=5.0)
        await ask(a, "identity_remove", target="old-a")
        await settled(a, b)
        assert a.engine.endpoint.associations() == []
        assert a.gateway.facts.hits == (a.hit,)
        assert a.lsis.known_lsi(mine.hits[1]) is None
        assert not {one.packed for one in mine.hits} & {one.packed for one in a.addressed[-1]}

    tell(tmp_path, story, OLD)


def test_a_certificate_is_found_for_an_identity_that_comes_later(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, _b: MemoryGateway) -> None:
        key = certified("late")
        (tmp_path / "keys" / "late.pem").write_bytes(key.to_pem())
        (tmp_path / "keys" / "late.pem").chmod(0o600)
        config = a.gateway.config
        a.gateway.certificates = load_certificates(
            config.certificates, {}, a.gateway.facts.public_identities
        )
        assert a.gateway.certificates.unused == (chain,)
        await ask(a, "identity_add", name="late")
        assert set(a.gateway.certificates.policy.chains) == {key.hit}
        assert a.gateway.certificates.unused == ()

    chain = tmp_path / "late-cert.pem"
    chain.write_bytes(certificate_of("late").parsed.public_bytes(Encoding.PEM))
    options = CertificateOptions(chains=(chain,), anchors=())
    tell(tmp_path, story, Config(certificates=options))
