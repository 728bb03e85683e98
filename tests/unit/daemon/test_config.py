"""The configuration: every mistake names file, line, key and what was expected."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw.daemon.config import (
    TABLES,
    Config,
    HostIdentityOptions,
    LegacyOptions,
    PeerOptions,
    changed_keys,
)
from hipgw.daemon.config_file import load_config
from hipgw.daemon.config_readers import COMPATIBILITY
from hipgw.daemon.engine_config import endpoint_config
from hipgw.daemon.legacy import LegacyPeers
from hipgw.daemon.toml_lines import key_lines
from hipgw.errors import ConfigError
from hipgw.values import NO_QUIRKS, DhGroup, Encapsulation, EspSuite, HipTransform, Hit, Lsi, Quirk
from hipgw.values.quirks import PRESETS

SAMPLE = Path(__file__).parents[3] / "conf" / "hipgw.toml"
HIT = "2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad"
OTHER_HIT = "2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ae"


def written(directory: Path, text: str) -> Path:
    file = directory / "hipgw.toml"
    file.write_text(text)
    return file


def uncommented(table: str) -> str:
    """The [[table]] example of the sample, with its comment signs taken off."""
    lines = [*SAMPLE.read_text().splitlines(), ""]
    start = lines.index(f"# [[{table}]]")
    return "\n".join(line.removeprefix("# ") for line in lines[start : lines.index("", start)])


def test_sample_holds_every_key_with_its_default() -> None:
    document = tomllib.loads(SAMPLE.read_text())
    assert list(document) == list(TABLES)
    for table, kind in TABLES.items():
        assert list(document[table]) == [field.name for field in fields(kind)], table
    assert load_config(SAMPLE) == Config()


def test_sample_says_of_every_key_whether_it_can_be_reloaded() -> None:
    lines = SAMPLE.read_text().splitlines()
    places = key_lines(SAMPLE.read_text())
    for table, kind in TABLES.items():
        for field in fields(kind):
            line = places[(table, field.name)] - 2
            comment = []
            while lines[line].startswith("#"):
                comment.insert(0, lines[line].removeprefix("#").strip())
                line -= 1
            wanted = "Reload: yes." if field.metadata["reloadable"] else "Reload: no."
            assert " ".join(comment).endswith(wanted), (table, field.name)


def test_peer_example_of_the_sample_holds_every_key(tmp_path: Path) -> None:
    text = uncommented("peer")
    document = tomllib.loads(text)
    assert set(document["peer"][0]) == {field.name for field in fields(PeerOptions)}
    (peer,) = load_config(written(tmp_path, text)).peers
    assert peer == PeerOptions(
        Hit.parse(HIT),
        "gw2",
        Lsi.parse("1.0.0.17"),
        (IPv4Address("192.0.2.2"), IPv6Address("2001:db8::2")),
        Encapsulation.UDP,
        "guest",
        certificates=True,
        via=(IPv4Address("192.0.2.9"),),
        legacy=True,
        compatibility=PRESETS["cutehip"] | {Quirk.SHORT_LOCATOR},
        subnets=(IPv4Network("192.168.7.0/24"), IPv6Network("fd00:7::/64")),
        extended_sequence_numbers=True,
        puzzle_k=12,
    )


def test_host_identity_example_of_the_sample_holds_every_key(tmp_path: Path) -> None:
    text = uncommented("host_identity")
    document = tomllib.loads(text)
    assert set(document["host_identity"][0]) == {one.name for one in fields(HostIdentityOptions)}
    (said,) = load_config(written(tmp_path, text)).host_identities
    assert said == HostIdentityOptions(
        "guest",
        "ed25519",
        anonymous=True,
        rotate_s=3600.0,
        domain_identifier="guest@example.org",
    )


@pytest.mark.parametrize(
    ("value", "quirks"),
    [
        ("[]", NO_QUIRKS),
        ("'openhip'", PRESETS["openhip"]),
        ("'swapped-mac-keys'", {Quirk.SWAPPED_MAC_KEYS}),
        ("['hipl', 'unpadded-dh-secret']", PRESETS["hipl"]),
        ("['hipl', 'clear-host-id']", PRESETS["hipl"] | {Quirk.CLEAR_HOST_ID}),
    ],
)
def test_compatibility(tmp_path: Path, value: str, quirks: frozenset[Quirk]) -> None:
    text = f"[[peer]]\nhit = '{HIT}'\ncompatibility = {value}\n[[peer]]\nhit = '{OTHER_HIT}'\n"
    config = load_config(written(tmp_path, text))
    assert config.peers[0].compatibility == quirks
    assert config.peers[1].compatibility == NO_QUIRKS
    assert config.compatibility() == ({Hit.parse(HIT): quirks} if quirks else {})


def test_every_switch_and_preset_can_be_named(tmp_path: Path) -> None:
    for name, quirks in COMPATIBILITY.items():
        text = f"[[peer]]\nhit = '{HIT}'\ncompatibility = '{name}'\n"
        assert load_config(written(tmp_path, text)).peers[0].compatibility == quirks
    assert len(COMPATIBILITY) == len(Quirk) + len(PRESETS)


def test_an_empty_file_is_a_configuration(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "")) == Config()


def test_values_arrive_as_values(tmp_path: Path) -> None:
    config = load_config(
        written(
            tmp_path,
            """
            [network]
            mtu = 9000
            encapsulation = "udp"
            lsi_prefix = "10.64.0.0/16"
            [hip]
            dh_groups = ["p521", "modp-1536"]
            esp_suites = ["null-hmac-sha256"]
            [lab]
            enabled = true
            export_keys = "/srv/keys"
            """,
        )
    )
    assert config.network.mtu == 9000
    assert config.network.encapsulation is Encapsulation.UDP
    assert config.network.lsi_prefix == IPv4Network("10.64.0.0/16")
    assert config.hip.dh_groups == (DhGroup.NIST_P521, DhGroup.MODP_1536)
    assert config.hip.esp_suites == (EspSuite.NULL_HMAC_SHA256,)
    assert config.lab.export_keys == Path("/srv/keys")


MISTAKES = [
    # text, line, key, what the message must say
    ("[network]\nmtu = 9000\nmtu = 1\n", 3, "", "expected TOML"),
    ("[network\n", 1, "", "expected TOML"),
    ("x = [1,\n2", 2, "", "expected TOML"),
    ("colour = 1\n", 1, "colour", "expected one of: host, identity"),
    ("\n[netwrok]\nmtu = 1\n", 2, "netwrok", "did you mean 'network'?"),
    ("network = 5\n", 1, "network", "expected a table, found an integer"),
    ("[network]\n\n# hm\nmut = 1\n", 4, "network.mut", "did you mean 'mtu'?"),
    ("[network]\nmtu = 'big'\n", 2, "network.mtu", '"auto" or an integer from 1280 to 65535'),
    ("[datapath]\nworkers = 17\n", 2, "datapath.workers", '"auto" or an integer from 1 to 16'),
    ("[datapath]\nworkers = true\n", 2, "datapath.workers", '"auto" or an integer from 1'),
    ("[datapath]\nbusy_poll_us = -1\n", 2, "datapath.busy_poll_us", "an integer from 0 to 1000000"),
    ("[datapath]\nslice_us = 100001\n", 2, "datapath.slice_us", "an integer from 0 to 100000"),
    ("[network]\nmtu = 1279\n", 2, "network.mtu", "found 1279"),
    ("[network]\nmtu = true\n", 2, "network.mtu", "found a boolean"),
    ("network.mtu = 12\n", 1, "network.mtu", "found 12"),
    ("network = { mtu = 12 }\n", 1, "network.mtu", "found 12"),
    ("[network]\nudp_port = 0\n", 2, "network.udp_port", "integer from 1 to 65535, found 0"),
    ("[network]\nudp_port = 1.5\n", 2, "network.udp_port", "found 1.5"),
    ("[network]\nencapsulation = 'tcp'\n", 2, "network.encapsulation", "'raw', 'udp'"),
    ("[network]\ninterface = 'a/b'\n", 2, "network.interface", "interface name"),
    ("[network]\nlsi_prefix = '1.0.0.0/30'\n", 2, "network.lsi_prefix", "length 8 to 28"),
    ("[network]\nlsi_prefix = '1.0.0.1/8'\n", 2, "network.lsi_prefix", "host bits"),
    ("[identity]\ndirectory = 'keys'\n", 2, "identity.directory", "an absolute path"),
    ("[identity]\ndefault = '../x'\n", 2, "identity.default", "key file without .pem"),
    ("[hip]\ndh_groups = []\n", 2, "hip.dh_groups", "at least 1 items, found 0"),
    (
        "[hip]\ndh_groups = [\n  'p256',\n  'p257',\n]\n",
        2,
        "hip.dh_groups",
        "item 2: expected one of 'p256'",
    ),
    ("[hip]\nciphers = ['aes-128-cbc', 'aes-128-cbc']\n", 2, "hip.ciphers", "no value twice"),
    ("[hip]\nciphers = 'aes-128-cbc'\n", 2, "hip.ciphers", "expected an array"),
    ("[hip]\npuzzle_k = 20\npuzzle_k_limit = 10\n", 2, "hip.puzzle_k", "at most puzzle_k_limit"),
    ("[lab]\nexport_keys = '/tmp/x'\n", 2, "lab.export_keys", "enabled = true"),
    ("[lab]\nenabled = 1\n", 2, "lab.enabled", "true or false, found 1"),
    ("[[host_identity]]\nkind = 'dsa'\n", 1, "host_identity[0]", "expected the key 'name'"),
    (
        "[[host_identity]]\nname = 'a'\n[[host_identity]]\nname = 'a'\n",
        4,
        "host_identity[1].name",
        "that of host_identity[0]",
    ),
    (
        "[[host_identity]]\nname = 'ecdsa-p256'\nanonymous = true\n",
        3,
        "host_identity[0].anonymous",
        "another [identity] default",
    ),
    (
        "[[host_identity]]\nname = 'a'\nrotate_s = 60\n",
        3,
        "host_identity[0].rotate_s",
        "anonymous = true and keep = false",
    ),
    ("[host_identity]\nname = 'a'\n", 1, "host_identity", "write [[host_identity]]"),
    ("[log]\nlevel = 'loud'\n", 2, "log.level", "'debug', 'info', 'warning', 'error'"),
    ("[peer]\nhit = 'x'\n", 1, "peer", "write [[peer]], not [peer]"),
    ("[[peer]]\nname = 'x'\n", 1, "peer[0]", "expected the key 'hit'"),
    ("[[peer]]\nhit = '2001:db8::1'\n", 2, "peer[0].hit", "a HIT (an IPv6 address of 2001:20::"),
    (
        f"[[peer]]\nhit = '{HIT}'\n[[peer]]\nhit = '{OTHER_HIT}'\nlsi = '10.0.0.1'\n",
        5,
        "peer[1].lsi",
        "expected a host address of [network] lsi_prefix 1.0.0.0/8",
    ),
    (f"[[peer]]\nhit = '{HIT}'\n[[peer]]\nhit = '{HIT}'\n", 4, "peer[1].hit", "peer[0]"),
    (
        f"[[peer]]\nhit = '{HIT}'\naddresses = ['192.0.2.1', '{HIT}']\n",
        3,
        "peer[0].addresses",
        "is a HIT, which is no locator",
    ),
    (
        f"[[peer]]\nhit = '{HIT}'\ncompatibility = ['openhip', 'hip']\n",
        3,
        "peer[0].compatibility",
        "expected one of 'cutehip', 'hip-vpls'",
    ),
    (
        f"[[peer]]\nhit = '{HIT}'\ncompatibility = ['openhip', 'hipl']\n",
        3,
        "peer[0].compatibility",
        "only one of left-aligned-dh-secret and unpadded-dh-secret",
    ),
    (
        f"[[peer]]\nhit = '{HIT}'\ncompatibility = true\n",
        3,
        "peer[0].compatibility",
        "name of an implementation",
    ),
    (
        f"[[peer]]\nhit = '{HIT}'\naddresses = ['fe80::1']\n",
        3,
        "peer[0].addresses",
        "link-local",
    ),
]


@pytest.mark.parametrize(("text", "line", "key", "expectation"), MISTAKES)
def test_mistakes_are_named(
    tmp_path: Path, text: str, line: int, key: str, expectation: str
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert (caught.value.file, caught.value.line, caught.value.key) == (str(file), line, key)
    assert expectation in str(caught.value)
    assert str(caught.value).startswith(f"{file}:{line}: ")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "[log]\nlevel = 1\n[network]\nmtu = 1\nwidth = 2\n[[peer]]\n"
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, text))
    lines = str(caught.value).splitlines()
    numbers = [int(line.split(":")[1]) for line in lines]
    assert numbers == [2, 4, 5, 6]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothere\.toml: No such file"):
        load_config(tmp_path / "nothere.toml")


def test_octets_that_are_no_text_are_named_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "hipgw.toml"
    file.write_bytes(b"[log]\nlevel = '\xff'\n")
    with pytest.raises(ConfigError, match=r":2: expected UTF-8"):
        load_config(file)


def test_changed_keys_are_sorted_by_what_they_need(tmp_path: Path) -> None:
    text = f"[log]\nlevel='debug'\n[network]\nmtu=1400\n[[peer]]\nhit='{HIT}'\n"
    assert changed_keys(Config(), load_config(written(tmp_path, text))) == (
        ["peer", "log.level"],
        ["network.mtu"],
    )


TRICKY = '''
"quoted.table"."x" = "a # no comment"
a = """
[not.a.table]
b = 1
"""
[t] # comment [
c = [ # one
  "]", 'x = 1',
]
d = {e = 1}
[["t"."u"]]
f = 'it\\'
[[t.u]]
g."h=i" = 2
'''


def test_lines_are_found_through_strings_and_arrays() -> None:
    tomllib.loads(TRICKY)
    assert key_lines(TRICKY) == {
        ("quoted.table", "x"): 2,
        ("a",): 3,
        ("t",): 7,
        ("t", "c"): 8,
        ("t", "d"): 11,
        ("t", "u", 0): 12,
        ("t", "u", 0, "f"): 13,
        ("t", "u", 1): 14,
        ("t", "u", 1, "g", "h=i"): 15,
    }


@given(st.text(alphabet="ab=[]\"'#\n\\,{}. 1", max_size=60))
def test_the_line_scanner_takes_any_text(text: str) -> None:
    for line in key_lines(text).values():
        assert 1 <= line <= len(text.splitlines())


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 2000, "a = " + "{b = " * 2000, "a = " + "9" * 5000], ids=len
)
def test_toml_that_breaks_the_reader_is_a_mistake_like_others(tmp_path: Path, text: str) -> None:
    """Found by fuzzing: deep nesting and endless numbers leave tomllib as other errors."""
    with pytest.raises(ConfigError, match=r"hipgw\.toml"):
        load_config(written(tmp_path, text))


def test_a_long_array_is_scanned_once() -> None:
    """Found by fuzzing: the scanner looked at each line of a statement once per line of it."""
    text = "a = [\n" + "1,\n" * 50_000 + "]\nb = 2\n"
    assert key_lines(text) == {("a",): 1, ("b",): 50_003}


def test_a_name_may_be_that_of_one_hit_of_each_version(tmp_path: Path) -> None:
    old = '[[peer]]\nhit = "2001:10::17"\nname = "gw"\nlegacy = true\n'
    new = f'[[peer]]\nhit = "{HIT}"\nname = "gw"\n'
    config = load_config(written(tmp_path, old + new))
    legacy = LegacyPeers(config)
    assert [legacy.is_legacy(peer.hit) for peer in config.peers] == [True, False]
    assert legacy.speaks_v1()
    assert not legacy.update(config)
    fewer = load_config(written(tmp_path, new))
    assert legacy.update(fewer)
    assert not legacy.is_legacy(Hit.parse("2001:10::17"))
    assert not legacy.speaks_v1()
    with pytest.raises(ConfigError, match="gw is that of"):
        load_config(written(tmp_path, new + new.replace("39ad", "39ae")))


def test_legacy_for_every_peer_and_what_it_offers(tmp_path: Path) -> None:
    text = """[legacy]
