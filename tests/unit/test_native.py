"""The compiled part of the engine: how it is built, and that it touches no memory that is not its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from copied_rows import batch_of, one_column, parsed

from tasks.contracts.types import ColumnType
from tasks.engine.errors import ContractError
from tasks.engine.native import build
from tasks.engine.rows import RowEncoder

ROOT = Path(__file__).parents[2]
PROVEN = ("test_csv_records", "test_types", "test_numeric_types", "test_rows", "test_commerce_contracts")
"""Tests that reach every line of it, damaged input and all."""


def test_it_touches_no_memory_but_its_own_and_does_nothing_undefined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = shutil.which("gcc")
    if not compiler:
        pytest.skip("no gcc on PATH, whose sanitizers this takes")
    library = tmp_path / "native.so"
    monkeypatch.setenv("CC", compiler)
    sanitized = ("-O1", "-g", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    build.build(library, *sanitized)
    runtime = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *(f"tests/unit/{n}.py" for n in PROVEN)],
        cwd=ROOT,
        env={
            **os.environ,
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


def test_compiler_is_the_named_one_or_the_first_that_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "ccache clang")
    assert build.compiler() == ["ccache", "clang"]
    monkeypatch.delenv("CC")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert build.compiler() == ["cc"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: object())
    assert build.compiler()[:4] == [sys.executable, "-m", "ziglang", "cc"]
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"expected a C compiler: .* found none"):
        build.compiler()


def test_failed_build_leaves_the_library_that_stands(tmp_path: Path) -> None:
    library = tmp_path / "native.so"
    library.write_bytes(b"stands")
    with pytest.raises(subprocess.CalledProcessError):
        build.build(library, "--no-such-flag")
    assert (library.read_bytes(), [*tmp_path.iterdir()]) == (b"stands", [library])


def test_missing_library_says_how_to_make_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tasks.engine.rows"],
        env={**os.environ, "TALLY_NATIVE": str(tmp_path / "none.so")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ImportError: expected the compiled part of the engine" in done.stderr
    assert "python -m tasks.engine.native.build" in done.stderr


@pytest.mark.parametrize(
    "postgres", ["money", "texts", "", "numeric", "numeric(38,2)", "numeric(2,3)", "timestamp", "text(3)"]
)
def test_type_that_is_not_known_is_refused(postgres: str) -> None:
    with pytest.raises(ContractError, match=r"column x: .* is no type that rows can be made of"):
        RowEncoder(one_column(ColumnType(postgres, "any")))


def test_function_is_asked_once_about_a_text() -> None:
    asked: list[str] = []

    def shout(text: str) -> str | None:
        asked.append(text)
        return None if text == "no" else text.upper()

    loud = ColumnType("text", "any", shout)
    texts = ["a", "b", None, "a", "no", "", "b", "no", "é" * 3000]
    assert parsed(loud, *texts) == ["A", "B", None, "A", None, "", "B", None, "É" * 3000]
    assert sorted(asked) == sorted({text for text in texts if text is not None})


def test_many_answers_are_kept_apart() -> None:
    numbers = ColumnType("text", "any", lambda text: str(int(text) * 7))
    texts = [str(number % 40_000) for number in range(60_000)]
    assert parsed(numbers, *texts) == [str(int(text) * 7) for text in texts]


@pytest.mark.parametrize(("size", "again"), [(5 << 20, ""), (9 << 20, "abc")])
def test_answers_are_kept_for_the_batches_that_follow_unless_they_take_too_much(size: int, again: str) -> None:
    asked: list[str] = []

    def keep(text: str) -> str:
        asked.append(text[:1])
        return text

    encoder = RowEncoder(one_column(ColumnType("text", "any", keep)))
    for _ in range(2):
        assert encoder.encode(batch_of("x", [letter * size for letter in "abcabc"])).count == 6
    assert "".join(asked) == "abc" + again
