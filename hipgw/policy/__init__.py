"""Decisions from configuration, without I/O: LSIs, sizes, routed prefixes."""

from hipgw.policy.ingress import ingress_rules
from hipgw.policy.lsis import LsiConflictError, LsiKind, LsiTable
from hipgw.policy.mtu import interface_mtus, largest_inner_octets
from hipgw.policy.subnets import SubnetTable, flatten
from hipgw.policy.too_big import too_big

__all__ = [
    "LsiConflictError",
    "LsiKind",
    "LsiTable",
    "SubnetTable",
    "flatten",
    "ingress_rules",
    "interface_mtus",
    "largest_inner_octets",
    "too_big",
]
