"""Which peers may use what is of old, and which HIP version a name stands for.

Asked by the engine for every HIP packet; a reload changes the answers.
"""

from __future__ import annotations

from typing import Final

from hipgw._fastpath.contexts import shape_of_suite
from hipgw.daemon.config import Config
from hipgw.values import EspSuite, Hit

VERSIONS: Final = (1, 2)


class LegacyPeers:
    """`[legacy] every_peer` and `[[peer]] legacy`."""

    def __init__(self, config: Config) -> None:
        self._every_peer = config.legacy.every_peer
        self._peers: frozenset[Hit] = _named(config)

    def is_legacy(self, peer: Hit) -> bool:
        """Whether the configuration allows this peer HIPv1, weak keys and weak groups."""
        return self._every_peer or peer in self._peers

    def speaks_v1(self) -> bool:
        """Whether any peer may use HIPv1."""
        return self._every_peer or any(hit.version == 1 for hit in self._peers)

    def update(self, config: Config) -> bool:
        """Take a configuration that was read again; whether it says something else of anybody."""
        before = self._every_peer, self._peers
        self._every_peer, self._peers = config.legacy.every_peer, _named(config)
        return before != (self._every_peer, self._peers)


def _named(config: Config) -> frozenset[Hit]:
    return frozenset(peer.hit for peer in config.peers if peer.legacy)


def carried(suites: tuple[EspSuite, ...]) -> tuple[EspSuite, ...]:
    """Those suites that the data path carries with the libcrypto of this host."""
    return tuple(suite for suite in suites if any(shape_of_suite(suite)))