every_peer = true
dh_groups = ["modp-768"]
transforms = ["null-hmac-md5"]
esp_suites = ["null-hmac-sha1"]
"""
    config = load_config(written(tmp_path, text))
    engine = endpoint_config(config, 0)
    assert engine.is_legacy(Hit.parse(HIT))
    assert engine.speaks_v1()
    assert engine.v1_dh_groups == (DhGroup.MODP_768,)
    assert engine.v1_transforms == (HipTransform.NULL_HMAC_MD5,)
    assert engine.v1_esp_suites == (EspSuite.V1_NULL_HMAC_SHA1,)
    default = endpoint_config(Config(), 0)
    assert not default.is_legacy(Hit.parse(HIT))
    assert not default.speaks_v1()


def test_suites_that_the_data_path_lacks_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hipgw.daemon.legacy.shape_of_suite",
        lambda suite: (0,) * 5 if "TRIPLE" in EspSuite(suite).name else (1,) * 5,
    )
    assert endpoint_config(Config(), 0).v1_esp_suites == (EspSuite.V1_AES_128_CBC_HMAC_SHA1,)
    only = Config(legacy=LegacyOptions(esp_suites=(EspSuite.V1_TRIPLE_DES_CBC_HMAC_SHA1,)))
    with pytest.raises(ConfigError, match="has none of these"):
        endpoint_config(only, 0)


def subnets_of(*texts: str, address: str = "198.51.100.1") -> str:
    named = ", ".join(f'"{text}"' for text in texts)
    return f"[[peer]]\nhit='{HIT}'\naddresses=['{address}']\nsubnets=[{named}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (subnets_of("192.168.7.1/24"), "has host bits set"),
        (subnets_of("192.168.7.0"), "an IP prefix such as"),
        (subnets_of("224.0.0.0/8"), "expected unicast"),
        (subnets_of("127.0.0.0/8"), "expected unicast"),
        (subnets_of("fe80::/64"), "expected unicast"),
        (subnets_of("1.2.0.0/16"), "overlaps 1.0.0.0/8, where LSIs are"),
        (subnets_of("2001:20::/32"), "overlaps 2001:20::/28, where HITs are"),
        (subnets_of("198.51.100.0/24"), "holds 198.51.100.1, where peer[0] is reached"),
        (subnets_of("0.0.0.0/0"), "ESP packets would loop"),
        (
            subnets_of("10.0.0.0/8") + "[[peer]]\nhit='2001:22::77'\nsubnets=['10.0.0.0/8']\n",
            "10.0.0.0/8 is that of peer[0]",
        ),
        (
            "[gateway]\nlocal_subnets=['10.0.0.0/8']\n" + subnets_of("10.0.0.0/8"),
            "is one of [gateway] local_subnets",
        ),
    ],
)
def test_subnets_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(written(tmp_path, text))


def test_prefixes_inside_others_are_no_trouble(tmp_path: Path) -> None:
    text = "[gateway]\nlocal_subnets=['10.0.0.0/8']\n" + subnets_of("10.1.0.0/16", "10.1.2.0/24")
    config = load_config(written(tmp_path, text))
    assert [str(one) for one in config.peers[0].subnets] == ["10.1.0.0/16", "10.1.2.0/24"]
    assert changed_keys(config, Config())[1] == []


def test_the_gateway_sample_is_a_configuration() -> None:
    config = load_config(SAMPLE.with_name("gateway.toml"))
    assert [str(one) for one in config.gateway.local_subnets] == ["192.168.7.0/24", "fd00:7::/64"]
    assert [str(one) for one in config.peers[0].subnets] == ["192.168.8.0/24", "fd00:8::/64"]
