"""The native library of the engine, for the build backend. pyproject.toml contains everything else."""

import runpy
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("tasks/engine/formats/native")
DIGEST = runpy.run_path(str(NATIVE / "sources.py"))["sources_digest"](NATIVE)

setup(
    ext_modules=[
        Extension(
            "tasks.engine.formats.native.library",
            sources=sorted(str(path) for path in NATIVE.glob("*.c")),
            depends=sorted(str(path) for path in NATIVE.glob("*.h")),
            define_macros=[("NATIVE_VERSION", f'"{DIGEST}"')],
            extra_compile_args=["-std=c11", "-O3", "-g0", "-Wall", "-Wextra", "-Wconversion", "-fvisibility=hidden"],
            py_limited_api=True,  # the library calls nothing of Python, so one wheel serves all versions
        )
    ]
)
