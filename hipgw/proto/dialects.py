"""Choosing a dialect: by HIP version, and by what the configuration says of the peer."""

from __future__ import annotations

from typing import Final

from hipgw.crypto import PrivateHostIdentity
from hipgw.proto.config import EndpointConfig
from hipgw.proto.dialect import Dialect
from hipgw.proto.dialect_quirks import QuirkyV1, QuirkyV2
from hipgw.proto.dialect_v1 import DialectV1
from hipgw.proto.dialect_v2 import DialectV2
from hipgw.proto.local_identity import LocalIdentity
from hipgw.proto.refusals import RefusedError
from hipgw.values import Hit, Quirk, Quirks
from hipgw.values.quirks import QUIRKS

_QUIRKS_OF: Final = {
    version: frozenset(quirk for quirk in Quirk if version in QUIRKS[quirk].versions)
    for version in (DialectV1.VERSION, DialectV2.VERSION)
}


def hits_of(key: PrivateHostIdentity) -> tuple[Hit, ...]:
    """The HITs of a key of ours: that of HIPv2, then that of HIPv1 if it has one."""
    everything: tuple[Dialect, ...] = DialectV2(), DialectV1()
    return tuple(LocalIdentity.of(key, one.VERSION).hit for one in everything if one.can_name(key))


class Dialects:
    """The dialects of one endpoint, made once."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config: Final = config
        self._v1: Final = DialectV1()
        self._v2: Final = DialectV2()
        self._v2_legacy: Final = DialectV2(is_legacy=True)
        self._quirky: Final[dict[tuple[Dialect, Quirks], Dialect]] = {}

    @property
    def known(self) -> tuple[Dialect, ...]:
        """The one of each version that knows most, the present version first."""
        return self._v2_legacy, self._v1

    @property
    def offered(self) -> tuple[Dialect, ...]:
        """Those in which R1s are made ahead."""
        return self.known if self._config.speaks_v1() else (self._v2_legacy,)

    @property
    def of_strangers(self) -> Dialect:
        """Of a peer that the configuration says nothing of, in the present version."""
        return self._v2

    def of(self, version: int, peer: Hit) -> Dialect:
        """How to speak a HIP version with a peer.

        Raises:
            RefusedError: we do not, with that peer or at all.
        """
        plain = self._without_quirks(version, peer)
        quirks = self._config.compatibility(peer)
        return self._with_quirks(plain, quirks) if quirks else plain

    def _without_quirks(self, version: int, peer: Hit) -> Dialect:
        if version == DialectV2.VERSION:
            return self._v2_legacy if self._config.is_legacy(peer) else self._v2
        if version != DialectV1.VERSION:
            raise RefusedError("hip_version")
        if not self._config.is_legacy(peer):
            raise RefusedError("legacy_refused")
        return self._v1

    def _with_quirks(self, plain: Dialect, quirks: Quirks) -> Dialect:
        """One dialect for all peers with the same switches: the configuration bounds how many."""
        quirks &= _QUIRKS_OF[plain.VERSION]
        if not quirks:
            return plain
        found = self._quirky.get((plain, quirks))
        if found is None:
            kind = QuirkyV1 if plain.VERSION == DialectV1.VERSION else QuirkyV2
            found = kind(is_legacy=plain.is_legacy, quirks=quirks)
            self._quirky[plain, quirks] = found
        return found
