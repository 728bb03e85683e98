"""Our host identities as peers know them: each by one HIT per HIP version."""

from __future__ import annotations

from dataclasses import dataclass, field

from hipgw.crypto import HostIdentity, PrivateHostIdentity
from hipgw.values import Hit


@dataclass(frozen=True, slots=True)
class LocalIdentity:
    """One of our identities under the HIT of one HIP version."""

    key: PrivateHostIdentity = field(repr=False)
    version: int
    hit: Hit
    is_weak: bool = False
    """Whether only `legacy` peers may see it."""

    @classmethod
    def of(cls, key: PrivateHostIdentity, version: int) -> LocalIdentity:
        """The identity as a HIP version names it."""
        hit = key.hit if version == 2 else key.hit_of(version)
        return cls(key, version, hit, key.public.is_weak)

    @property
    def public(self) -> HostIdentity:
        """The public half."""
        return self.key.public

    def sign(self, message: bytes) -> bytes:
        """Sign as the HIP version does; what HIP_SIGNATURE carries behind its algorithm."""
        return self.key.sign(message, version=self.version)
