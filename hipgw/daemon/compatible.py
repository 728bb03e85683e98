"""Which peers leave the RFCs where: `[[peer]] compatibility`.

Asked by the engine for every HIP packet; a reload changes the answers.
"""

from __future__ import annotations

from hipgw.daemon.config import Config
from hipgw.values import NO_QUIRKS, Hit, Quirks


class CompatiblePeers:
    """The compatibility switches of configured peers; nobody else has any."""

    def __init__(self, config: Config) -> None:
        self._quirks: dict[Hit, Quirks] = config.compatibility()

    def quirks_of(self, peer: Hit) -> Quirks:
        """The switches of a peer; cheap where nobody has any, for floods ask it too."""
        return self._quirks.get(peer, NO_QUIRKS) if self._quirks else NO_QUIRKS

    @property
    def peers(self) -> frozenset[Hit]:
        """Those that have any."""
        return frozenset(self._quirks)

    def update(self, config: Config) -> None:
        """Take the peers of a configuration that was read again."""
        self._quirks = config.compatibility()
