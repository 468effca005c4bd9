"""A case: the work, the contestants that do it, and the state that all of them must leave.

A case in `benchmarks/cases` names its contestants by `python`, `psql`, `peer` or `program`. Variables that `prepare`
and `before` return reach every contestant, as environment variables and in the text of `psql` as `{BENCH_...}`.
"""

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.services import Bench

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-bench"
Variables = Mapping[str, str]
Command = Callable[[Variables], list[str] | None]
"""Returns the words of a command for its variables; None if a program is missing."""


@dataclass(frozen=True)
class Contestant:
    """A way to do the work of a case. Each run is a process of its own.

    Attributes:
        name: The name in reports. The names of Tally's own contestants begin with `tally`.
        does: What it does, in a few words.
        command: The command of the process.
        package: The package whose version reports show.
    """

    name: str
    does: str
    command: Command
    package: str | None = None

    @property
    def is_own(self) -> bool:
        """Whether the contestant is Tally."""
        return self.name.startswith("tally")


def _nothing(_: "Bench", __: Contestant) -> None:
    return None


@dataclass(frozen=True)
class Case:
    """Some work that several contestants do.

    Attributes:
        part: The part of the benchmark, for `make bench PART=...`.
        name: The name of the case, unique in its part.
        title: What the work is, for reports. `{size}` becomes the size.
        sizes: The sizes of the work. Growth is judged over more than one.
        prepare: Creates the input of a size once, in an empty database. May return variables for the contestants.
        contestants: The contestants.
        base: The name of the contestant that ratios refer to.
        before: Restores the state before each run. May return variables for this run. It is not measured.
        outcome: Returns what a run has left, such as a digest of tables. It must be equal for all contestants.
        unit: What a size counts.
        is_scaled: Whether `SCALE=...` changes the sizes.
        is_default: Whether `make bench` without a part runs the case.
        grows: How the time should grow: `linear` with the size, or `divided` by the number of workers.
    """

    part: str
    name: str
    title: str
    sizes: tuple[int, ...]
    prepare: Callable[["Bench", int], Variables | None]
    contestants: tuple[Contestant, ...]
    base: str
    before: Callable[["Bench", Contestant], Variables | None] = _nothing
    outcome: Callable[["Bench", Contestant], object] = _nothing
    unit: str = "rows"
    is_scaled: bool = True
    is_default: bool = True
    grows: str = "linear"

    @property
    def address(self) -> str:
        """The name with the part: `formats/csv`."""
        return f"{self.part}/{self.name}"


def program(*words: str) -> Command:
    """A command that needs nothing else."""
    return lambda _: [*words]


def python(function: Callable[[], None]) -> Command:
    """A function of a case's module. Its imports are inside the function, so that the measurement includes them."""
    return program(sys.executable, "-m", "benchmarks.step", function.__module__, function.__name__)


def psql(text: str | Callable[[Variables], str]) -> Command:
    r"""A script that psql runs in one transaction. A function makes the text just before the first run."""

    def command(variables: Variables) -> list[str] | None:
        written = text if isinstance(text, str) else text(variables)
        written = re.sub(r"\{(BENCH_\w+)\}", lambda found: variables[found[1]], written)
        script = Path(variables["BENCH_FOLDER"]) / f"{hashlib.sha256(written.encode()).hexdigest()[:16]}.sql"
        script.write_text(written)
        words = [variables["WAREHOUSE_DSN"], "--quiet", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-f"]
        return [found, *words, str(script)] if (found := psql_program()) else None

    return command


def peer(name: str) -> Command:
    """A function of `benchmarks.peers`, which `.venv-bench` runs."""
    interpreter = PEERS / "bin" / "python"
    return lambda _: [str(interpreter), "-m", "benchmarks.peers", name] if (PEERS / "installed").exists() else None


def psql_program() -> str | None:
    """Return the path of psql. The local server's program takes precedence over PATH."""
    from deployments.local.postgres_binaries import find_binaries

    return shutil.which("psql", path=f"{find_binaries(None)}{os.pathsep}{os.environ['PATH']}")
