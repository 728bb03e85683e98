"""strongSwan's IKEv2 with ESP in user space (kernel-libipsec), AES-128-GCM in UDP.

charon-systemd keeps no pid file, so two of it run on one machine, each with a configuration and a
control socket of its own. kernel-libipsec brings `ipsec0` up by itself and adds the address that a
child SA protects.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hipgw.lab.network import Lab
from hipgw.perf.rivals.contract import (
    Tunnel,
    answers,
    started_processes,
    wait_until,
    write_secret,
)

ADDRESSES: Final = {"a": "10.91.0.1", "b": "10.91.0.2"}
PLUGINS: Final = (
    "random nonce openssl aes sha1 sha2 hmac kdf pem pkcs1 pkcs8 x509 pubkey kernel-libipsec "
    "kernel-netlink socket-default vici updown"
)


class Strongswan:
    """Debian's charon-systemd with its user-space ESP."""

    name: Final = "strongswan"
    packages: Final = (
        "charon-systemd",
        "strongswan-swanctl",
        "libcharon-extra-plugins",
        "libstrongswan-standard-plugins",
    )
    programs: Final = ("charon-systemd", "swanctl")

    @contextlib.contextmanager
    def tunnel(self, lab: Lab, directory: Path, mtu_octets: int) -> Iterator[Tunnel]:  # noqa: ARG002
        """Two daemons and one child SA between two addresses on loopback.

        Its interface has an MTU of 1400 whatever the wire has.
        """
        secret = secrets.token_hex(32)
        with started_processes() as started:
            for name in ADDRESSES:
                host, socket = lab.host(name), _socket(directory, name)
                host.run(["ip", "address", "add", f"{ADDRESSES[name]}/32", "dev", "lo"])
                settings = directory / f"strongswan-{name}.conf"
                settings.write_text(_settings(socket))
                log = directory / f"strongswan-{name}.log"
                charon = ["charon-systemd"]
                started.start(host, charon, log, env={"STRONGSWAN_CONF": str(settings)})
                wait_until(socket.exists, f"charon on {name}", log)
            for name, other in (("a", "b"), ("b", "a")):
                addresses = tuple(str(lab.host(one).addresses[0]) for one in (name, other))
                file = directory / f"swanctl-{name}.conf"
                write_secret(file, _connection(name, other, addresses, secret))
                _swanctl(lab, directory, name, "--load-all", "--file", str(file), "--noprompt")
            _swanctl(lab, directory, "a", "--initiate", "--child", "bench", "--timeout", "10")
            wait_until(lambda: answers(lab.host("a"), ADDRESSES["b"]), self.name)
            yield Tunnel(ADDRESSES["b"], started.ids)


def _socket(directory: Path, name: str) -> Path:
    return directory / f"vici-{name}"


def _swanctl(lab: Lab, directory: Path, name: str, *words: str) -> None:
    uri = f"unix://{_socket(directory, name)}"
    settings = str(directory / f"strongswan-{name}.conf")
    lab.host(name).run(["swanctl", *words, "--uri", uri], env={"STRONGSWAN_CONF": settings})


def _settings(socket: Path) -> str:
    return f"""\
charon-systemd {{
  load = {PLUGINS}
  install_virtual_ip = no
  plugins {{
    vici {{
      socket = unix://{socket}
    }}
  }}
  journal {{
    default = -1
  }}
  filelog {{
    stderr {{
      default = 1
    }}
  }}
}}
"""


def _connection(name: str, other: str, addresses: tuple[str, ...], secret: str) -> str:
    return f"""\
connections {{
  bench {{
    version = 2
    local_addrs = {addresses[0]}
    remote_addrs = {addresses[1]}
    encap = yes
    proposals = aes128gcm16-prfsha256-ecp256
    local {{
      auth = psk
      id = {name}
    }}
    remote {{
      auth = psk
      id = {other}
    }}
    children {{
      bench {{
        local_ts = {ADDRESSES[name]}/32
        remote_ts = {ADDRESSES[other]}/32
        esp_proposals = aes128gcm16
        rekey_time = 0
      }}
    }}
  }}
}}
secrets {{
  ike-bench {{
    secret = "{secret}"
  }}
}}
"""
