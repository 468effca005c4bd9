"""Run the contestants of a case in turns, and check that all of them leave the same state."""

import statistics
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Contestant
from benchmarks.processes import Measured, run
from benchmarks.services import Bench


@dataclass(frozen=True)
class Result:
    """What the runs of a contestant at one size took. All figures but the peak are medians.

    Attributes:
        name: The name of the contestant.
        does: Its description.
        size: The size of the work.
        seconds: The time from the start to the end of its process.
        cpu_seconds: The CPU time of its process.
        server_cpu_seconds: The CPU time of Postgres meanwhile.
        peak_mb: The highest peak memory of its process.
        busy: The share of the machine's cores that was busy, whoever used them.
        rounds: The time of each round.
        version: The version of its package.
        s3_cpu_seconds: The CPU time of the local S3 server meanwhile; None in older results.
    """

    name: str
    does: str
    size: int
    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    peak_mb: float
    busy: float
    rounds: tuple[float, ...]
    version: str | None = None
    s3_cpu_seconds: float | None = None

    @property
    def all_cpu_seconds(self) -> float:
        """The CPU time of the process and of Postgres."""
        return self.cpu_seconds + self.server_cpu_seconds

    @property
    def is_own(self) -> bool:
        """Whether the contestant is Tally."""
        return self.name.startswith("tally")


@dataclass(frozen=True)
class Outcome:
    """The results of a case. `missing` names the contestants that were left out, with the reason."""

    address: str
    title: str
    unit: str
    grows: str
    base: str
    results: tuple[Result, ...]
    missing: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return everything as a dictionary for JSON."""
        return asdict(self)

    @property
    def sizes(self) -> list[int]:
        """The sizes in the order of the runs."""
        return [*dict.fromkeys(result.size for result in self.results)]

    def find(self, name: str, size: int) -> Result | None:
        """Return the result of a contestant at a size."""
        return next((result for result in self.results if (result.name, result.size) == (name, size)), None)

    def ratio(self, result: Result) -> float | None:
        """Return the time of a result divided by the time of the base, or None without the base."""
        base = self.find(self.base, result.size)
        return result.seconds / base.seconds if base else None


def outcome_of(facts: Mapping[str, Any]) -> Outcome:
    """Return an outcome from its facts."""
    results = tuple(Result(**{**one, "rounds": tuple(one["rounds"])}) for one in facts["results"])
    return Outcome(**{**facts, "results": results, "missing": tuple(facts["missing"])})


def run_case(bench: Bench, case: Case, rounds: int) -> Outcome:
    """Run a case, size by size and round by round.

    Raises:
        SystemExit: A contestant failed, or its state differs from the state of the first contestant. If another tool
            fails, the benchmark leaves that tool out and names it.
    """
    results: list[Result] = []
    missing: dict[str, str] = {}
    for wanted in dict.fromkeys(bench.scaled(size) if case.is_scaled else size for size in case.sizes):
        bench.empty()
        with ExitStack() as bench.ends:
            print(f"{case.address}: preparing {wanted:,} {case.unit}", file=sys.stderr, flush=True)
            bench.variables = case.prepare(bench, wanted) or {}
            variables = {**bench.environment, **bench.variables}
            commands = {one: one.command(variables) for one in case.contestants}
            absent = {
                one.name: "not installed; `make bench-peers` installs it" for one in commands if not commands[one]
            }
            missing |= absent
            ready = {one: command for one, command in commands.items() if command}
            measured = _measure(bench, case, ready, variables, rounds, missing)
        results += [_result(one, wanted, taken, ready[one]) for one, taken in measured.items()]
    named = tuple(f"left out: {name}: {reason}" for name, reason in missing.items())
    title = case.title if bench.scale == 1 else f"{case.title}, at scale {bench.scale:g}"
    return Outcome(case.address, title, case.unit, case.grows, case.base, tuple(results), named)


def _measure(
    bench: Bench,
    case: Case,
    commands: Mapping[Contestant, list[str]],
    variables: Mapping[str, str],
    rounds: int,
    failed: dict[str, str],
) -> dict[Contestant, list[Measured]]:
    measured: dict[Contestant, list[Measured]] = {one: [] for one in commands}
    expected: list[tuple[str, object]] = []
    for number in range(rounds):
        # Each round starts with another contestant, so that no contestant always follows the same one.
        ranked = [one for one in commands if one.name not in failed]
        shift = number % max(len(ranked), 1)
        for one in ranked[shift:] + ranked[:shift]:
            try:
                taken = _run(bench, case, one, commands[one], variables, expected)
            except SystemExit as error:
                if one.is_own or one.package is None:
                    raise
                failed[one.name] = f"failed: {str(error).splitlines()[0]}"
                continue
            measured[one].append(taken)
            said = f"{case.address} round {number + 1}: {one.name:18} {taken.seconds:7.2f} s"
            print(said, file=sys.stderr, flush=True)
    return {one: taken for one, taken in measured.items() if one.name not in failed}


def _run(
    bench: Bench,
    case: Case,
    one: Contestant,
    command: list[str],
    variables: Mapping[str, str],
    expected: list[tuple[str, object]],
) -> Measured:
    """Run a contestant once, and compare what it left with what the first one left."""
    own = case.before(bench, one) or {}
    bench.settle()
    taken = run(command, {**variables, **own}, bench.server_cpu, bench.s3_cpu)
    if flow_run := own.get("PREFECT__FLOW_RUN_ID"):
        bench.check_flow_run(flow_run)
    found = case.outcome(bench, one)
    expected[:] = expected or [(one.name, found)]
    first, wanted = expected[0]
    if wanted != found:
        raise SystemExit(f"{case.address}: expected {one.name} to leave what {first} left, {wanted}, found {found}")
    return taken


def _result(one: Contestant, size: int, taken: list[Measured], command: list[str]) -> Result:
    def median(name: str) -> float:
        return round(statistics.median(getattr(each, name) for each in taken), 3)

    return Result(
        one.name,
        one.does,
        size,
        median("seconds"),
        median("cpu_seconds"),
        median("server_cpu_seconds"),
        round(max(each.peak_mb for each in taken), 1),
        median("busy"),
        tuple(round(each.seconds, 3) for each in taken),
        _version(one, command),
        median("s3_cpu_seconds"),
    )


def _version(one: Contestant, command: list[str]) -> str | None:
    """The version of a contestant's package, in the environment of the Python that its command starts."""
    if not one.package:
        return None
    interpreter = Path(command[0]).parent / "python"
    code = f"import importlib.metadata as m; print(m.version('{one.package}'))"
    done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
