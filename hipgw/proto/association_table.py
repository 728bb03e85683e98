"""What an operator may see of all associations, a share at a time: there may be 100 000."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Final

from hipgw.proto.association_view import AssociationView
from hipgw.proto.core import Core
from hipgw.values import Hit


class AssociationTable:
    """Reads the associations of an endpoint; nothing here changes one."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    def __len__(self) -> int:
        return len(self._core.associations)

    def by_state(self) -> dict[str, int]:
        """How many associations are in each state; states that none is in are left out."""
        # Names, not States: an Enum is hashed in Python, which takes 20 ms of 100 000.
        return dict(Counter([one.state.value for one in self._core.associations.values()]))

    def views(self, first: int = 0, most: int | None = None) -> list[AssociationView]:
        """Snapshots in the order in which the associations began.

        Args:
            first: how many to skip.
            most: how many to show; None for all that are left.
        """
        end = None if most is None else first + most
        return [one.view() for one in islice(self._core.associations.values(), first, end)]

    def view(self, local: Hit, peer: Hit) -> AssociationView | None:
        """The snapshot of one pair, or None."""
        association = self._core.find(local, peer)
        return None if association is None else association.view()

    def legacy_of(self, local: Hit, peer: Hit) -> tuple[str, ...]:
        """What of old the association of a pair uses; nothing without one."""
        association = self._core.find(local, peer)
        return () if association is None else association.legacy

    def views_of(self, peer: Hit) -> list[AssociationView]:
        """Those with one peer, in the order of our identities."""
        found = (self._core.find(local, peer) for local in self._core.identities)
        return [association.view() for association in found if association is not None]

    def has_peer(self, peer: Hit) -> bool:
        """Whether there is any with this peer."""
        return any(self._core.find(local, peer) is not None for local in self._core.identities)
