"""`make bench`: from a generated file to committed rows, Tally against its peers, interleaved rounds, whole processes.

Every contestant is a process of its own, timed from its start to its end, with the operating system's account of its
peak memory. Rounds are interleaved, so that a machine that slows down slows all of them; medians are quoted. The rows
that each left are counted after every run.
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
    """Run all contestants, round by round.

    Raises:
        SystemExit: One failed, or left another number of rows than the file has.
    """
    dsn = data.environment["WAREHOUSE_DSN"]
    measured: list[list[Measured]] = [[] for _ in contestants]
    for number in range(rounds):
        # Each round begins with another one: nobody always comes behind the same.
        ranked = [*enumerate(contestants.items())]
        for place, (contestant, command) in ranked[number % len(ranked) :] + ranked[: number % len(ranked)]:
            prepare(dsn)
            given = few if contestant.is_slow else data
            taken = run(command, given.environment)
            if (found := count_rows(dsn, contestant.table)) != given.rows:
                raise SystemExit(f"{contestant.name} left {found:,} rows of {given.rows:,}: nothing to compare")
            measured[place].append(taken)
            print(f"round {number + 1}: {contestant.name:18} {taken.seconds:6.2f} s", file=sys.stderr, flush=True)
    return measured


def bench(rows: int, rounds: int, *, with_peers: bool, folder: Path | None) -> None:
    """Measure, print, and keep the figures in a folder if there is one.

    Raises:
        SystemExit: The peers are wanted and not installed, or nothing could be compared.
    """
    if with_peers and not PEERS_PYTHON.exists():
        raise SystemExit(
            f"expected the peers in {PEERS_PYTHON.parents[1]}, found nothing: make bench-peers installs them"
        )
    with prepared(rows) as (data, few):
        dsn = data.environment["WAREHOUSE_DSN"]
        given = {one: few if one.is_slow else data for one in ([*OWN, *PEERS] if with_peers else OWN)}
        commands = {one: command_of(one, its.environment["BENCH_FILE"], dsn) for one, its in given.items()}
        missing = [one.name for one, command in commands.items() if command is None]
        contestants = {one: command for one, command in commands.items() if command}
        measured = measure(contestants, data, few, rounds)
        with psycopg.connect(dsn) as connection:
            facts = machine(connection)
    results = [
        result_of(one.name, f"{one.does}; reads {one.reads}", given[one].rows, taken, version_of(one))
        for one, taken in zip(contestants, measured, strict=True)
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
    parser.add_argument("--rows", type=int, default=3_000_000, help="rows of the file (default 3,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--peers", action="store_true", help="with the peers that `make bench-peers` has installed")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write bench.json and bench.svg there")
    options = parser.parse_args(arguments)
    bench(options.rows, options.rounds, with_peers=options.peers, folder=options.keep)


if __name__ == "__main__":
    main()
