"""The machine, for the programs of `make bench`."""

from hipgw.perf.machine import describe

__all__ = ["describe"]
