"""How often strangers are answered: token buckets, per source and in total, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address

from hipgw.values import Address, Hit


def source_of(address: Address) -> bytes:
    """What counts as one source: an IPv4 address, or an IPv6 /64."""
    return address.packed[:8] if isinstance(address, IPv6Address) else address.packed


class TokenBucket:
    """Allows `burst` at once and `rate` per second in the long run."""

    __slots__ = ("_burst", "_rate", "_then", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._then = now

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        if now > self._then:
            self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
            self._then = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def reconfigure(self, rate: float, burst: float) -> None:
        """Go on at another rate; what is saved up is kept as far as it fits."""
        self._rate = rate
        self._burst = burst
        self._tokens = min(self._tokens, burst)

    def give_back(self) -> None:
        """Return a token that was taken in vain."""
        self._tokens = min(self._burst, self._tokens + 1.0)


class SourceLimiter:
    """A bucket for each source and one for all of them.

    A source is an IPv4 address or an IPv6 /64, which is what one host can choose from freely.  The
    table holds `sources_most` sources; the one unused for longest is forgotten first, and then
    starts with a full bucket again: the total bucket is what bounds a flood of spread sources.
    """

    def __init__(
        self,
        *,
        rate: float,
        burst: float,
        source_rate: float,
        source_burst: float,
        sources_most: int,
        now: float,
    ) -> None:
        self._total = TokenBucket(rate, burst, now)
        self._source_rate = source_rate
        self._source_burst = source_burst
        self._sources_most = sources_most
        self._sources: OrderedDict[bytes, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sources)

    def reconfigure(
        self,
        *,
        rate: float,
        burst: float,
        source_rate: float,
        source_burst: float,
        sources_most: int,
    ) -> None:
        """Go on with other rates; sources that are known keep what they have used up."""
        self._total.reconfigure(rate, burst)
        self._source_rate = source_rate
        self._source_burst = source_burst
        self._sources_most = sources_most
        for bucket in self._sources.values():
            bucket.reconfigure(source_rate, source_burst)

    def allows(self, source: Address, now: float) -> bool:
        """Whether one more answer to `source` is within both rates; takes the tokens if so."""
        key = source_of(source)
        bucket = self._sources.get(key)
        if bucket is None:
            while len(self._sources) >= self._sources_most:
                self._sources.popitem(last=False)
            bucket = TokenBucket(self._source_rate, self._source_burst, now)
            self._sources[key] = bucket
        else:
            self._sources.move_to_end(key)
        if not bucket.take(now):
            return False
        if not self._total.take(now):
            bucket.give_back()
            return False
        return True


class FailureMemory:
    """How often in a row an exchange with a peer has failed; remembers so many peers."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: OrderedDict[Hit, int] = OrderedDict()

    def reconfigure(self, most: int) -> None:
        """Remember so many peers from now on."""
        self._most = most

    def count(self, peer: Hit) -> int:
        """Count one more failure and return how many there are, at most 32."""
        count = min(self._counts.pop(peer, 0) + 1, 32)
        while len(self._counts) >= self._most:
            self._counts.popitem(last=False)
        self._counts[peer] = count
        return count

    def forget(self, peer: Hit) -> None:
        """An exchange has succeeded, or the operator wants to begin anew."""
        self._counts.pop(peer, None)
