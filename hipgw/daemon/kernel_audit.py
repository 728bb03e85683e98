"""Comparing what we believe the kernel has with what it has, after events were lost.

The tables are read by a thread: with many states that takes a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hipgw.dataplane.kernel_pairs import OWNERSHIP, KernelPair, KernelSa, policies_of
from hipgw.netlink.xfrm import PolicyDirection, Selector, StateId, XfrmClient


@dataclass(frozen=True, slots=True)
class Tables:
    """Names of everything in the kernel that is ours."""

    states: frozenset[StateId]
    policies: frozenset[tuple[Selector, PolicyDirection]]

    def missing_states(self, pair: KernelPair) -> list[KernelSa]:
        """What is not there; perhaps it was just not there yet."""
        return [sa for sa in pair.sas() if sa.name not in self.states]

    def has_policies(self, pair: KernelPair) -> bool:
        """Whether all policies of a pair were there."""
        return self.policies.issuperset(policies_of(pair))


def read_tables() -> Tables:
    """Dump both tables of the kernel.

    Raises:
        OSError: the kernel refused.
    """
    with XfrmClient() as client:
        states = [one.state for one in client.states() if OWNERSHIP.has_state(one.state)]
        policies = [one for one in client.policies() if OWNERSHIP.has_policy(one)]
    return Tables(
        frozenset(StateId(one.destination, one.spi) for one in states),
        frozenset((one.selector, one.direction) for one in policies),
    )


def wanting(tables: Tables, pairs: Iterable[KernelPair]) -> list[KernelPair]:
    """Pairs of which something was missing."""
    return [pair for pair in pairs if tables.missing_states(pair) or not tables.has_policies(pair)]
