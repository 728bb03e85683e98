"""What is not well, each with a remedy, and the daemon's own checks for `hipgw doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hipgw.daemon.cipher_views import cipher_checks
from hipgw.daemon.extended_numbers import extended_numbers_problems
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.interception import interception_check
from hipgw.daemon.kernel_views import kernel_check
from hipgw.daemon.worker_plan import workers_check
from hipgw.drivers.offload import Offloads

OFFLOAD_COUNTERS: Final = (
    "tso_in", "gso_out", "gro_in", "coalesced_out", "gso_refused", "link_tx", "gave_way",
)  # fmt: skip


def health_view(gateway: Gateway) -> list[dict[str, str]]:
    """What an operator should know, each with a remedy; empty when all is well."""
    found = []
    config = gateway.config
    peers = [hit for hit in gateway.resolver.known_hits() if hit not in gateway.facts.hits]
    unreachable = [hit for hit in peers if not gateway.resolver.locators_of(hit)]
    if unreachable:
        noun = "1 peer" if len(unreachable) == 1 else f"{len(unreachable)} peers"
        found.append(
            {
                "problem": f"no address known for {noun}",
                "remedy": f"add it to {config.hosts.files[0]} or [[peer]] addresses"
                if config.hosts.files
                else "add it to [[peer]] addresses",
            }
        )
    found += [
        {"problem": f"{trouble.file}:{trouble.line}: {trouble.message}", "remedy": "correct it"}
        for trouble in gateway.resolver.files.troubles[:5]
    ]
    if gateway.sockets.last_send_error:
        found.append(
            {
                "problem": f"last HIP packet not sent: {gateway.sockets.last_send_error}",
                "remedy": "look at routes and packet filter",
            }
        )
    found += gateway.certificates.problems()
    found += extended_numbers_problems(gateway)
    for part in (gateway.interface, gateway.subnets, gateway.mtus):
        found += part.problems() if part is not None else []
    if config.lab.export_keys is not None:
        found.append(
            {
                "problem": f"ESP keys are written to {config.lab.export_keys}",
                "remedy": "turn [lab] off outside of a lab",
            }
        )
    return found


def doctor_view(gateway: Gateway) -> list[dict[str, str]]:
    """`doctor`: the daemon's own checks: name, outcome (ok, warn, fail), detail, remedy."""
    checks = []

    def add(name: str, *, is_good: bool, detail: str, remedy: str = "") -> None:
        outcome = "ok" if is_good else "warn"
        checks.append({"name": name, "outcome": outcome, "detail": detail, "remedy": remedy})

    families = gateway.sockets.families
    spelled = ", ".join(f"IPv{family}" for family in families) or "none"
    add(
        "daemon sockets",
        is_good=len(families) == 2,
        detail=f"HIP and ESP over {spelled}",
        remedy="enable the other address family in the kernel",
    )
    facts = gateway.facts
    add(
        "interface",
        is_good=True,
        detail=f"{gateway.config.network.interface}: MTU {facts.mtu_octets} octets for HITs, "
        f"{facts.lsi_mtu_octets} for LSIs",
    )
    add("queue", is_good=True, detail=f"{len(gateway.queue)} packets wait for base exchanges")
    failed = sum(gateway.engine.counters.values())
    add(
        "engine",
        is_good=not failed,
        detail=f"{gateway.engine.jobs_running} jobs running, {failed} steps failed",
        remedy="report the traceback in the daemon's log",
    )
    counters = gateway.data_counters()
    raw = "by socket" if gateway.hops is None else gateway.hops.state
    checks.append(_offload_check(facts.offloads, raw, counters))
    handed, lost = (counters.get(name, 0) for name in ("handed_over", "handover_full"))
    checks.append(workers_check(facts.workers, facts.steering, handed, lost))
    checks += cipher_checks(facts.ciphers)
    where, overruns = gateway.interception.where, gateway.queue_overruns()
    checks.append(interception_check(where, counters, overruns))
    split = gateway.sas.split
    checks.append(kernel_check(gateway.kernel, [] if split is None else split.refusals()))
    if gateway.subnets is not None and gateway.subnets.tunnels is not None:
        checks.append(gateway.subnets.tunnels.clamp.check())
    for entry in health_view(gateway):
        add("health", is_good=False, detail=entry["problem"], remedy=entry["remedy"])
    return checks


def _offload_check(offloads: Offloads, raw: str, counters: Mapping[str, int]) -> dict[str, str]:
    """Which offloads are on, why one is not, and how often each was of use."""
    tun = [
        word
        for word, is_on in (
            ("checksums", offloads.vnet_hdr),
            ("TCP", offloads.vnet_hdr),
            ("UDP", offloads.uso),
        )
        if is_on
    ]
    udp = [word for word, is_on in (("GSO", offloads.udp_gso), ("GRO", offloads.udp_gro)) if is_on]
    spelled = [
        f"{name}: {', '.join(words) or 'off'}" + (f" ({reason})" if reason else "")
        for name, words, reason in (
            ("TUN", tun, offloads.tun_reason),
            ("UDP", udp, offloads.udp_reason),
        )
    ]
    spelled.append(f"raw ESP: {raw}")
    refused = counters.get("gso_refused", 0)
    used = ", ".join(f"{name} {counters.get(name, 0)}" for name in OFFLOAD_COUNTERS)
    return {
        "name": "offload",
        "outcome": "warn" if refused else "ok",
        "detail": f"{'; '.join(spelled)}; {used}",
        "remedy": "lower the MTU of the interface to what every path carries" if refused else "",
    }
