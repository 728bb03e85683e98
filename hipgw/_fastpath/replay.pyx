"""Anti-replay window of one inbound SA: a ring of 64-bit words that never shifts (RFC 6479).

Number s lives in word (s / 64) mod REPLAY_WORDS, bit s mod 64. The word of the highest number is
only partly in use, so REPLAY_WORDS words protect (REPLAY_WORDS - 1) * 64 numbers.

The window is looked at before the ICV and written after it (RFC 4303 section 3.4.3); whoever marks
has checked the same number since the last mark. Numbers are 64 bits wide: without ESN they stop
at 2^32 - 1 because the wire carries no more. With ESN the wire carries the lower half, and the
window says what the upper one must be (RFC 4303 appendix A2); whether it is shows the ICV, which
covers it. Nobody can move the window, or make it guess otherwise, without the key. A receiver that
has lost 2^32 packets in a row guesses wrong for good (section A3): it needs new keys.
"""

from libc.stdint cimport uint32_t, uint64_t

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

    def full(self, uint32_t low) -> int | None:
        """The extended number that a packet with this lower half has; None: there is none."""
        cdef uint64_t sequence = full_number(&self.replay, low)
        return None if is_beyond(&self.replay, sequence) else sequence

    @property
    def top(self) -> int:
        """Highest number accepted; 0 before the first."""
        return self.replay.top
