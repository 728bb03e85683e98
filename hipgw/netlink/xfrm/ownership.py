"""Telling our states and policies from everybody else's, and removing ours alone.

There is no flush here: it would take strongSwan's states along.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from hipgw.netlink.xfrm.client import XfrmClient, XfrmError
from hipgw.netlink.xfrm.uapi import PolicyDirection
from hipgw.netlink.xfrm.values import PolicyId, StateId, XfrmPolicy, XfrmState

ALREADY_GONE = frozenset({errno.ESRCH, errno.ENOENT})


@dataclass(frozen=True, slots=True)
class Ownership:
    """The request ids that are ours; `reqids` without 0, which is everybody's."""

    reqids: range

    def __post_init__(self) -> None:
        if not self.reqids or 0 in self.reqids:
            raise ValueError(f"request ids {self.reqids}: some, and none of them 0, which is all's")

    def has_state(self, state: XfrmState) -> bool:
        """Whether a state is ours."""
        return state.reqid in self.reqids

    def has_policy(self, policy: XfrmPolicy) -> bool:
        """Whether a policy is ours: every template names one of our request ids.

        Policies of sockets and policies without a template never are.
        """
        return (
            policy.direction <= PolicyDirection.FORWARD
            and bool(policy.templates)
            and all(template.reqid in self.reqids for template in policy.templates)
        )


@dataclass(frozen=True, slots=True)
class Removed:
    """How many were taken away."""

    states: int
    policies: int


def remove_owned(client: XfrmClient, ownership: Ownership) -> Removed:
    """Remove what is ours, policies first, so that no packet meets a policy without its state.

    Raises:
        XfrmError: not for one that somebody else removed meanwhile.
    """
    policies = [policy for policy in client.policies() if ownership.has_policy(policy)]
    removed_policies = sum(_remove_policy(client, policy) for policy in policies)
    states = [one.state for one in client.states() if ownership.has_state(one.state)]
    return Removed(sum(_remove_state(client, state) for state in states), removed_policies)


def _remove_policy(client: XfrmClient, policy: XfrmPolicy) -> bool:
    name = PolicyId(None, policy.direction, policy.index, policy.mark, policy.if_id)
    try:
        client.remove_policy(name)
    except XfrmError as error:
        if error.errno not in ALREADY_GONE:
            raise
        return False
    return True


def _remove_state(client: XfrmClient, state: XfrmState) -> bool:
    try:
        client.remove_state(StateId(state.destination, state.spi, state.protocol, state.mark))
    except XfrmError as error:
        if error.errno not in ALREADY_GONE:
            raise
        return False
    return True
