"""Tests of the workers run twice: packet by packet, and with every offload on."""

from __future__ import annotations

import pytest

from tests.unit.fastpath.wires import EVERY_OFFLOAD, Host


@pytest.fixture(params=["single", "offload"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "defaults", EVERY_OFFLOAD if request.param == "offload" else {})
