"""Two namespaces of the guest on one wire, and states and policies made by hand.

    hip0 [a] v0 10.77.0.1, fd77::1 --- v1 10.77.0.2, fd77::2 [b] hip0

Also 10.77.1.n and fd77:1::n, to move to.  hip0 is a dummy here: the kernel carries what is routed
there because of the policies; a data path of hipgw opens a TUN in its place.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

from hipgw.dataplane.kernel_suites import kernel_algorithms
from hipgw.netlink.namespaces import enter_namespace
from hipgw.netlink.xfrm import (
    Address,
    Ownership,
    PolicyDirection,
    Selector,
    StateId,
    StateReport,
    Template,
    XfrmClient,
    XfrmPolicy,
    XfrmState,
    remove_owned,
)
from hipgw.values import ESP_SHAPES, EspSuite, Hit, Lsi

Result = TypeVar("Result")

HITS: Final = Hit.parse("2001:21::a"), Hit.parse("2001:22::b")
LSIS: Final = Lsi.parse("1.0.0.1"), Lsi.parse("1.0.0.2")
OUTER: Final = {4: ("10.77.0.1", "10.77.0.2"), 6: ("fd77::1", "fd77::2")}
MOVED: Final = {4: ("10.77.1.1", "10.77.1.2"), 6: ("fd77:1::1", "fd77:1::2")}
REQID: Final = 0x48490001
OURS: Final = Ownership(range(0x48490000, 0x484A0000))
SPIS: Final = 0x1001, 0x2002
"""Of the states from a to b and from b to a."""
PORT: Final = 10500
PATIENCE_S: Final = 60.0
TRANSFER_OCTETS: Final = 200_000
ADD_DUMMY: Final = "link add hip0 type dummy"


def run(*words: str, text: str = "") -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, input=text).stdout


@dataclass
class Host:
    """One namespace, with a thread that lives in it."""

    name: str
    number: int
    thread: ThreadPoolExecutor = field(init=False)
    xfrm: XfrmClient = field(init=False)

    def __post_init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, initializer=enter_namespace, initargs=(self.name,))
        self.xfrm = self.call(XfrmClient)

    def call(self, task: Callable[[], Result]) -> Result:
        return self.thread.submit(task).result()

    def close(self) -> None:
        self.xfrm.close()
        self.thread.shutdown()

    def inner(self, family: int) -> Address:
        return ip_address((HITS if family == 6 else LSIS)[self.number].packed)

    def outer(self, family: int) -> Address:
        return ip_address(OUTER[family][self.number])

    def moved(self, family: int) -> Address:
        return ip_address(MOVED[family][self.number])

    def socket(self, family: int, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
        address_family = socket.AF_INET6 if family == 6 else socket.AF_INET
        opened = self.call(lambda: socket.socket(address_family, kind, protocol))
        opened.settimeout(PATIENCE_S)
        return opened

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.name, *words)

    def ip_batch(self, *lines: str) -> None:
        run("ip", "-n", self.name, "-batch", "-", text="\n".join(lines))

    def ping(
        self, target: Address, count: int = 3, octets: int = 56, patience_s: float = PATIENCE_S
    ) -> int:
        """How many of `count` echo requests came back; one at a time, none is sent twice."""
        family = target.version
        protocol = socket.IPPROTO_ICMPV6 if family == 6 else socket.IPPROTO_ICMP
        request, reply = (128, 129) if family == 6 else (8, 0)
        back = 0
        with self.socket(family, socket.SOCK_RAW, protocol) as opened:
            for number in range(count):
                body = struct.pack("!HH", os.getpid() & 0xFFFF, number) + os.urandom(octets)
                head = struct.pack("!BBH", request, 0, 0)
                if family == 4:  # for ICMPv6 the kernel does it
                    head = struct.pack("!BBH", request, 0, internet_checksum(head + body))
                opened.sendto(head + body, (str(target), 0))
                opened.settimeout(patience_s)
                with contextlib.suppress(TimeoutError):
                    while True:
                        got = opened.recv(70000)
                        got = got[(got[0] & 15) * 4 :] if family == 4 else got
                        if got[0] == reply and got[4:] == body:
                            back += 1
                            break
        return back

    def errors(self) -> dict[str, int]:
        """Of /proc/net/xfrm_stat, which is per namespace and never goes back to zero."""
        text = self.call(Path("/proc/thread-self/net/xfrm_stat").read_text)
        return {name: int(number) for name, number in map(str.split, text.splitlines())}

    def state(self, destination: Address, spi: int) -> StateReport:
        return self.xfrm.state(StateId(destination, spi))


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    names = ["hipgw-a", "hipgw-b"]
    lines = ["netns add hipgw-a", "netns add hipgw-b"]
    lines.append("link add v0 netns hipgw-a type veth peer name v1 netns hipgw-b")
    run("ip", "-batch", "-", text="\n".join(lines))
    try:
        for number, name in enumerate(names):
            link = f"v{number}"
            lines = ["link set lo up", ADD_DUMMY]
            for places in (OUTER, MOVED):
                lines.append(f"address add {places[4][number]}/24 dev {link}")
                lines.append(f"address add {places[6][number]}/64 dev {link} nodad")
            lines += [f"link set {link} up", *hip0_lines(number)]
            run("ip", "-n", name, "-batch", "-", text="\n".join(lines))
        a, b = (Host(name, number) for number, name in enumerate(names))
        until(lambda: a.ping(b.outer(6), 1, patience_s=1.0) == 1, "no IPv6 on the wire")
        yield a, b
        a.close()
        b.close()
    finally:
        for name in names:
            run("ip", "netns", "delete", name)


def internet_checksum(octets: bytes) -> int:
    """Of an even number of octets (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def hip0_lines(number: int, mtu: int = 1500) -> list[str]:
    """Of a batch for ip: addresses and routes of a host's hip0, whatever kind of device it is."""
    return [
        f"address add {HITS[number]}/128 dev hip0 nodad",
        f"address add {LSIS[number]}/32 dev hip0",
        "link set hip0 up",
        f"route replace 2001:20::/28 dev hip0 src {HITS[number]} mtu {mtu}",
        f"route replace 1.0.0.0/8 dev hip0 src {LSIS[number]} mtu {mtu}",
    ]


def until(question: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {PATIENCE_S} s: {what}")
        time.sleep(0.02)


@dataclass(frozen=True)
class Keys:
    """Of one suite, one pair for each direction."""

    suite: EspSuite
    pairs: tuple[tuple[bytes, bytes], tuple[bytes, bytes]]

    @classmethod
    def fresh(cls, suite: EspSuite) -> Keys:
        shape = ESP_SHAPES[suite]
        sizes = shape.encryption_key_octets, shape.authentication_key_octets
        first, second = (tuple(map(os.urandom, sizes)) for _ in "ab")
        return cls(suite, (first, second))  # type: ignore[arg-type]


def state_of(
    near: Host,
    far: Host,
    keys: Keys,
    *,
    inner: int = 6,
    outer: int = 4,
    spis: tuple[int, int] = SPIS,
    **changes: Any,
) -> XfrmState:
    """The state from near to far, the same on both of them."""
    algorithms = kernel_algorithms(keys.suite, *keys.pairs[near.number])
    values: dict[str, Any] = {
        "source": near.outer(outer),
        "destination": far.outer(outer),
        "spi": spis[near.number],
        "selector": Selector.between(near.inner(inner), far.inner(inner)),
        "aead": algorithms.aead,
        "cipher": algorithms.cipher,
        "authentication": algorithms.authentication,
        "reqid": REQID,
    }
    return XfrmState(**(values | changes))


def policy_of(
    near: Host, far: Host, direction: PolicyDirection, *, inner: int = 6, outer: int = 4,
    ends: tuple[Address, Address] | None = None,
) -> XfrmPolicy:  # fmt: skip
    """The policy for packets from near to far."""
    source, destination = ends or (near.outer(outer), far.outer(outer))
    template = Template(source, destination, reqid=REQID)
    selector = Selector.between(near.inner(inner), far.inner(inner))
    return XfrmPolicy(selector, direction, (template,))


def install(
    host: Host, other: Host, keys: Keys, *, inner: int = 6, outer: int = 4, **changes: Any
) -> None:
    """Both states and both policies of one host."""
    out, back = PolicyDirection.OUT, PolicyDirection.IN
    for near, far, direction in ((host, other, out), (other, host, back)):
        host.xfrm.add_state(state_of(near, far, keys, inner=inner, outer=outer, **changes))
        host.xfrm.add_policy(policy_of(near, far, direction, inner=inner, outer=outer))


def clear(hosts: tuple[Host, Host]) -> None:
    for host in hosts:
        remove_owned(host.xfrm, OURS)


def transfer(
    a: Host, b: Host, family: int, on_port: Callable[[int], object] = lambda _: None
) -> int:
    """A sends over TCP, b answers with the same octets; returns a's segment size.

    `on_port` hears b's port before a connects.
    """
    sent = os.urandom(TRANSFER_OCTETS)
    with b.socket(family, socket.SOCK_STREAM) as server:
        server.bind((str(b.inner(family)), 0))
        server.listen()
        on_port(server.getsockname()[1])

        def serve() -> None:
            accepted, _ = server.accept()
            with accepted:
                while chunk := accepted.recv(65536):
                    accepted.sendall(chunk)

        thread = threading.Thread(target=serve)
        thread.start()
        with a.socket(family, socket.SOCK_STREAM) as client:
            client.bind((str(a.inner(family)), 0))
            client.connect(server.getsockname()[:2])
            segment = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            sender = threading.Thread(
                target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR))
            )
            sender.start()
            received = bytearray()
            while chunk := client.recv(65536):
                received += chunk
            sender.join(PATIENCE_S)
        thread.join(PATIENCE_S)
    assert received == sent
    return segment
