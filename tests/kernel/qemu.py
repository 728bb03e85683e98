"""Debian's cloud kernel in QEMU, emulated in software; the root comes over virtiofs.

KVM is never asked for: /dev/kvm may open and still not run a kernel that was not made for it.  The
kernel package is unpacked, not installed.  It needs no initramfs, because virtiofs is built in.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.kernel.guest import INIT, TREE, Machine

META_PACKAGE: Final = "linux-image-6.12-cloud-amd64"
KERNEL: Final = TREE / "build/kernel/linux"
MEMORY: Final = "1536M"
VIRTIOFSD: Final = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
SOCKET_PATIENCE_S: Final = 15.0
SETUP_SECTORS: Final = 0x1F1
PAYLOAD: Final = 0x248
ZSTD: Final = b"\x28\xb5\x2f\xfd"
XZ: Final = b"\xfd7zXZ\0"


def unpacked_kernel() -> tuple[Path, Path]:
    """Kernel and its modules; fetched from Debian the first time.

    Raises:
        FileNotFoundError: no such package.
    """
    kernel = KERNEL / "vmlinux"
    if not kernel.exists():
        shutil.rmtree(KERNEL, ignore_errors=True)
        KERNEL.mkdir(parents=True)
        asked = subprocess.run(
            ["apt-cache", "depends", META_PACKAGE], check=False, capture_output=True, text=True
        )
        names = [
            line.split()[-1] for line in asked.stdout.splitlines() if "Depends: linux-image" in line
        ]
        if not names:
            raise FileNotFoundError(f"Debian here has no {META_PACKAGE}")
        subprocess.run(
            ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", names[0]],
            check=True, cwd=KERNEL,
        )  # fmt: skip
        [package] = KERNEL.glob("*.deb")
        subprocess.run(["dpkg", "-x", package, KERNEL / "tree"], check=True)
        package.unlink()
        [image] = (KERNEL / "tree/boot").glob("vmlinuz-*")
        release = image.name.removeprefix("vmlinuz-")
        subprocess.run(["depmod", "-b", KERNEL / "tree", release], check=True)
        kernel.write_bytes(vmlinux(image.read_bytes()))
    [modules] = (KERNEL / "tree/lib/modules").iterdir()
    return kernel, modules


def vmlinux(image: bytes) -> bytes:
    """The kernel inside a bzImage, which saves the emulator the decompression."""
    start = (image[SETUP_SECTORS] + 1) * 512
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    payload = image[start + offset : start + offset + length]
    if payload.startswith(XZ):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(ZSTD):  # four octets of size follow the stream
        done = subprocess.run(["zstd", "-dc"], input=payload[:-4], check=True, capture_output=True)
        return done.stdout
    raise FileNotFoundError(f"a kernel that is compressed otherwise: {payload[:6].hex()}")


@contextlib.contextmanager
def file_server(socket: Path, directory: Path) -> Iterator[None]:
    """A virtiofsd for one directory."""
    program = shutil.which("virtiofsd") or next(filter(os.path.exists, VIRTIOFSD), None)
    if program is None:
        raise FileNotFoundError("virtiofsd is missing: apt install qemu-system-common")
    options = f"source={directory}", "sandbox=chroot", "cache=auto", "no_xattr"
    words = [program, f"--socket-path={socket}"]
    for option in options:
        words += ["-o", option]
    with socket.with_suffix(".log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + SOCKET_PATIENCE_S
            while not socket.exists():
                if server.poll() is not None or time.monotonic() >= deadline:
                    said = socket.with_suffix(".log").read_text()
                    raise FileNotFoundError(f"virtiofsd does not serve {directory}: {said}")
                time.sleep(0.1)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait()


@contextlib.contextmanager
def qemu_machine(job: Path) -> Iterator[Machine]:
    """The command that boots it, and the two file servers that it needs.

    Raises:
        FileNotFoundError: something is not installed.
    """
    program = shutil.which("qemu-system-x86_64")
    if program is None:
        raise FileNotFoundError("QEMU is missing: apt install qemu-system-x86 qemu-system-common")
    kernel, modules = unpacked_kernel()
    line = (
        "console=ttyS0 quiet panic=-1 mitigations=off root=hostfs rootfstype=virtiofs ro "
        f"init={INIT} hipgw.job={job} hipgw.modules={modules}"
    )
    with contextlib.ExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hipgw-", dir="/run")))
        for name, directory in (("root", Path("/")), ("job", job)):
            stack.enter_context(file_server(own / f"{name}.sock", directory))
        words = [program, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]
        words += ["-smp", "2", "-m", MEMORY, "-nodefaults", "-nographic", "-no-reboot"]
        words += ["-serial", "stdio", "-numa", "node,memdev=memory", "-object"]
        words += [f"memory-backend-memfd,id=memory,size={MEMORY},share=on"]
        for name, tag in (("root", "hostfs"), ("job", "jobfs")):
            words += ["-chardev", f"socket,id={name},path={own / name}.sock"]
            words += ["-device", f"vhost-user-fs-pci,chardev={name},tag={tag}"]
        words += ["-kernel", str(kernel), "-append", line]
        yield Machine("qemu", tuple(words), {})
