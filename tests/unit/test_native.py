"""The native library of the engine: its builds, and its checks when it is imported."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import native_library
import pytest
from native_library import cached_library, compile_library

from tasks.engine.formats.native import binding
from tasks.engine.formats.native.binding import library
from tasks.engine.formats.native.sources import sources_digest

ROOT = Path(__file__).parents[2]
CONTRACTS = sorted(path.stem for path in Path(__file__).parent.glob("test_*_contract*.py"))
PROVEN = (
    *("test_csv_records", "test_csv_dialects", "test_json_native", "test_json_paths", "test_unknown_keys"),
    *("test_types", "test_numeric_types", "test_rows", "test_derive_cache", *CONTRACTS),
)
"""Tests that reach every line of it, damaged input and all."""


needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="found no C compiler cc on PATH")

SANITIZERS = (
    *("-O1", "-g", "-Wall", "-Wextra", "-Wconversion", "-Werror"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


@pytest.mark.slow
def test_sanitizers_find_no_error() -> None:
    compiler = shutil.which("gcc")
    if not compiler:
        pytest.skip("no gcc on PATH, whose sanitizers this takes")
    library = cached_library(compiler, *SANITIZERS)
    runtime = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    done = subprocess.run(
        # The sanitizers keep freed memory, so they would fail a test of how much memory is in use.
        [
            *(sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-k", "not memory_of_the_cache"),
            "--hypothesis-profile=sanitizers",
            *(f"tests/unit/{name}.py" for name in PROVEN),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTEST_ADDOPTS": "",  # such as -q, which hides the count of the tests
            "TALLY_NATIVE": str(library),
            "LD_PRELOAD": runtime.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0",  # Python's own memory lives until the end
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


def test_library_is_compiled_again_only_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(binding.FOLDER, sources, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    monkeypatch.setattr(native_library, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(binding, "FOLDER", sources)
    compiled: list[tuple[str, ...]] = []

    def record(target: Path, *flags: str, compiler: str) -> None:
        assert compiler == "cc"
        compiled.append(flags)
        target.write_bytes(b"library")

    monkeypatch.setattr(native_library, "compile_library", record)
    first = cached_library("cc", "-O0")
    assert cached_library("cc", "-O0") == first
    assert cached_library("cc", "-O1") != first
    (sources / "values.h").write_text("/* changed */")
    assert cached_library("cc", "-O0") != first
    assert compiled == [("-O0",), ("-O1",), ("-O0",)]
    assert len([*(tmp_path / "cache").iterdir()]) == 3


def test_missing_library_says_how_to_make_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tasks.engine.formats.rows"],
        env={**os.environ, "TALLY_NATIVE": str(tmp_path / "none.so")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ImportError: expected the native library" in done.stderr
    assert "Compile it: run make install" in done.stderr


def test_hash_of_texts_is_siphash_with_the_key() -> None:
    texts = [bytes(range(size)) for size in range(1, 70)]
    # Python hashes bytes in the same way, with a key of zeros where randomisation is off.
    code = "import sys; print([hash(bytes(range(size))) % 2**64 for size in range(1, 70)], sys.hash_info.algorithm)"
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    zeros = (ctypes.c_uint64 * 2)()
    hashes = [library.text_hash(zeros, text, len(text)) for text in texts]
    assert done.stdout.split("]")[1].strip() == "siphash13"
    assert done.stdout.split("]")[0] == str(hashes)[:-1]
    for key in ((1, 0), (0, 1)):
        assert not {library.text_hash((ctypes.c_uint64 * 2)(*key), text, len(text)) for text in texts} & set(hashes)


@pytest.mark.slow
def test_key_of_the_hash_is_another_one_in_each_process() -> None:
    code = "from tasks.engine.formats.rows import HASH_KEY; print(list(HASH_KEY))"
    keys = {
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(keys) == 3


def import_with(library_path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "import tasks.engine.formats.rows"],
        env={**os.environ, "TALLY_NATIVE": str(library_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


def edited(folder: Path, edits: dict[str, tuple[str, str]]) -> Path:
    """A copy of the sources in which some texts are replaced."""
    shutil.copytree(binding.FOLDER, folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name, (old, new) in edits.items():
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    return folder


@needs_compiler
def test_library_of_other_sources_is_refused(tmp_path: Path) -> None:
    library_path = tmp_path / "native.so"
    sources = edited(tmp_path / "old", {"csv.c": ("ERROR_WIDTH;", "ERROR_WIDTH; /* an older line */")})
    compile_library(library_path, "-O0", sources=sources)
    error = import_with(library_path)
    assert f"ImportError: the native library {library_path} does not match this version" in error
    assert "expected sources" in error
    assert "Compile it again: run make install" in error


@needs_compiler
@pytest.mark.parametrize("has_sources", [True, False], ids=["in a checkout", "in a wheel"])
def test_library_with_another_struct_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_sources: bool
) -> None:
    edits = {"native.h": ("    bool is_missing; /*", "    bool is_missing, is_new; int64_t more; /*")}
    sources, library_path = edited(tmp_path / "other", edits), tmp_path / "native.so"
    compile_library(library_path, "-O0", sources=sources, digest=str(sources_digest(binding.FOLDER)))
    if not has_sources:
        monkeypatch.setattr(binding, "FOLDER", tmp_path)
    mismatch = binding._mismatch(ctypes.CDLL(str(library_path)))
    assert mismatch == "expected InvalidRow of 16 bytes, found 24"


@needs_compiler
def test_library_without_a_version_is_refused(tmp_path: Path) -> None:
    source, library_path = tmp_path / "old.c", tmp_path / "native.so"
    source.write_text("int csv_read(void) { return 0; }")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library_path, source], check=True)  # noqa: S607
    assert "expected a library with native_version and native_size" in import_with(library_path)


def test_library_exports_only_the_functions_of_the_binding() -> None:
    nm = shutil.which("nm")
    if not nm:
        pytest.skip("no nm on PATH, which lists the symbols of a library")
    listed = subprocess.run([nm, "-D", "--defined-only", binding.LIBRARY], capture_output=True, text=True, check=True)
    shown = {line.split()[-1] for line in listed.stdout.splitlines()} - {"_init", "_fini"}
    assert shown == {*binding.FUNCTIONS, "native_version", "native_size"}
