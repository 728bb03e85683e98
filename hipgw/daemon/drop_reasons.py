"""Why the daemon itself dropped a packet; engine and data path have their own halves of the table.

`hipgw drops` shows all three.  No name occurs in two of them: a test sees to it.
"""

from __future__ import annotations

from typing import Final

DAEMON_REASONS: Final = {
    "queue_full": "packet for a peer whose queue, or the queue of all, was full",
    "queue_failed": "packet that waited for a base exchange that failed or took too long",
    "refused_at_once": "packet for a peer that the engine refuses: policy, ceiling, HIT suite",
    "not_wanted": "packet for a HIT that no association can be made with",
    "no_locator": "packet for a peer whose address nobody knows, or to which there is no route",
    "lsi_unknown": "packet for an LSI that belongs to no peer",
    "lsi_changed": "packet for an LSI that the peer's association does not have",
    "foreign_source": "packet from hip0 whose source is no HIT or LSI of this host",
    "punt_malformed": "packet handed up by the data path that is no IP packet",
    "punt_unknown": "packet handed up by the data path for a reason unknown here",
    "interface_full": "packet that found no room in hip0, on its way to the data path",
    "inject_full": "packet that waited, and then found no room towards the data path",
    "too_big_foreign": "ICMP Packet Too Big that quotes no packet of ours",
    "kernel_not_sent": "packet that waited, and that the kernel then refused to send",
    "kernel_copies": "copy of an ESP packet that the kernel has decrypted",
    "sa_refused": "security association that the data plane refused to carry",
    "control_not_sent": "HIP packet that the kernel refused to send",
    "icmp_not_sent": "ICMP error about a bad HIP packet that the kernel refused to send",
    "control_unreadable": "HIP packet that came in cut off or without its destination address",
}
"""Reason -> one-line meaning."""
