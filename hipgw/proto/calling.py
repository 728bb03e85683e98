"""The operator's wishes: an association with a peer, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hipgw.errors import LocalProtocolError
from hipgw.proto.association import Association
from hipgw.proto.closing import Closer
from hipgw.proto.core import Core
from hipgw.proto.dialect import Dialect
from hipgw.proto.events import Failed, Role
from hipgw.proto.initiator import Initiator
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.refusals import RefusedError
from hipgw.proto.states import State, Trigger
from hipgw.values import Hit, Path


class Caller:
    """Begins base exchanges that somebody here wants, and ends associations nobody wants."""

    def __init__(self, core: Core, initiator: Initiator, closer: Closer) -> None:
        self._core: Final = core
        self._initiator: Final = initiator
        self._closer: Final = closer

    def want(
        self,
        peer: Hit,
        paths: Sequence[Path],
        now: float,
        *,
        local: Hit | None,
        via: Sequence[Path],
    ) -> None:
        """See `Endpoint.want_association`."""
        core = self._core
        self.check_pair(peer, local)
        identity, association = core.pair(peer, local)
        if association is not None:
            association.last_heard_s = now
            core.unwanted.discard(association)
            if not association.allows(Trigger.DATA_TO_SEND) or (
                association.state is State.CLOSED and association.initiation is not None
            ):
                return
        elif core.is_retired(identity.hit):
            raise LocalProtocolError(f"{identity.hit} is on its way out: choose another identity")
        ways = (*paths, *via)
        if not ways:
            raise LocalProtocolError(f"no path to {peer}: give at least one address")
        try:
            dialect = self._dialect_for(peer, identity, association)
        except RefusedError as refusal:
            core.events.append(Failed(identity.hit, peer, refusal.refused.reason))
            return
        if association is None:
            association = Association(identity, peer, dialect, ways[0], Role.INITIATOR, now, now)
            core.add(association)
        association.dialect = dialect  # the configuration may have changed since
        self._initiator.begin(association, paths, now, via=via)

    def close(self, peer: Hit, now: float, *, local: Hit | None) -> None:
        """See `Endpoint.close_association`."""
        self.check_pair(peer, local)
        _, association = self._core.pair(peer, local)
        if association is None:
            return
        if association.state is State.I2_SENT:
            self._core.unwanted.add(association)
        if not association.allows(Trigger.CLOSE_REQUESTED):
            return
        if association.state in {State.R2_SENT, State.ESTABLISHED}:
            self._closer.close(association, Trigger.CLOSE_REQUESTED, "operator", now)
        elif association.state is State.E_FAILED:
            self._core.failures.forget(association.peer)
            self._core.end(association, Trigger.CLOSE_REQUESTED, now)
        else:
            self._core.fail(association, Trigger.CLOSE_REQUESTED, "operator", now)

    def close_unwanted(self, now: float) -> None:
        """Close those whose keys are agreed on by now, and that were closed before that."""
        for association in tuple(self._core.unwanted):
            if association.state in {State.R2_SENT, State.ESTABLISHED}:
                self._core.unwanted.discard(association)
                self._closer.close(association, Trigger.CLOSE_REQUESTED, "operator", now)

    def check_pair(self, peer: Hit, local: Hit | None) -> None:
        """Raise LocalProtocolError unless `local`, if any, is ours and may speak to `peer`."""
        identities = self._core.identities
        if local is not None and local not in identities:
            raise LocalProtocolError(f"{local} is not a HIT of this host")
        if peer in identities:
            raise LocalProtocolError(f"{peer} is this host: no association with oneself")
        if not peer.version:
            raise LocalProtocolError(f"{peer} is not a HIT (2001:20::/28, HIPv1: 2001:10::/28)")
        if local is not None and local.version != peer.version:
            raise LocalProtocolError(f"{local} and {peer} are HITs of different HIP versions")

    def _dialect_for(
        self, peer: Hit, local: LocalIdentity, association: Association | None
    ) -> Dialect:
        """How to call a peer; RefusedError when that is of no use, or not allowed."""
        core = self._core
        dialect = core.dialects.of(peer.version, peer)
        if not dialect.can_verify(peer):
            raise RefusedError("hit_suite")
        if not dialect.may_use(local):
            raise RefusedError("no_identity")
        if not core.config.permits(peer):
            raise RefusedError("policy")
        if not dialect.dh_groups(core.config):
            raise RefusedError("dh_group")
        if association is None and not core.has_room():
            raise RefusedError("busy")
        return dialect
