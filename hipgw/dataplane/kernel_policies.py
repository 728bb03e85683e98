"""The policies of pairs of HITs in the kernel; those of other programs are never touched."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from hipgw.dataplane.kernel_pairs import (
    OWNERSHIP,
    InPolicy,
    KernelPair,
    KernelSa,
    family_of,
    in_policy,
    out_policy,
    policy_name,
    tunnel_policies,
)
from hipgw.netlink.xfrm import PolicyDirection, PolicyId, XfrmClient, XfrmError, XfrmPolicy
from hipgw.netlink.xfrm.ownership import ALREADY_GONE
from hipgw.values import Direction

log = logging.getLogger(__name__)


def quietly(act: Callable[[], None]) -> None:
    """Take something away that may be gone already."""
    try:
        act()
    except XfrmError as error:
        if error.errno not in ALREADY_GONE:
            log.warning("not removed from the kernel", extra={"reason": error})


class PairPolicies:
    """Puts the policies of a `KernelPair` there, and notes in the pair that they are."""

    def __init__(self, client: XfrmClient) -> None:
        self._client: Final = client

    def put_out(self, pair: KernelPair, sa: KernelSa) -> None:
        """The policy of ours is replaced in one step; somebody else's is never touched."""
        policy = out_policy(pair, sa.spi, sa.path)
        if pair.has_out_policy:
            self._client.replace_policy(policy)
        else:
            self.add(policy)
        pair.has_out_policy = True

    def add(self, policy: XfrmPolicy) -> None:
        """Install it; one of ours that nobody knows any more gives way.

        Raises:
            XfrmError: EEXIST, it is somebody else's.
        """
        try:
            self._client.add_policy(policy)
        except XfrmError as error:
            if error.errno != errno.EEXIST:
                raise
            ends = policy.selector, policy.direction
            present = [
                one for one in self._client.policies() if (one.selector, one.direction) == ends
            ]
            if not present or not all(map(OWNERSHIP.has_policy, present)):
                raise XfrmError(
                    errno.EEXIST, "add a policy", "another program has one for these HITs"
                ) from error
            self._client.replace_policy(policy)

    def drop_out(self, pair: KernelPair) -> None:
        """What is sent goes by no ESP of the kernel from now on."""
        if pair.has_out_policy:
            pair.has_out_policy = False
            name = policy_name(Direction.OUT, pair.local, pair.peer)
            quietly(lambda: self._client.remove_policy(name))

    def put_in(self, pair: KernelPair, wanted: InPolicy) -> None:
        """Demand this of what arrives; the pair has an inbound SA."""
        if pair.in_policy is wanted:
            return
        policy = in_policy(pair, family_of(pair), wanted)
        if pair.in_policy is InPolicy.NONE:
            self.add(policy)
        else:
            self._client.replace_policy(policy)
        pair.in_policy = wanted

    def drop_in(self, pair: KernelPair) -> None:
        """Demand nothing of what arrives."""
        if pair.in_policy is not InPolicy.NONE:
            pair.in_policy = InPolicy.NONE
            name = policy_name(Direction.IN, pair.local, pair.peer)
            quietly(lambda: self._client.remove_policy(name))

    def restore(self, pair: KernelPair) -> None:
        """Put policies back that somebody may have removed, or take them away while held.

        Raises:
            XfrmError: EEXIST, somebody else's stands in the place of one; what goes by it is not
                ours to say.
        """
        if pair.outbound is not None and not pair.is_held:
            pair.has_out_policy = False
            self.put_out(pair, pair.outbound)
        else:
            self.drop_out(pair)
        if pair.inbound and pair.in_policy is not InPolicy.NONE:
            wanted, pair.in_policy = pair.in_policy, InPolicy.NONE
            self.put_in(pair, wanted)
        if pair.has_tunnel:
            for policy in tunnel_policies(pair):
                self.add(policy)

    def open_tunnel(self, pair: KernelPair) -> None:
        """Have IP in IPv6 of a pair come in ESP alone.

        Raises:
            XfrmError: the kernel refused, or somebody else has such a policy.
        """
        if not pair.has_tunnel:
            for policy in tunnel_policies(pair):
                self.add(policy)
            pair.has_tunnel = True

    def close_tunnel(self, pair: KernelPair) -> None:
        """The tunnel device takes nothing more."""
        pair.has_tunnel = False
        for policy in tunnel_policies(pair):
            name = PolicyId(policy.selector, PolicyDirection.IN)
            quietly(partial(self._client.remove_policy, name))
