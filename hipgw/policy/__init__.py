"""Decisions from configuration, without I/O: LSIs, sizes."""

from hipgw.policy.lsis import LsiConflictError, LsiKind, LsiTable
from hipgw.policy.mtu import interface_mtus, largest_inner_octets

__all__ = [
    "LsiConflictError",
    "LsiKind",
    "LsiTable",
    "interface_mtus",
    "largest_inner_octets",
]
