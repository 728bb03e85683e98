"""Peers with sequence numbers of 64 bits: what an operator should know of them.

HIP has no word for them, so nothing but ICVs tells that the two ends do not agree.
"""

from __future__ import annotations

from typing import Final

from hipgw.daemon.gateway import Gateway
from hipgw.daemon.sa_home import SaRecord
from hipgw.values import Hit

SILENT_PACKETS: Final = 5
"""Sent on an SA before it counts that nothing has come on the other one."""


def extended_numbers_problems(gateway: Gateway) -> list[dict[str, str]]:
    """Peers that are to have them with their next keys, or seem to have them on our side alone."""
    found = []
    wrong = gateway.data_counters().get("icv_wrong", 0)
    for peer in sorted(gateway.config.extended_peers(), key=str):
        for local in gateway.facts.hits:
            sent = gateway.sas.outbound_of(local, peer)
            if sent is None:
                continue
            if not sent.is_extended:
                problem = "its present keys are without extended sequence numbers"
                found.append(_entry(peer, problem, "when both ends have them configured: "))
            elif wrong and _is_silent(gateway, sent):
                problem = f"no ESP of it has been authentic, {wrong} packets were not"
                remedy = "give both ends the same [[peer]] extended_sequence_numbers, reload, then "
                found.append(_entry(peer, problem, remedy))
    return found


def _entry(peer: Hit, problem: str, remedy: str) -> dict[str, str]:
    return {"problem": f"peer {peer}: {problem}", "remedy": f"{remedy}hipgw rekey {peer}"}


def _is_silent(gateway: Gateway, sent: SaRecord) -> bool:
    record = gateway.sas.inbound_of(sent.local_hit, sent.peer_hit)
    came = None if record is None else gateway.sas.statistics_of(record)
    went = gateway.sas.statistics_of(sent)
    if came is None or went is None:
        return False
    return went.packets >= SILENT_PACKETS and not came.packets
