"""Scenarios that both HIP versions go through."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.network import Speech


@pytest.fixture(params=[2, 1], ids=["hipv2", "hipv1"])
def hip_version(request: pytest.FixtureRequest) -> Iterator[int]:
    """The version that the nodes of a test speak."""
    Speech.version = request.param
    yield Speech.version
    Speech.version = 2
