"""`make bench`: compare the speed of a load by Tally with other tools.

Each tool runs as a separate process. The benchmark measures the time from the start to the end of the process, and its
peak memory. The tools take turns in each round, so that a slow phase of the machine affects all of them. The reports
show medians. After every run, the benchmark counts the loaded rows.
"""

import argparse
import sys
from pathlib import Path

import psycopg

from benchmarks.contestants import OWN, PEERS, PEERS_PYTHON, Contestant, command_of, version_of
from benchmarks.processes import Measured, run
from benchmarks.report import described, draw, facts_of, keep, machine, result_of, table
from benchmarks.services import Data, count_rows, prepare, prepared


def measure(contestants: dict[Contestant, list[str]], data: Data, few: Data, rounds: int) -> list[list[Measured]]:
    """Run all tools, round by round.

    Raises:
        SystemExit: A tool failed or loaded a wrong number of rows.
    """
    dsn = data.environment["WAREHOUSE_DSN"]
    measured: list[list[Measured]] = [[] for _ in contestants]
    for number in range(rounds):
        # Each round starts with another tool, so that no tool always follows the same one.
        ranked = [*enumerate(contestants.items())]
        for place, (contestant, command) in ranked[number % len(ranked) :] + ranked[: number % len(ranked)]:
            prepare(dsn)
            chosen = few if contestant.is_slow else data
            taken = run(command, chosen.environment)
            if (found := count_rows(dsn, contestant.table)) != chosen.rows:
                raise SystemExit(f"expected {contestant.name} to load {chosen.rows:,} rows, found {found:,}")
            measured[place].append(taken)
            print(f"round {number + 1}: {contestant.name:18} {taken.seconds:6.2f} s", file=sys.stderr, flush=True)
    return measured


def bench(rows: int, rounds: int, *, with_peers: bool, folder: Path | None) -> None:
    """Measure, print the results, and write them to the folder if there is one.

    Raises:
        SystemExit: The peers are not installed, or a tool failed.
    """
    if with_peers and not PEERS_PYTHON.exists():
        raise SystemExit(f"expected the peers in {PEERS_PYTHON.parents[1]}, found none: run make bench-peers")
    with prepared(rows) as (data, few):
        dsn = data.environment["WAREHOUSE_DSN"]
        files = {tool: few if tool.is_slow else data for tool in ([*OWN, *PEERS] if with_peers else OWN)}
        commands = {tool: command_of(tool, file.environment["BENCH_FILE"], dsn) for tool, file in files.items()}
        missing = [tool.name for tool, command in commands.items() if command is None]
        contestants = {tool: command for tool, command in commands.items() if command}
        measured = measure(contestants, data, few, rounds)
        with psycopg.connect(dsn) as connection:
            facts = machine(connection)
    results = [
        result_of(tool.name, f"{tool.does}; reads {tool.reads}", files[tool].rows, taken, version_of(tool))
        for tool, taken in zip(contestants, measured, strict=True)
    ]
    base = next((result for result in results if result.name == "psql"), results[0])
    print(f"\n{rows:,} events, {data.size_bytes / 1e6:,.0f} MB, {rounds} rounds; {described(facts)}\n")
    print(table(results, base))
    if missing:
        print(f"\nnot installed: {', '.join(missing)}")
    if folder:
        outcome = {"results": facts_of(results, base), "missing": missing}
        keep(folder, "load", {"rows": rows, "bytes": data.size_bytes, "rounds": rounds, "machine": facts, **outcome})
        draw(folder, results, base)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows in the file (default 3,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default 5)")
    parser.add_argument("--peers", action="store_true", help="include the peers that `make bench-peers` has installed")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write the results to bench.json and bench.svg in this folder"
    )
    options = parser.parse_args(arguments)
    bench(options.rows, options.rounds, with_peers=options.peers, folder=options.keep)


if __name__ == "__main__":
    main()
