"""Parameters that the engine does not act on may stand in a packet and change nothing."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hipgw.proto import EndpointConfig
from hipgw.values import DhGroup
from hipgw.wire import PARAMETERS, PacketType, Parameter, ParameterType, Seq, append_parameter
from tests.engine.forge import checksummed, sealed
from tests.engine.network import Network, assert_joined, exchange
from tests.property.wire_strategies import STRATEGIES

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
TABLE = tomllib.loads((Path(__file__).parents[2] / "docs/conformance.toml").read_text())
ACTED_ON = {ParameterType[name] for name, _, _ in TABLE["parameters"]}
IDLE = sorted(set(PARAMETERS) - ACTED_ON)


@pytest.mark.parametrize("number", IDLE, ids=lambda number: ParameterType(number).name)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_it_changes_nothing_in_an_update(number: int, data: st.DataObject) -> None:
    parameter: Parameter = data.draw(STRATEGIES[PARAMETERS[number]])
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    exchange(one, other)
    other.receive(*sealed(one, other, PacketType.UPDATE, Seq(0)))
    before, sas = other.view(one), dict(other.sas)
    assert before is not None
    if number < ParameterType.HIP_MAC:
        payload, path = sealed(one, other, PacketType.UPDATE, Seq(1), parameter)
    else:  # what relays and overlays add behind the signature
        payload, path = sealed(one, other, PacketType.UPDATE, Seq(1))
        payload = checksummed(append_parameter(payload, parameter), path)
    other.receive(payload, path)
    assert len(network.sent(PacketType.UPDATE)) == 2, "it was acknowledged"
    assert not other.dropped()
    assert other.view(one) == replace(before, last_heard_s=network.now)
    assert other.sas == sas
    assert_joined(one, other)
