"""`hipgw status`: this host and its peers, as compact as `wg show`."""

from __future__ import annotations

from typing import Any

import click

from hipgw.cli.asking import EXIT_CODES, ask, ask_for_all, control_options, show
from hipgw.cli.rendering import ago, bold, duration, plural, size, utc


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw status
  hipgw status --json
  hipgw status --all
{EXIT_CODES}
"""
)
@click.option("--all", "everything", is_flag=True, help="Show every peer, not only the first ones.")
@control_options
def status(socket_path: str, *, everything: bool, as_json: bool) -> None:
    """Show this host, its peers and their traffic.

    One block for the interface, one for each of the first 50 peers, and at the end whatever is not
    well.
    """
    if not everything:
        show(ask(socket_path, "status"), render_status, as_json=as_json)
        return
    answer = ask(socket_path, "status", most=0)
    answer |= {"peers": ask_for_all(socket_path, "peers").get("peers", [])}
    show(answer, render_status, as_json=as_json)


def suite_name(suite: str | None) -> str:
    """An ESP suite as people write it: "AES_GCM_16" becomes "AES-GCM-16"; none is "none"."""
    return suite.replace("_", "-") if suite else "none"


def peer_title(peer: dict[str, Any]) -> str:
    """What a peer is called: its name, or else its HIT."""
    return str(peer.get("name") or peer["hit"])


def render_status(answer: dict[str, Any]) -> str:
    """The text of `hipgw status` for a `status` answer of the control socket."""
    blocks = [_interface_block(answer)]
    shown = answer.get("peers", [])
    blocks += [_peer_block(peer) for peer in shown]
    if (left := answer.get("peers_total", len(shown)) - len(shown)) > 0:
        blocks.append(f"{plural(left, 'more peer')}: see `hipgw status --all` or `hipgw peers`")
    if problems := answer.get("health", []):
        blocks.append(_health_block(problems))
    return "\n\n".join(blocks)


def _block(kind: str, title: str, fields: list[tuple[str, str]]) -> str:
    lines = [f"{bold(kind)}: {bold(title)}"]
    lines += [f"  {bold(name)}: {value}" for name, value in fields]
    return "\n".join(lines)


def _interface_block(answer: dict[str, Any]) -> str:
    interface, identity = answer["interface"], answer["identity"]
    default_hit, default_lsi = identity["hit"], identity.get("lsi")
    fields = [("hit", f"{default_hit} ({identity['algorithm']})")]
    more = {entry["hit"]: entry for entry in answer.get("identities", [])}
    fields += [
        ("hit", _other_hit(hit, more.get(hit)))
        for hit in interface.get("hits", [])
        if hit != default_hit
    ]
    if default_lsi:
        fields.append(("lsi", default_lsi))
    fields += [("lsi", lsi) for lsi in interface.get("lsis", []) if lsi != default_lsi]
    fields.append(("listening", _listening(answer.get("listening", {}))))
    if (mtu := interface.get("mtu")) is not None:
        by = " (set by the operator)" if interface.get("mtu_by") == "operator" else ""
        fields.append(("mtu", f"{mtu} octets{by}"))
    if local_subnets := answer.get("local_subnets"):
        fields.append(("local subnets", ", ".join(local_subnets)))
    strangers = answer.get("strangers", {})
    if received := strangers.get("i1_received", 0):
        fields.append(("strangers", f"{received} I1s received, {strangers['r1_sent']} R1s sent"))
    if states := answer.get("associations", {}).get("by_state"):
        spelled = (f"{number} {state}" for state, number in sorted(states.items()))
        fields.append(("associations", ", ".join(spelled)))
    if settings := answer.get("hip"):
        fields.append(("settings", _settings(settings)))
    return _block("interface", interface["name"], fields)


def _other_hit(hit: str, entry: dict[str, Any] | None) -> str:
    """A HIT that is not the default one, with what is special about it."""
    if entry is None:
        return hit
    said = list(dict.fromkeys((entry["name"], entry["algorithm"])))
    said += [
        word
        for word, is_so in (
            ("anonymous", entry["kind"] == "anonymous"),
            ("retired", entry["retired"]),
        )
        if is_so
    ]
    return f"{hit} ({', '.join(said)})"


def _settings(hip: dict[str, Any]) -> str:
    """What can be changed at run time, as far as it is not as quiet as can be."""
    beat = f"{hip['heartbeat_s']:g} s" if hip["heartbeat_s"] else "off"
    words = [f"puzzle K {hip['puzzle_k']} ({hip['puzzle']})", f"heartbeat {beat}"]
    for key, name in (("announce_locators", "locators"), ("shotgun", "shotgun")):
        words.append(f"{name} {'on' if hip[key] else 'off'}")
    if by_hand := hip.get("changed_by_hand"):
        words.append(f"changed by hand: {', '.join(by_hand)}")
    return ", ".join(words)


def _listening(listening: dict[str, Any]) -> str:
    ways = []
    if listening.get("udp_port"):
        ways.append(f"udp port {listening['udp_port']}")
    if listening.get("raw"):
        ways.append("protocols 139 (HIP) and 50 (ESP)")
    return ", ".join(ways) or "nothing"


def _peer_block(peer: dict[str, Any]) -> str:
    fields = [("hit", peer["hit"])] if peer.get("name") else []
    if peer.get("hostname"):
        fields.append(("calls itself", peer["hostname"]))
    if peer.get("anonymous"):
        fields.append(("identity", "anonymous"))
    if peer.get("lsi"):
        fields.append(("lsi", peer["lsi"]))
    if peer.get("subnets"):
        fields.append(("subnets", ", ".join(peer["subnets"])))
    if peer.get("endpoint"):
        way = {"udp": " (udp)", "raw": " (esp)"}.get(peer.get("encapsulation") or "", "")
        fields.append(("endpoint", f"{peer['endpoint']}{way}"))
    state = peer["state"]
    if peer.get("since_s") is not None:
        state += f" for {duration(peer['since_s'])}"
    fields.append(("state", state))
    if peer.get("legacy") and peer.get("since_s") is not None:
        use = peer.get("legacy_use") or [f"HIPv{peer['version']}"]
        fields.append(("legacy", ", ".join(use)))
    if peer.get("esp_suite"):
        bits = ", sequence numbers of 64 bits" if peer.get("extended_sequence_numbers") else ""
        fields.append(("suite", suite_name(peer["esp_suite"]) + bits))
    if peer.get("compatibility"):
        fields.append(("compatibility", ", ".join(peer["compatibility"])))
    if peer.get("last_used_s") is not None:
        fields.append(("latest traffic", ago(peer["last_used_s"])))
    if certificate := peer.get("certificate"):
        fields.append(("certificate", certificate_line(certificate, peer["hit"])))
    received, sent = peer.get("rx_octets", 0), peer.get("tx_octets", 0)
    if received or sent:
        fields.append(("transfer", f"{size(received)} received, {size(sent)} sent"))
    return _block("peer", peer_title(peer), fields)


def certificate_line(certificate: dict[str, Any], hit: str) -> str:
    """What a peer's certificate is worth, who has issued it, and until when or why not.

    The subject is shown when it says more than the HIT.
    """
    words = [certificate["standing"]]
    if certificate.get("subject") not in {None, f"CN={hit}"}:
        words.append(certificate["subject"])
    if certificate.get("issuer"):
        words.append(f"issued by {certificate['issuer']}")
    if certificate.get("detail"):
        words.append(certificate["detail"])
    elif certificate.get("valid_until") is not None:
        words.append(f"until {utc(certificate['valid_until'])}")
    return ", ".join(words)


def _health_block(problems: list[dict[str, Any]]) -> str:
    lines = ["# Health check:"]
    for entry in problems:
        remedy = entry.get("remedy")
        lines.append(f"#   - {entry['problem']}" + (f": {remedy}" if remedy else ""))
    return "\n".join(lines)
