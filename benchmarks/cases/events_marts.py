"""The five marts of a month of events: Tally's build, the same queries by psql, and queries that group first."""

import os
from typing import TYPE_CHECKING

from benchmarks.case import ROOT, Case, Contestant, Variables, psql, python
from benchmarks.cases.events_formats import MONTH, write_events

if TYPE_CHECKING:
    from benchmarks.services import Bench

FIRST = f"{MONTH}-01"
MARTS = {"company": "company", "country": "country", "date": "event_date", "tag": "tag", "user": "email"}
"""The column that a mart counts, by the end of its name."""

GROUPED_FIRST = f"""
CREATE TEMP TABLE per_tag AS
SELECT tags, count(*) AS n FROM events_staging.events WHERE month = '{FIRST}' GROUP BY tags;
CREATE TEMP TABLE per_email AS
SELECT email, count(*) AS n FROM events_staging.events WHERE month = '{FIRST}' GROUP BY email;
CREATE TEMP TABLE per_value AS
SELECT company, country, event_date, count(*) AS n FROM events_staging.events WHERE month = '{FIRST}'
GROUP BY GROUPING SETS ((company), (country), (event_date));
INSERT INTO events_marts.event_counts_by_company (month, company, event_count)
SELECT '{FIRST}', company, n FROM per_value WHERE company IS NOT NULL;
INSERT INTO events_marts.event_counts_by_date (month, event_date, event_count)
SELECT '{FIRST}', event_date, n FROM per_value WHERE event_date IS NOT NULL;
INSERT INTO events_marts.event_counts_by_country (month, country, event_count)
SELECT '{FIRST}', coalesce(nullif(country, ''), 'unknown'), sum(n) FROM per_value
WHERE company IS NULL AND event_date IS NULL GROUP BY 2;
INSERT INTO events_marts.event_counts_by_tag (month, tag, event_count)
SELECT '{FIRST}', coalesce(nullif(tag, ''), 'unknown'), sum(n)
FROM per_tag LEFT JOIN LATERAL unnest(tags) AS t (tag) ON true GROUP BY 2;
INSERT INTO events_marts.event_counts_by_user (month, email, event_count)
SELECT '{FIRST}', coalesce(nullif(email, ''), 'unknown'), sum(n)
FROM (SELECT btrim(lower(email), {{blanks}}) AS email, n FROM per_email) AS q GROUP BY 2;
"""


def tally() -> None:
    """Build the marts of the month."""
    from benchmarks.step import engine
    from tasks.contracts.events import EVENTS
    from tasks.contracts.keys import partition_value
    from tasks.engine.build.builder import build_tables

    with engine() as (connection, _):
        build_tables(connection, "events_marts", {"month": partition_value(MONTH)}, partition=MONTH, contracts=[EVENTS])


def load() -> None:
    """Load the object that the marts are built from."""
    from benchmarks.step import load as load_objects
    from tasks.contracts.events import EVENTS

    load_objects(EVENTS, [os.environ["BENCH_KEY"]], [MONTH])


def same_queries(_: Variables) -> str:
    """The queries of the marts as INSERTs, without checks and ledger."""
    texts = []
    for name, column in MARTS.items():
        query = (ROOT / f"sql/events_marts/event_counts_by_{name}/query.sql").read_text().rstrip().removesuffix(";")
        query = query.replace("%(month)s", f"'{FIRST}'::date")
        texts.append(f"INSERT INTO events_marts.event_counts_by_{name} (month, {column}, event_count)\n{query};")
    return "\n".join(texts)


def grouped_first(_: Variables) -> str:
    """Parallel scans that group the raw values first, and normalise the groups."""
    characters = "".join(map(chr, [*b" \t\n\r\f\x0b", 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)]))
    characters += "\u2028\u2029\u202f\u205f\u3000"
    return GROUPED_FIRST.replace("{blanks}", "'" + characters + "'")


def _prepare(bench: "Bench", rows: int) -> None:
    from tasks.contracts.events import EVENTS

    folder = bench.folder / f"events-{rows}"
    folder.mkdir(exist_ok=True)
    bench.put(write_events(folder / "events.csv", rows), "bench/marts.csv")
    bench.create_tables([EVENTS], ["events_marts"])
    bench.run_step(load, {"BENCH_KEY": "bench/marts.csv"})


def _before(bench: "Bench", _: Contestant) -> None:
    bench.execute(*(f"TRUNCATE events_marts.event_counts_by_{name}" for name in MARTS))
    bench.execute("DELETE FROM ledger.builds")


CASES = (
    Case(
        "builds",
        "marts",
        "five marts of {size} events",
        (3_000_000,),
        _prepare,
        (
            Contestant("tally", "writes and checks the five tables, writes the ledger", python(tally)),
            Contestant("same queries", "psql inserts the rows of the same queries, without checks", psql(same_queries)),
            Contestant(
                "grouped first",
                "psql groups raw values into temporary tables in parallel, then normalises them, without checks",
                psql(grouped_first),
            ),
        ),
        "grouped first",
        _before,
        lambda bench, _: [bench.digest(f"events_marts.event_counts_by_{name}") for name in MARTS],
    ),
)
