"""What `hipgw doctor` asks of the machine: privileges, TUN, sockets, kernel."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from typing import Any, Final

from hipgw.cli.checks import FAIL, OK, WARN, Check, HostFiles

CAP_NET_ADMIN: Final = 12
CAP_NET_RAW: Final = 13
HIP_PROTOCOL: Final = 139
HIP_UDP_PORT: Final = 10500
PRIVILEGE_REMEDY: Final = "run as root, or with CAP_NET_ADMIN and CAP_NET_RAW"


def check_privileges(files: HostFiles) -> Check:
    """Capabilities of this process: NET_ADMIN for hip0 and its routes, NET_RAW for protocol 139."""
    name = "privileges"
    for line in (files.text("self/status") or "").splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            missing = [
                capability
                for capability, bit in (("NET_ADMIN", CAP_NET_ADMIN), ("NET_RAW", CAP_NET_RAW))
                if not held >> bit & 1
            ]
            if not missing:
                return Check(name, OK, f"user id {os.geteuid()}, CAP_NET_ADMIN and CAP_NET_RAW")
            lacking = " and ".join(f"CAP_{capability}" for capability in missing)
            return Check(name, FAIL, f"this user lacks {lacking}", PRIVILEGE_REMEDY)
    return Check(name, WARN, "cannot read capabilities from /proc/self/status", "mount /proc")


def check_tun(files: HostFiles) -> Check:
    """The device that hip0 is made with."""
    name = str(files.tun)
    try:
        if not stat.S_ISCHR(files.tun.stat().st_mode):
            return Check(name, FAIL, "is not a character device", f"mknod {name} c 10 200")
        os.close(os.open(files.tun, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return Check(
            name, FAIL, "does not exist", f"modprobe tun; in a container, pass {name} to it"
        )
    except PermissionError:
        return Check(name, FAIL, "may not be opened by this user", "run as root")
    except OSError as error:
        return Check(name, FAIL, f"cannot be opened ({error.strerror})", "modprobe tun")
    return Check(name, OK, "can be opened")


def check_raw_sockets() -> Check:
    """HIP without UDP: IP protocol 139, both families."""
    name = "raw sockets"
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.socket(family, socket.SOCK_RAW, HIP_PROTOCOL).close()
        except PermissionError:
            return Check(name, FAIL, "not allowed for this user", PRIVILEGE_REMEDY)
        except OSError as error:
            return Check(name, FAIL, f"{error.strerror} for {family.name}", "enable that family")
    return Check(name, OK, "protocol 139 over IPv4 and IPv6")


def check_udp_port(daemon: dict[str, Any] | None, port: int = HIP_UDP_PORT) -> Check:
    """The UDP port: free, or held by the hipgw that answers.

    Args:
        daemon: the `status` answer of a running daemon, or None.
        port: UDP port to look at.
    """
    name = f"udp port {port}"
    for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((anywhere, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return Check(
                        name, FAIL, f"{error.strerror} for {family.name}", "enable that family"
                    )
                if daemon and daemon.get("listening", {}).get("udp_port") == port:
                    return Check(name, OK, f"held by hipgw, pid {daemon['host'].get('pid')}")
                return Check(
                    name,
                    FAIL,
                    "another program holds it",
                    f"find it with `ss -lunp 'sport = :{port}'`, or choose another udp_port",
                )
    return Check(name, OK, "free")


def check_ipv6(files: HostFiles) -> Check:
    """HITs are IPv6 addresses, so hip0 needs IPv6 whatever the underlay is."""
    name = "ipv6"
    if not (files.proc / "net/if_inet6").exists():
        return Check(name, FAIL, "this kernel runs without IPv6", "boot without ipv6.disable=1")
    for scope in ("all", "default"):
        if files.text(f"sys/net/ipv6/conf/{scope}/disable_ipv6") == "1":
            return Check(
                name,
                FAIL,
                f"switched off for {scope} interfaces, so hip0 cannot carry HITs",
                f"sysctl -w net.ipv6.conf.{scope}.disable_ipv6=0",
            )
    return Check(name, OK, "on")


def check_kernel_esp(detail: str) -> Check:
    """What this kernel's own ESP with BEET can carry: for information.

    Args:
        detail: what the probe found, in words.
    """
    return Check("kernel esp", OK, f"{detail}; see [datapath] backend")


def check_receive_buffer(files: HostFiles) -> Check:
    """How large a receive buffer an unprivileged socket may ask for: for information."""
    limit = files.text("sys/net/core/rmem_max")
    if limit is None:
        return Check("net.core.rmem_max", OK, "not visible in this namespace")
    return Check("net.core.rmem_max", OK, f"{limit} octets, for sockets without CAP_NET_ADMIN")


def check_packet_filter(files: HostFiles) -> Check:
    """What could make the rules of `intercept = "nfqueue"`: for information, "tun" needs none."""
    tools = [tool for tool in ("nft", "iptables") if shutil.which(tool)]
    queue = (files.proc / "net/netfilter/nfnetlink_queue").exists()
    detail = f"tools: {', '.join(tools) or 'none'}; NFQUEUE {'loaded' if queue else 'not loaded'}"
    if not tools or os.geteuid() != 0:
        return Check("packet filter", OK, f'{detail}; needed for intercept = "nfqueue" only')
    from hipgw.daemon.interception import try_rules

    tried = "; ".join(
        f"{program}: {complaint or 'makes rules to NFQUEUE'}"
        for program, complaint in try_rules().items()
    )
    return Check("packet filter", OK, f'{detail}; {tried}; needed for intercept = "nfqueue" only')
