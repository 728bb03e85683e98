"""Several things at once, between daemons without root: HIPv1, certificates, ICMP, a reload.

a eth0 10.77.0.1 ------ 10.77.0.2 eth0 b
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hipgw.lab.network import Lab
from hipgw.wire import DhGroupList, HipPacket, PacketType, emit_packet, with_checksum
from tests.netns.test_certificates import Fleet, configure
from tests.netns.test_hipv1 import drops, hit_v1, ping, speak_v1
from tests.netns.test_reload import icmp_answer_to, until

pytestmark = pytest.mark.netns


def test_hipv1_with_certificates_without_root_until_it_is_taken_back(tmp_path: Path) -> None:
    settings = {"host": {"user": "nobody"}}
    name = f"seams-{os.getpid()}"
    with Lab.pair(name=name, key_kind="rsa-2048", settings=settings) as lab:
        speak_v1(lab, "a", "b")
        fleet = Fleet(tmp_path)
        for host in lab.hosts:
            fleet.certify(host)
            fleet.trusted_by(host)
            configure(host, policy="required", send_in=["i2", "r2", "update"])
            # The lab's directories are closed to other users.
            for directory in (host.files.directory, *host.files.directory.parents[:2]):
                directory.chmod(0o755)
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        ping(a, hit_v1(b))
        for host, other in ((a, b), (b, a)):
            (entry,) = host.ask("associations")["associations"]
            assert (entry["version"], entry["hit"]) == (1, str(hit_v1(other)))
            assert entry["certificate"]["verified"], entry["certificate"]

        here, there = a.addresses[0], b.addresses[0]
        i1 = bytearray(emit_packet(HipPacket(PacketType.I1, a.hit, b.hit, (DhGroupList((7,)),))))
        i1[3] = 0x31
        packet = with_checksum(bytes(i1), here, there)
        assert a.call(lambda: icmp_answer_to(packet, str(there), 4))[20] == 12

        text = b.files.config.read_text()
        b.files.config.write_text(re.sub(r"(?m)^legacy = true\n", "", text))
        assert "reloaded: peer" in b.run(["hipgw", "reload"]).stdout
        until(lambda: not b.ask("associations")["associations"], "b has closed it")
        until(lambda: not a.ask("sas")["sas"], "a has no SA left")
        assert a.run(["ping", "-n", "-c", "1", "-W", "1", str(hit_v1(b))], check=False).returncode
        assert drops(b)["legacy_refused"] >= 1
