"""What tests with daemons ask of them, of their kernels, and of the wire between them."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

from hipgw.dataplane.kernel_pairs import OWNERSHIP
from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.netlink.xfrm import StateReport, XfrmClient, XfrmPolicy
from hipgw.values import Hit

PATIENCE_S = 120.0
"""The guest has one processor, and everybody wants it."""
OPTIONS: dict[str, dict[str, object]] = {"datapath": {"backend": "auto"}}


def until(question: Callable[[], bool], what: Callable[[], str] | str) -> None:
    """Wait for something to become true; fails the test when it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        if time.monotonic() >= deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {PATIENCE_S} s: {said}")
        time.sleep(0.05)


def ping(a: LabHost, target: LabHost | Hit, count: int = 1, *options: str) -> None:
    hit = target.hit if isinstance(target, LabHost) else target
    a.run(["ping", "-n", "-c", str(count), "-i", "0.1", "-W", "20", *options, str(hit)])


def present_spis(host: LabHost, peer: Hit | None) -> set[int]:
    """Of the association with a peer, or of all."""
    views = [
        view
        for view in host.ask("associations")["associations"]
        if peer is None or view["hit"] == str(peer)
    ]
    return {view[way] for view in views for way in ("spi_in", "spi_out")}


def current(host: LabHost, peer: Hit | None = None) -> dict[str, dict[str, object]]:
    """The present SAs of the association with a peer, or of the only one, by direction."""
    spis, entries = present_spis(host, peer), []
    while True:  # two questions are one look if nothing has changed in between
        entries = [dict(entry) for entry in host.ask("sas")["sas"]]
        before, spis = spis, present_spis(host, peer)
        if spis == before:
            break
    return {
        str(entry["direction"]): entry
        for entry in entries
        if entry["spi"] in spis and (peer is None or entry["peer_hit"] == str(peer))
    }


def carriers(host: LabHost, peer: Hit | None = None) -> set[object]:
    return {entry["carrier"] for entry in current(host, peer).values()}


def carried(by: str, *hosts: LabHost, peer: Hit | None = None) -> None:
    """Wait until both directions of an association are where they belong."""
    for host in hosts:
        until(
            lambda host=host: carriers(host, peer) == {by},
            lambda host=host: f"{by}: {current(host, peer)}\n{host.log_tail(20)}",
        )


def settled(*hosts: LabHost) -> None:
    """Wait until no new keys are under way: others would have to wait for them, or for these."""
    for host in hosts:
        until(
            lambda host=host: (
                not any(one["rekeying"] for one in host.ask("associations")["associations"])
            ),
            host.log_tail,
        )


def unload(host: LabHost, module: str) -> None:
    """Take a module out of the kernel, as soon as nothing that is gone holds it any more."""
    until(
        lambda: host.run(["modprobe", "-r", module], check=False).returncode == 0,
        f"{module} unloaded",
    )


def spi_of(host: LabHost, direction: str) -> int:
    """Of the present SA; 0 where it is gone."""
    found = current(host).get(direction)
    return 0 if found is None else int(str(found["spi"]))


def xfrm(host: LabHost, what: str) -> str:
    return host.run(["ip", "xfrm", what]).stdout


def our_states(host: LabHost) -> list[StateReport]:
    """What hipgw has in the kernel of a host; a larval state ends by itself, and has no SPI."""

    def read() -> list[StateReport]:
        with XfrmClient() as client:
            mine = [one for one in client.states() if OWNERSHIP.has_state(one.state)]
        return [one for one in mine if one.state.spi]

    return host.call(read)


def our_policies(host: LabHost) -> list[XfrmPolicy]:
    def read() -> list[XfrmPolicy]:
        with XfrmClient() as client:
            return [one for one in client.policies() if OWNERSHIP.has_policy(one)]

    return host.call(read)


def rekey(host: LabHost, peer: LabHost, *options: str) -> None:
    host.run(["hipgw", "rekey", str(peer.hit), "--wait", "60", *options], timeout_s=90)


def is_up(host: LabHost) -> bool:
    """Whether its daemon answers."""
    try:
        host.ask("status", timeout_s=10.0)
    except HostError:
        return False
    return True


def kill(host: LabHost, number: signal.Signals) -> None:
    assert host.daemon is not None
    os.kill(host.daemon.pid, number)


def doctor(host: LabHost, name: str) -> dict[str, str]:
    [found] = [check for check in host.ask("doctor")["checks"] if check["name"] == name]
    return dict(found)


def echoed(a: LabHost, here: Hit, b: LabHost, there: Hit, octets: int = 50_000) -> bool:
    """Whether octets that a sends to b over TCP come back as they were."""
    sent = os.urandom(octets)

    def serve() -> socket.socket:
        server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        server.settimeout(PATIENCE_S)
        server.bind((str(there), 0))
        server.listen()
        return server

    def call() -> socket.socket:
        client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        client.settimeout(PATIENCE_S)
        client.bind((str(here), 0))
        client.connect(server.getsockname()[:2])
        return client

    def answer() -> None:
        accepted, _ = server.accept()
        with accepted:
            while chunk := accepted.recv(65536):
                accepted.sendall(chunk)

    with b.call(serve) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        with a.call(call) as client:
            client.settimeout(PATIENCE_S)
            sender = threading.Thread(
                target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR))
            )
            sender.start()
            received = bytearray()
            while chunk := client.recv(65536):
                received += chunk
            sender.join(PATIENCE_S)
        thread.join(PATIENCE_S)
    return bytes(received) == sent
