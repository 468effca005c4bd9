"""Every case of `make bench` runs at a tiny size, and all contestants of a case leave the same state."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from prefect.flow_engine import load_flow_and_flow_run, run_flow

from benchmarks import measure, processes
from benchmarks.__main__ import all_cases, chosen_cases
from benchmarks.case import ROOT, Case, Contestant, program, psql
from benchmarks.flow_runs import ENGINE
from benchmarks.measure import run_case
from benchmarks.processes import Measured
from benchmarks.report import keep, machine, table
from benchmarks.services import Bench, bench_of
from deployments.local.embedded import Services

SCALE = 0.0005
DEPLOYED = "workers"
"""The case that deploys the flows and starts workers, which takes a minute."""

CASES = {case.address: case for case in all_cases()}


@pytest.fixture
def bench(services: Services, bucket: str, reachable_tmp_path: Path) -> Iterator[Bench]:
    if services.postgres is None or services.s3 is None:
        pytest.skip("a benchmark measures local services")
    with ExitStack() as stack:
        made = bench_of(services, reachable_tmp_path, SCALE, stack)
        made.environment["LAKE_BUCKET"] = bucket
        stack.callback(made.remove)
        yield made


def in_this_process(
    command: Sequence[str],
    environment: Mapping[str, str],
    server_cpu: Callable[[], float] = lambda: 0.0,
    s3_cpu: Callable[[], float] = lambda: 0.0,
) -> Measured:
    """Run steps and flows of a contestant in this process, in a tenth of the time of a separate process."""
    program, option, *rest = [*command, ""]
    is_step = option == "-m" and rest[:1] == ["benchmarks.step"]
    is_deployed = option == "-m" and rest[:1] == ["prefect.engine"]
    if program != sys.executable or not (is_step or is_deployed or option == "-c"):
        return processes.run(command, environment, server_cpu, s3_cpu)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            if not name.startswith("PREFECT") and os.environ.get(name) != value:
                patch.setenv(name, value)
        if is_deployed:
            run, flow = load_flow_and_flow_run(UUID(environment["PREFECT__FLOW_RUN_ID"]))
            run_flow(flow, flow_run=run, return_type="state")  # the process of a failed run ends with status 0, too
        elif is_step:
            getattr(importlib.import_module(rest[1]), rest[2])()
        else:
            exec(rest[0], {})  # noqa: S102 - a program of a case
    return Measured(1.0, 50.0, 0.5, 0.25, 1.0, 0.1)


def small(case: Case) -> Case:
    """The case with its first size, Tally's first contestant, and the alternatives that the project itself contains."""
    own = [one for one in case.contestants if one.is_own][:1]
    others = [one for one in case.contestants if not one.is_own and one.package in {None, "prefect"}]
    return replace(case, sizes=case.sizes[:1], contestants=(*own, *others))


@pytest.mark.parametrize("address", [address for address in CASES if not address.endswith(DEPLOYED)])
def test_case_runs_at_a_tiny_size(
    bench: Bench, deployments_server: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.environment["PREFECT_API_URL"] = deployments_server
    monkeypatch.setattr(measure, "run", in_this_process)
    monkeypatch.setattr("benchmarks.services.run", in_this_process)
    case = small(CASES[address])
    outcome = run_case(bench, case, rounds=1)
    assert outcome.missing == ()
    assert [result.name for result in outcome.results] == [one.name for one in case.contestants]
    assert address in "\n".join(table(outcome))


def test_case_of_the_guide_runs(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text().partition("## Measure")[2]
    (tmp_path / "numbers_case.py").write_text(guide.partition("```python\n")[2].partition("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(measure, "run", in_this_process)
    (case,) = importlib.import_module("numbers_case").CASES
    assert [result.name for result in run_case(bench, case, rounds=1).results] == ["tally", "psql"]


def of_programs(*contestants: Contestant, outcome: Callable[[Bench, Contestant], object]) -> Case:
    return Case("part", "case", "work of {size}", (10,), lambda *_: {}, contestants, "psql", outcome=outcome)


SLEEPER = Contestant("tally", "ends at once", program(sys.executable, "-c", "pass"))
BROKEN = Contestant("tool", "fails", program(sys.executable, "-c", "raise SystemExit(3)"), "pip")


def test_contestants_are_measured_with_the_cpu_of_postgres(bench: Bench, tmp_path: Path) -> None:
    counting = Contestant("psql", "counts", psql("SELECT count(*) FROM generate_series(1, 2000000);\n"))
    outcome = run_case(bench, of_programs(SLEEPER, counting, outcome=lambda *_: 1), rounds=2)
    own, counted = outcome.results
    assert counted.server_cpu_seconds > own.server_cpu_seconds
    assert own.cpu_seconds > 0
    assert len(own.rounds) == 2
    assert outcome.ratio(counted) == 1
    keep(tmp_path, outcome, machine(bench.environment["WAREHOUSE_DSN"]), 2)
    assert "| psql |" in (tmp_path / "bench.md").read_text()
    assert "<svg" in (tmp_path / "bench-part.svg").read_text()


def test_contestants_are_measured_with_the_cpu_of_s3(bench: Bench) -> None:
    put = "put_object(Bucket=os.environ['LAKE_BUCKET'], Key='x', Body=b'x' * 30_000_000)"
    upload = f"import boto3, os; boto3.client('s3').{put}"
    sender = Contestant("psql", "sends an object", program(sys.executable, "-c", upload))
    own, sent = run_case(bench, of_programs(SLEEPER, sender, outcome=lambda *_: 1), rounds=1).results
    assert own.s3_cpu_seconds is not None
    assert sent.s3_cpu_seconds is not None
    assert sent.s3_cpu_seconds > own.s3_cpu_seconds


def test_contestants_must_leave_the_same_state(bench: Bench) -> None:
    other = Contestant("psql", "does nothing", psql("SELECT 1;\n"))
    with pytest.raises(SystemExit, match="expected psql to leave what tally left, tally, found psql"):
        run_case(bench, of_programs(SLEEPER, other, outcome=lambda _, one: one.name), rounds=1)


def test_a_tool_that_fails_or_is_not_installed_is_left_out_by_name(bench: Bench) -> None:
    absent = Contestant("absent", "is not installed", lambda _: None, "pip")
    outcome = run_case(bench, of_programs(SLEEPER, BROKEN, absent, outcome=lambda *_: 1), rounds=2)
    assert [result.name for result in outcome.results] == ["tally"]
    assert [line.split(":")[1].strip() for line in outcome.missing] == ["absent", "tool"]


def test_a_failure_of_tally_ends_the_benchmark(bench: Bench) -> None:
    broken = replace(BROKEN, name="tally", package="tally")
    with pytest.raises(SystemExit, match="ended with status 3"):
        run_case(bench, of_programs(broken, outcome=lambda *_: 1), rounds=1)


def test_a_deployed_run_that_fails_ends_the_benchmark(
    bench: Bench, deployments_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.environment["PREFECT_API_URL"] = deployments_server
    monkeypatch.setattr(measure, "run", in_this_process)
    case = replace(
        of_programs(replace(SLEEPER, command=ENGINE), outcome=lambda *_: 1),
        before=lambda bench, _: {"PREFECT__FLOW_RUN_ID": bench.flow_run("flows.plan.plan", {"dataset": "unknown"})},
    )
    with pytest.raises(SystemExit, match=r"expected flow run .* to complete, found Failed: .*unknown"):
        run_case(bench, case, rounds=1)


def test_unknown_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"expected a part of .*imports.*, found 'x'"):
        chosen_cases(["x"])
