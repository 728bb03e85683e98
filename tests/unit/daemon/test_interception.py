"""What is decided before any rule is made; the rules themselves are in tests/netns."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from hipgw.daemon.config import (
    Config,
    DatapathOptions,
    PeerOptions,
    StateOptions,
)
from hipgw.daemon.config_file import load_config
from hipgw.daemon.interception import (
    RULES_FILE,
    Interception,
    interception_check,
    queue_numbers,
    subnet_queue,
)
from hipgw.drivers.nfqueue import Intercept
from hipgw.errors import ConfigError
from hipgw.values import Hit


def configured(state: Path, options: DatapathOptions) -> Config:
    return replace(Config(), datapath=options, state=StateOptions(directory=state))


def test_queues_are_those_of_the_configuration() -> None:
    assert not queue_numbers(Config())
    options = DatapathOptions(Intercept.NFQUEUE, 7, 3)
    assert list(queue_numbers(replace(Config(), datapath=options))) == [7, 8, 9]


def test_subnets_have_the_queue_behind_the_others() -> None:
    options = DatapathOptions(Intercept.NFQUEUE, 7, 3)
    hit = Hit.parse("2001:22::1")
    peer = PeerOptions(hit, subnets=(ip_network("192.168.8.0/24"),))
    config = replace(Config(), datapath=options, peers=(peer,))
    assert subnet_queue(config) == 10
    assert subnet_queue(replace(config, peers=(PeerOptions(hit),))) is None
    assert subnet_queue(replace(config, datapath=DatapathOptions())) is None
    last = DatapathOptions(Intercept.NFQUEUE, 65535, 1)
    assert subnet_queue(replace(config, datapath=last)) is None


def test_queues_end_with_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "hipgw.toml"
    file.write_text("[datapath]\nqueue_first = 65533\nqueue_count = 3\n")
    assert load_config(file).datapath.queue_count == 3
    file.write_text("[datapath]\nqueue_first = 65534\nqueue_count = 3\n")
    with pytest.raises(ConfigError, match="expected queues up to 65535"):
        load_config(file)
    file.write_text('[datapath]\nintercept = "both"\n')
    with pytest.raises(ConfigError, match="tun"):
        load_config(file)


def test_a_start_without_queues_makes_no_rules(tmp_path: Path) -> None:
    interception = Interception(configured(tmp_path, DatapathOptions()))
    interception.start()
    assert interception.where == ""
    assert list(tmp_path.iterdir()) == []
    interception.stop()


@pytest.mark.parametrize("content", ["", "{}", '{"interface": 3}', "[]", "no json"])
def test_a_damaged_note_of_rules_costs_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / RULES_FILE).write_text(content)
    assert Interception(configured(tmp_path, DatapathOptions())).clear_leftovers() == 0


def test_the_doctor_warns_of_what_went_the_slow_way() -> None:
    assert interception_check("", {}, 0)["outcome"] == "ok"
    where = "iptables, table security"
    good = interception_check(where, {"queue_rx": 5, "queue_left": 2}, 0)
    assert good["outcome"] == "ok"
    assert good["detail"] == (
        "nfqueue: iptables, table security; queue_rx 5, queue_supers 0, queue_left 2, "
        "queue_overrun 0, queue_broken 0"
    )
    for counters, overruns in (({}, 3), ({"queue_overrun": 3}, 0), ({"queue_broken": 1}, 0)):
        bad = interception_check(where, counters, overruns)
        assert bad["outcome"] == "warn"
        assert bad["remedy"]
    assert "queue_overrun 5" in interception_check(where, {"queue_overrun": 2}, 3)["detail"]
