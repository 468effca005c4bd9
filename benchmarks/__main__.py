"""`make bench`: run all cases, or those of a part, and compare the results with the kept ones."""

import argparse
import importlib
import pkgutil
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import cases
from benchmarks.case import PEERS, Case
from benchmarks.comparison import TOLERANCE, compared, growth
from benchmarks.measure import Outcome, run_case
from benchmarks.report import HARDWARE, described, keep, machine, read_kept, table
from benchmarks.services import running_bench

KEPT = Path(__file__).resolve().parents[1] / "docs"


def all_cases() -> list[Case]:
    """Return the cases of all modules, ordered by part."""
    modules = [
        importlib.import_module(f"{cases.__name__}.{found.name}") for found in pkgutil.iter_modules(cases.__path__)
    ]
    return sorted((case for module in modules for case in module.CASES), key=lambda case: case.part)


def chosen_cases(parts: Sequence[str]) -> list[Case]:
    """Return the cases of some parts, such as `formats`, or single ones, such as `formats/csv`; by default most cases.

    Raises:
        SystemExit: No case belongs to a part.
    """
    known = all_cases()
    if not parts:
        return [case for case in known if case.is_default]
    for part in parts:
        if not any(part in (case.part, case.address) for case in known):
            names = ", ".join(sorted({case.part for case in known}))
            raise SystemExit(f"expected a part of {names}, or a case such as {known[0].address}, found {part!r}")
    return [case for case in known if {case.part, case.address} & set(parts)]


def bench(chosen: Sequence[Case], rounds: int, scale: float, *, folder: Path | None, tolerance: float) -> list[Outcome]:
    """Run cases, print the results, and write each to the folder if there is one."""
    started, outcomes, kept = time.monotonic(), list[Outcome](), read_kept(KEPT)
    with running_bench(scale) as running:
        facts = machine(running.services.environment["WAREHOUSE_DSN"])
        print(f"{described(facts)}; {rounds} rounds")
        if not (PEERS / "installed").exists():
            print("The other tools are not installed, so their contestants are left out: run `make bench-peers`")
        for case in chosen:
            outcomes.append(run_case(running, case, rounds))
            print("\n".join(table(outcomes[-1])), flush=True)
            if folder:
                keep(folder, outcomes[-1], facts, rounds)
    print(f"\n{len(outcomes)} cases in {time.monotonic() - started:,.0f} s\n")
    print("\n".join(line for outcome in outcomes for line in growth(outcome)))
    print(f"\ncompared with the kept figures, if they changed by more than {tolerance:.0%}:")
    for outcome in outcomes:
        part = kept.get(outcome.address.partition("/")[0], {"cases": {}, "machine": {}})
        is_same = all(part["machine"].get(name) == facts[name] for name in HARDWARE)
        lines = compared(outcome, part["cases"], is_same_machine=is_same, tolerance=tolerance)
        print("\n".join(lines) or f"{outcome.address}: the same")
    return outcomes


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", help="parts or cases, such as formats or formats/csv (default: most)")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all sizes (default 1)")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help=f"see the comparison (default {TOLERANCE})")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the results to this folder, such as docs")
    options = parser.parse_args(arguments)
    chosen = chosen_cases(options.parts)
    if options.list:
        print("\n".join(f"{case.address:24} {case.title}" for case in chosen))
        return
    bench(chosen, options.rounds, options.scale, folder=options.keep, tolerance=options.tolerance)


if __name__ == "__main__":
    main()
