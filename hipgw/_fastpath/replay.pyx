"""Anti-replay window of one inbound SA: a ring of 64-bit words that never shifts (RFC 6479).

Number s lives in word (s / 64) mod REPLAY_WORDS, bit s mod 64. The word of the highest number is
only partly in use, so REPLAY_WORDS words protect (REPLAY_WORDS - 1) * 64 numbers.

The window is looked at before the ICV and written after it (RFC 4303 section 3.4.3); whoever marks
has checked the same number since the last mark. Numbers are 64 bits wide: without ESN they stop
at 2^32 - 1 because the wire carries no more.
"""

from hipgw._fastpath.sa cimport REPLAY_WORDS, Replay

WINDOW_NUMBERS = (REPLAY_WORDS - 1) * 64


cdef class ReplayWindow:
    """One window, for tests and diagnosis."""

    cdef Replay replay              # all zero, as every new extension object: nothing seen yet

    def check(self, uint64_t sequence) -> int:
        """0, or the number of the reason to refuse `sequence`; changes nothing."""
        return replay_check(&self.replay, sequence)

    def accept(self, uint64_t sequence) -> int:
        """As `check`, and remember `sequence` when the answer is 0."""
        cdef int reason = replay_check(&self.replay, sequence)
        if reason == 0:
            replay_mark(&self.replay, sequence)
        return reason

    @property
    def top(self) -> int:
        """Highest number accepted; 0 before the first."""
        return self.replay.top
