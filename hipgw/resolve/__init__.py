"""Who a name is and where a HIT can be reached: configuration, run-time mappings, hosts files."""

from hipgw.resolve.hosts import HostsFiles, HostsLine, HostsTable, LineTrouble, parse_hosts
from hipgw.resolve.peers import Peer, is_hit, parse_locator
from hipgw.resolve.resolver import Resolver

__all__ = [
    "HostsFiles",
    "HostsLine",
    "HostsTable",
    "LineTrouble",
    "Peer",
    "Resolver",
    "is_hit",
    "parse_hosts",
    "parse_locator",
]
