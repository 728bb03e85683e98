"""Labs on the real kernel; no daemon runs here.

hipgw-NAME-a eth0 ------ eth0 hipgw-NAME-b
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_interface
from itertools import count
from pathlib import Path

import pytest

from hipgw.errors import HostError, LocalProtocolError
from hipgw.lab.capture import read_pcap
from hipgw.lab.environment import PACKAGE_PARENT
from hipgw.lab.hosts import process_directory
from hipgw.lab.network import Lab, clear_abandoned, leftovers, opened_lab, take_down
from hipgw.lab.processes import recorded_processes
from hipgw.lab.state import LAB_ROOT, claim_name, lab_directory, lab_names, namespace_of
from hipgw.lab.topology import Host, Link, Port, Topology, pair
from hipgw.netlink.namespaces import create_namespace, namespace_names, remove_namespace, run_inside
from tests.netns.streams import until

pytestmark = pytest.mark.netns

NUMBERS = count()


@pytest.fixture
def name() -> Iterator[str]:
    """A lab name of this test alone; whatever the test leaves of it goes."""
    chosen = f"test-{os.getpid()}-{next(NUMBERS)}"
    yield chosen
    for lab in [lab for lab in lab_names() if lab.startswith(chosen)]:
        take_down(lab)


def interfaces() -> set[str]:
    """Names of the interfaces of the machine itself."""
    listed = subprocess.run(["ip", "-json", "link"], check=True, capture_output=True, text=True)
    return {str(link["ifname"]) for link in json.loads(listed.stdout)}


def hipgw(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from hipgw.cli.main import main; main()", *argv],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_pair_comes_up_and_leaves_nothing_behind(name: str) -> None:
    before = interfaces()
    with Lab.pair(name=name) as lab:
        assert {namespace_of(name, "a"), namespace_of(name, "b")} <= set(namespace_names())
        assert interfaces() == before
        assert lab_directory(name).is_dir()
        sleeper = lab.host("a").popen(["sleep", "60"])
    assert sleeper.poll() is not None
    assert leftovers(name) == []
    assert not [each for each in namespace_names() if name in each]
    assert name not in lab_names()
    assert interfaces() == before


def test_a_lab_that_fails_inside_leaves_nothing_behind(name: str) -> None:
    with pytest.raises(ZeroDivisionError), Lab.pair(name=name):
        raise ZeroDivisionError
    assert leftovers(name) == []


def test_a_namespace_of_others_is_in_the_way_and_stays(name: str) -> None:
    in_the_way = namespace_of(name, "b")
    create_namespace(in_the_way)
    try:
        with pytest.raises(HostError, match=rf"{in_the_way} is there but belongs to no lab"):
            Lab.pair(name=name).up()
        assert leftovers(name) == [f"namespace {in_the_way}"]
    finally:
        remove_namespace(in_the_way)


def test_a_lab_that_cannot_be_built_leaves_nothing_behind(name: str) -> None:
    twice = (ip_interface("10.1.0.1/24"), ip_interface("10.1.0.1/24"))
    ends = (Port("a", "eth0", twice), Port("b", "eth0", (ip_interface("10.1.0.2/24"),)))
    topology = Topology("t", (Host("a"), Host("b")), (Link(ends),))
    with pytest.raises(HostError, match=r"cannot add 10\.1\.0\.1/24"):
        Lab(topology, name=name).up()
    with pytest.raises(LocalProtocolError, match="host a has no IPv6 address"):
        Lab.pair(name=name, underlay="v4", family=6).up()
    assert leftovers(name) == []


@pytest.mark.parametrize(("destination", "headers_octets"), [("10.77.0.2", 28), ("fd00:77::2", 48)])
def test_jumbo_packets_cross_the_wire_over_both_families(
    name: str, destination: str, headers_octets: int
) -> None:
    def ping(octets: int) -> int:
        argv = ["ping", "-c", "1", "-W", "30", "-M", "do", "-s", str(octets - headers_octets)]
        return lab.host("a").run([*argv, destination], check=False).returncode

    with Lab.pair(name=name, mtu=9000) as lab:
        assert ping(9000) == 0
        assert ping(9001) != 0


@pytest.mark.parametrize(("underlay", "family"), [("v4", 4), ("v6", 6)])
def test_an_underlay_of_one_family(name: str, underlay: str, family: int) -> None:
    with Lab.pair(name=name, underlay=underlay, family=family) as lab:
        assert {address.version for address in lab.host("b").addresses} == {family}
        configured = lab.host("a").files.config.read_text()
        assert str(lab.host("b").addresses[0]) in configured
        assert str(lab.hit_of("b")) in configured
        assert str(lab.lsi_of("b")) in configured


def test_two_labs_side_by_side_do_not_see_each_other(name: str) -> None:
    with Lab.pair(name=f"{name}x") as one, Lab.pair(name=f"{name}x-a") as other:
        one.host("a").run(["ip", "link", "set", "eth0", "down"])
        assert one.host("a").run(["ping", "-c", "1", "10.77.0.2"], check=False).returncode != 0
        other.host("a").run(["ping", "-c", "1", "10.77.0.2"])
        one.down()
        other.host("a").run(["ping", "-c", "1", "fd00:77::2"])
        assert other.hit_of("a") != other.hit_of("b")


def test_a_name_that_is_taken_is_refused_and_the_first_lab_lives_on(name: str) -> None:
    with Lab.pair(name=name) as lab:
        with pytest.raises(HostError, match=rf"a lab called {name} is already there"):
            Lab.pair(name=name).up()
        lab.host("a").run(["ping", "-c", "1", "10.77.0.2"])


MAKER = """
import sys
from hipgw.lab.network import Lab
lab = Lab.pair(name=sys.argv[1])
lab.up()
print(lab.host("a").popen(["sleep", "60"]).pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def killed_lab(name: str) -> tuple[str, int]:
    """A lab whose maker was killed, and the process it had started in host a."""
    with subprocess.Popen(
        [sys.executable, "-c", MAKER, name],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as maker:
        assert maker.stdout is not None
        started = int(maker.stdout.readline())
        maker.send_signal(signal.SIGKILL)
    return name, started


def test_down_clears_a_lab_whose_maker_was_killed(killed_lab: tuple[str, int]) -> None:
    name, started = killed_lab
    assert [record.pid for record in recorded_processes(process_directory(name))] == [started]
    assert opened_lab(name)[0].is_abandoned
    done = hipgw("lab", "down", name)
    assert (done.returncode, done.stdout) == (0, f"lab {name} is down\n")
    assert leftovers(name) == []
    assert not Path(f"/proc/{started}").exists() or "Z" in Path(f"/proc/{started}/stat").read_text()


def test_abandoned_labs_are_cleared_and_others_are_not(killed_lab: tuple[str, int]) -> None:
    name, _ = killed_lab
    with Lab.pair(name=f"{name}-held"):
        assert clear_abandoned(name) == [name]
        assert leftovers(name) == []
        assert leftovers(f"{name}-held") != []


def test_down_clears_a_lab_whose_making_was_cut_short(name: str) -> None:
    claim_name(name)
    create_namespace(namespace_of(name, "a"))
    assert hipgw("lab", "down", name).returncode == 0
    assert leftovers(name) == []


INTERRUPTED = """
import os, signal, sys
from hipgw.lab.network import Lab
from hipgw.lab.state import lab_names
from hipgw.netlink.namespaces import RUN_DIRECTORY

name, number = sys.argv[1], int(sys.argv[2])
signal.signal(number, signal.default_int_handler)

ended = []

def end_while_claiming(event, arguments):
    if event == "os.listdir" and str(arguments[0]) == str(RUN_DIRECTORY):
        if name in lab_names() and not ended:
            ended.append(number)
            os.kill(os.getpid(), number)

sys.addaudithook(end_while_claiming)
with Lab.pair(name=name):
    print("not interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_interrupted_as_it_begins_it_leaves_nothing(name: str, number: signal.Signals) -> None:
    with Lab.pair(name=f"{name}-held"):  # the directory of namespaces is there
        done = subprocess.run(
            [sys.executable, "-c", INTERRUPTED, name, str(number.value)],
            env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert "KeyboardInterrupt" in done.stderr
    assert done.stdout == ""
    assert leftovers(name) == []


def test_down_does_not_touch_a_lab_with_a_longer_name(name: str) -> None:
    with Lab.pair(name=name), Lab.pair(name=f"{name}-a"):
        take_down(name)
        assert leftovers(name) == []
        assert len(leftovers(f"{name}-a")) == 3


def test_a_process_of_others_is_named_and_not_ended(name: str) -> None:
    lab = Lab.pair(name=name)
    lab.up()
    stranger = run_inside(namespace_of(name, "b"), lambda: subprocess.Popen(["sleep", "60"]))
    with stranger:
        assert lab.down() == {stranger.pid: namespace_of(name, "b")}
        assert stranger.poll() is None
        stranger.kill()
    assert leftovers(name) == []


def test_commands_run_in_their_namespace_with_their_own_socket(name: str) -> None:
    with Lab.pair(name=name) as lab:
        b = lab.host("b")
        assert "10.77.0.2/24" in b.run(["ip", "address"]).stdout
        script = 'echo "$HIPGW_SOCKET"; cat; exit 3'
        done = b.run(["sh", "-c", script], stdin="typed", check=False)
        assert (done.returncode, done.stdout) == (3, f"{b.files.socket}\ntyped")
        with pytest.raises(HostError, match="on host b ended with 1"):
            b.run(["false"])
        with pytest.raises(HostError, match="no command 'no-such-command'"):
            b.run(["no-such-command"])
        with pytest.raises(HostError, match="took more than"):
            b.run(["sleep", "60"], timeout_s=0.1)
        assert recorded_processes(process_directory(name)) == []
        with pytest.raises(HostError, match="has no host 'c'; its hosts are: a, b"):
            lab.host("c")


def test_exec_replaces_the_command_line_by_the_command(name: str) -> None:
    with Lab.pair(name=name) as lab:
        script = 'ip -brief address show eth0; echo "$HIPGW_SOCKET"; exit 7'
        done = hipgw("lab", "exec", name, "a", "--", "sh", "-c", script)
        assert done.returncode == 7
        assert "10.77.0.1/24" in done.stdout
        assert done.stdout.endswith(f"{lab.host('a').files.socket}\n")
        kept = hipgw("lab", "exec", name, "a", "sh", "-c", 'echo "$@"', "sh", "--", "--help")
        assert kept.stdout == "-- --help\n"
        unknown = hipgw("lab", "exec", name, "a", "no-such-command")
        assert (unknown.returncode, "no command 'no-such-command'" in unknown.stderr) == (1, True)


def test_a_capture_holds_every_packet_and_no_noise(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pcap"
    with Lab.pair(name=name) as lab:
        a = lab.host("a")
        with a.capture(file, filters="icmp"):
            a.run(["ping", "-c", "5", "-i", "0.01", "10.77.0.2"])
        assert len(list(read_pcap(file.read_bytes()))) == 10
        with pytest.raises(HostError, match="tcpdump"), a.capture(file, filters="no filter"):
            pytest.fail("captures with a filter that tcpdump refuses")


def test_a_capture_waits_for_a_tcpdump_that_has_not_run(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pcap"
    with Lab.pair(name=name) as lab:
        a = lab.host("a")
        with a.capture(file, filters="icmp"):
            (tcpdump,) = a._started
            tcpdump.send_signal(signal.SIGSTOP)
            a.run(["ping", "-c", "50", "-i", "0.002", "10.77.0.2"])
            later = threading.Timer(0.5, tcpdump.send_signal, (signal.SIGCONT,))
            later.start()
        later.join()
        assert len(list(read_pcap(file.read_bytes()))) == 100


def test_the_command_line_makes_and_lists_and_removes(name: str) -> None:
    made = hipgw("lab", "up", "pair", "--name", name, "--mtu", "9000", "--json")
    assert made.returncode == 0, made.stderr
    document = json.loads(made.stdout)
    assert [host["name"] for host in document["hosts"]] == ["a", "b"]
    assert hipgw("lab", "up", "pair", "--name", name).returncode == 1
    listed = json.loads(hipgw("lab", "list", "--json").stdout)["labs"]
    (entry,) = [lab for lab in listed if lab["name"] == name]
    assert (entry["mtu_octets"], entry["daemons"], entry["is_abandoned"]) == (9000, 0, False)
    assert hipgw("lab", "down", name).returncode == 0
    assert leftovers(name) == []
    again = hipgw("lab", "down", name)
    assert (again.returncode, f"no lab called {name}" in again.stderr) == (1, True)


def test_a_topology_with_a_host_that_does_not_speak_hip(name: str) -> None:
    left = Link((Port("a", "eth0", (ip_interface("10.1.0.1/24"),)), Port("r", "eth0")))
    right = Link((Port("r", "eth1"), Port("b", "eth0", (ip_interface("10.2.0.1/24"),))))
    topology = Topology("t", (Host("a"), Host("r", speaks_hip=False), Host("b")), (left, right))
    with Lab(topology, name=name) as lab:
        assert lab.host("r").interfaces == ("eth0", "eth1")
        assert not lab.host("r").files.config.exists()
        with pytest.raises(HostError, match="does not speak HIP"):
            _ = lab.host("r").hit
        assert lab.host("a").hit != lab.host("b").hit


def test_a_lab_that_another_process_made_can_be_used(name: str) -> None:
    Lab(pair(), name=name, is_owned=False).up()
    state, hosts = opened_lab(name)
    assert not state.is_abandoned
    hosts["a"].run(["ping", "-c", "1", str(hosts["b"].addresses[0])])
    take_down(name)
    until(lambda: LAB_ROOT.exists() == bool(lab_names()), "the last lab takes the root along")
