"""What `hipgw doctor` asks of the installation: Python, libraries, configuration, keys."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import hipgw
from hipgw.cli.checks import FAIL, OK, Check
from hipgw.cli.key_facts import key_files, mode_problem
from hipgw.errors import ConfigError, HipgwError

if TYPE_CHECKING:
    from hipgw.daemon.config import Config

PACKAGES: Final = ("click", "cryptography", "numpy", "pyroute2")
LIBCRYPTO: Final = "libcrypto.so.3"
EXTENSION: Final = "hipgw._fastpath.worker"
IMPORT_LIMIT_S: Final = 30


def check_python() -> Check:
    """Python, and the packages that hipgw imports."""
    versions, missing = [], []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    name = "python"
    if missing:
        return Check(
            name, FAIL, f"not installed: {', '.join(missing)}", f"pip install {' '.join(missing)}"
        )
    return Check(name, OK, f"{platform.python_version()}, {', '.join(versions)}")


def check_extension() -> Check:
    """Whether the Cython data plane imports; tried in a process of its own, since it may crash."""
    name = "data plane"
    remedy = "build it: `pip install .` in the source tree"
    home = Path(hipgw.__file__).parents[1]
    try:
        tried = subprocess.run(
            [sys.executable, "-c", f"import {EXTENSION}"],
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=IMPORT_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, FAIL, f"{EXTENSION} could not be tried ({error})", remedy)
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or [f"ended with {tried.returncode}"]
        return Check(name, FAIL, f"{EXTENSION} does not import ({said[-1]})", remedy)
    return Check(name, OK, f"{EXTENSION} imports")


def check_libcrypto() -> Check:
    """The OpenSSL library that seals and opens ESP."""
    name = "libcrypto"
    try:
        library = ctypes.CDLL(LIBCRYPTO)
    except OSError as error:
        return Check(name, FAIL, f"{LIBCRYPTO} does not load ({error})", "apt install libssl3")
    library.OpenSSL_version.restype = ctypes.c_char_p
    library.OpenSSL_version.argtypes = [ctypes.c_int]
    return Check(name, OK, library.OpenSSL_version(0).decode(errors="replace"))


def check_config(path: Path, *, is_default: bool) -> tuple[Check, Config | None]:
    """The configuration: how it is, and its values (None when it cannot be used).

    Args:
        path: the file.
        is_default: whether nobody named it, so that its absence is no fault.
    """
    from hipgw.daemon.config import Config
    from hipgw.daemon.config_file import load_config

    name = "configuration"
    if is_default and not path.exists():
        return Check(name, OK, f"no {path}: the built-in values hold"), Config()
    try:
        config = load_config(path)
    except ConfigError as error:
        text = "; ".join(str(error).splitlines())
        return Check(name, FAIL, text, f"correct it, see hipgw.toml(5): {path}"), None
    except OSError as error:
        return Check(name, FAIL, f"{path}: {error.strerror}", "name another one with -c"), None
    return Check(name, OK, f"{path} is valid"), config


def check_keys(directory: Path) -> Check:
    """Host identities are there, and for their owner's eyes only."""
    name = "host identities"
    try:
        files = key_files(directory)
        problems = [(path, *mode_problem(path)[1:]) for path in files]
    except HipgwError as error:
        what, _, remedy = str(error).partition(": ")
        return Check(name, FAIL, what, remedy)
    except OSError as error:
        return Check(
            name, FAIL, f"{error.filename}: {error.strerror}", "run as root, or mend the link"
        )
    bad = [(path, problem, remedy) for path, problem, remedy in problems if problem]
    if bad:
        return Check(
            name,
            FAIL,
            "; ".join(f"{path}: {problem}" for path, problem, _ in bad),
            "; ".join(remedy for _, _, remedy in bad),
        )
    if not files:
        return Check(name, OK, f"none in {directory}: one is made on the first start")
    return Check(name, OK, f"{len(files)} in {directory}, readable by their owner only")
