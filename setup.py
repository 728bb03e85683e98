"""Builds the Cython extensions of `hipgw._fastpath`; everything else stands in pyproject.toml.

Environment:
    HIPGW_ASAN=1   build with AddressSanitizer and UndefinedBehaviorSanitizer (`make asan`)
    HIPGW_TRACE=1  build with line tracing, for coverage of nogil code
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ASAN = os.environ.get("HIPGW_ASAN") == "1"
TRACE = os.environ.get("HIPGW_TRACE") == "1"

COMPILE_ARGS = ["-O3", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function"]
LINK_ARGS = ["-ldl", "-lpthread"]
if ASAN:
    COMPILE_ARGS = [
        "-O1",
        "-g",
        "-fno-omit-frame-pointer",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=undefined",
    ]
    LINK_ARGS += ["-fsanitize=address,undefined"]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "embedsignature": True,
    "linetrace": TRACE,
}

extensions = [
    Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        extra_compile_args=COMPILE_ARGS,
        extra_link_args=LINK_ARGS,
        define_macros=[("_GNU_SOURCE", "1")] + ([("CYTHON_TRACE_NOGIL", "1")] if TRACE else []),
    )
    for source in sorted(Path("hipgw/_fastpath").glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions, compiler_directives=DIRECTIVES, annotate=TRACE, force=ASAN or TRACE
    )
)
