"""What holds for every test."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# No time decides a test, and the same tree says the same thing twice: what is new is looked for by
# `make fuzz`, which keeps what it has found.
settings.register_profile(
    "hipgw", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("hipgw")

# A shell in the background ignores SIGINT, and so would every program that a test starts and ends.
signal.signal(signal.SIGINT, signal.default_int_handler)
