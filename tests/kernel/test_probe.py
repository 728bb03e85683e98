"""The probe on a kernel that has everything, and on one whose answers are no."""

from __future__ import annotations

import json
import subprocess
import sys

from hipgw.dataplane.kernel_suites import probe_kernel, trial_transform
from hipgw.netlink.xfrm import XfrmClient
from hipgw.netlink.xfrm.probe import Transform, probe
from hipgw.values import EspSuite

NO_CAPABILITIES = """
import json, os
from hipgw.dataplane.kernel_suites import probe_kernel
os.setuid(65534)
print(json.dumps(sorted({verdict.reason for verdict in probe_kernel().verdicts})))
"""


def test_this_kernel_carries_every_suite() -> None:
    found = probe_kernel()
    assert {verdict.transform for verdict in found.verdicts} == {suite.name for suite in EspSuite}
    assert [verdict for verdict in found.verdicts if not verdict.is_possible] == []
    assert found.reason_against(EspSuite.AES_GCM_16, 6, is_udp=True) == ""


def test_nothing_is_left_where_the_caller_is() -> None:
    with XfrmClient() as client:
        probe_kernel()
        assert client.states() == []
        assert client.policies() == []


def test_an_algorithm_that_is_missing_is_named() -> None:
    good = trial_transform(EspSuite.AES_128_CBC_HMAC_SHA256)
    assert good.authentication is not None
    nothing = Transform("X", cipher=type(good.authentication)("nonesuch", bytearray(16)))  # type: ignore[arg-type]
    assert {verdict.reason for verdict in probe([nothing])} == {"this kernel lacks nonesuch"}


def test_without_privileges_that_is_the_reason() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", NO_CAPABILITIES], check=True, capture_output=True, text=True
    )
    assert json.loads(asked.stdout) == ["no permission: CAP_NET_ADMIN is missing"]


def test_doctor_says_so() -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "hipgw", "doctor", "--json"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    answer = json.loads(asked.stdout)
    carried = len(EspSuite)
    [check] = [check for check in answer["checks"] if check["name"] == "kernel esp"]
    assert check["detail"].startswith(
        f"BEET with {carried} of {len(EspSuite)} suites over IPv4 and IPv6"
    )
    assert sum(row["possible"] for row in answer["kernel_esp"]) == carried * 4
