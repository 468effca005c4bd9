"""Which partitions a changed input makes due: a pipeline of facts, a secondary dataset with months, and a dimension."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sample_dataset import THINGS, connection, load, put, ref

from tasks.backfill import deliveries_in
from tasks.contracts import Column, Contract, Partition
from tasks.contracts.keys import partition_value
from tasks.contracts.settings import Setting
from tasks.contracts.types import INTEGER, TEXT
from tasks.engine.backfill.finished_partitions import write_finished
from tasks.engine.backfill.planner import BackfillPlan, plan_backfill
from tasks.engine.backfill.staleness import PipelineInputs, read_current
from tasks.engine.build import sql_files
from tasks.engine.build.build_inputs import Build
from tasks.engine.build.builder import build_tables
from tasks.engine.errors import ContractError
from tasks.engine.lake.deliveries import Delivery
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("bucket", "database")]

FACTS = Contract(
    dataset="facts",
    table="raw.facts",
    description="One row per fact.",
    columns=(Column("country", TEXT, "Country."), Column("amount", INTEGER, "Amount.")),
    prefix=THINGS.prefix,
    key=THINGS.key,
    partition=Partition(column="month", unit="month"),
)
RATES = Contract(
    dataset="rates",
    table="raw.rates",
    description="One row per country and month.",
    columns=(Column("country", TEXT, "Country."), Column("rate", INTEGER, "Rate.")),
    prefix=Setting("RATES_PREFIX", "rates/", "Prefix of the keys"),
    key=THINGS.key,
    partition=Partition(column="month", unit="month"),
    is_optional=True,
)
NAMES = Contract(
    dataset="names",
    table="raw.names",
    description="One row per country.",
    columns=(Column("country", TEXT, "Country."), Column("name", TEXT, "Name.")),
    prefix=Setting("NAMES_PREFIX", "names/", "Prefix of the keys"),
    keys=("names.csv",),
    is_optional=True,
)
COMMENTS = replace(NAMES, dataset="comments", table="raw.comments", keys=("comments.csv",))
NOTHING = Delivery()
CONTRACTS = (FACTS, RATES, NAMES, COMMENTS)
FILES = {
    "core/names/table.sql": "CREATE TABLE IF NOT EXISTS core.names (country text, name text);\n",
    "core/names/query.sql": """\
-- key: country
-- sources: raw.names
-- write disposition: replace table
SELECT names.country, names.name FROM raw.names
""",
    "marts/sums/table.sql": "CREATE TABLE IF NOT EXISTS marts.sums (month date, name text, amount bigint);\n",
    "marts/sums/query.sql": """\
-- key: month, name
-- sources: raw.facts, raw.rates, core.names
-- write disposition: replace partition (month)
SELECT
    facts.month,
    coalesce(names.name, facts.country) AS name,
    sum(facts.amount * coalesce(rates.rate, 1) * %(factor)s) AS amount
FROM raw.facts
LEFT JOIN raw.rates ON facts.month = rates.month AND facts.country = rates.country
LEFT JOIN core.names ON facts.country = names.country
WHERE facts.month = %(month)s
GROUP BY facts.month, coalesce(names.name, facts.country)
""",
    "marts/totals/table.sql": "CREATE TABLE IF NOT EXISTS marts.totals (amount bigint, comment_count bigint);\n",
    "marts/totals/query.sql": """\
-- key: amount
-- sources: raw.facts, raw.comments
-- write disposition: replace table
SELECT sum(facts.amount) AS amount, (SELECT count(*) FROM raw.comments) AS comment_count FROM raw.facts
""",
}
MONTHS = ["2021-01", "2021-02", "2021-03"]


class Pipeline:
    """The pipeline, run by the engine: what a flow does, without Prefect."""

    def __init__(self, warehouse: Connection, root: Path) -> None:
        self.warehouse, self.root = warehouse, root
        self.factor = 1
        self.contracts = {contract.dataset: contract for contract in CONTRACTS}

    @property
    def inputs(self) -> PipelineInputs:
        contracts = tuple(self.contracts.values())
        core = Build("core", contracts, lambda _: {}, self.root)
        marts = Build("marts", contracts, self.parameters, self.root)
        return PipelineInputs(contracts[0], contracts[1:], (core, marts))

    def parameters(self, month: str) -> dict[str, Any]:
        return {"month": partition_value(month), "factor": self.factor}

    def run(self, month: str, *, until: str = "end", force: bool = False) -> None:
        """Run one month, completely or only until the end of the step `load` or `build`."""
        for contract in self.contracts.values():
            for source in (
                deliveries_in(contract, month, month).get(month if contract.partition else "", NOTHING).sources
            ):
                load(self.warehouse, source, contract=contract, force=force)
        if until == "load":
            return
        receipts = [
            receipt
            for build in self.inputs.builds
            for receipt in build_tables(
                self.warehouse,
                build.schema,
                build.parameters(month),
                partition=month,
                contracts=build.contracts,
                root=self.root,
                force=force,
            )
        ]
        if until == "build":
            return
        loads = [load_id for receipt in receipts for load_id in receipt.loads]
        marks = {receipt.table: receipt.fingerprint for receipt in receipts if not receipt.is_whole}
        write_finished(self.warehouse, "facts", month, loads, ["core", "marts"], "digest", None, marks)

    def plan(self, start: str | None = None, end: str | None = None) -> BackfillPlan:
        inputs = self.inputs
        listed = {one.dataset: deliveries_in(one, start, end) for one in (inputs.contract, *inputs.secondary)}
        current = read_current(self.warehouse, inputs, start, end, listed)
        return plan_backfill("facts", "month", None, None, listed["facts"], current)

    def due(self) -> dict[str, tuple[str, ...]]:
        """Due partitions with the reasons: the changed inputs, or the state."""
        planned = [one for one in self.plan().partitions if one.state != "unchanged"]
        return {one.partition: one.changes or (one.state,) for one in planned}

    def catch_up(self) -> None:
        """Run all due partitions, and check that no partition is due afterwards."""
        for month in self.plan().due:
            self.run(month)
        assert self.due() == {}

    def sums(self) -> list[tuple[str, str, int]]:
        rows = self.warehouse.execute("SELECT to_char(month, 'MM'), name, amount FROM marts.sums ORDER BY 1, 2")
        return [(month, name, int(amount)) for month, name, amount in rows]


def deliver(month: str, amount: int = 10) -> None:
    put(b"country,amount\nPE,%d\n" % amount, key=f"{month.replace('-', '/')}/things.csv")


def change(root: Path, file: str, old: str, new: str) -> None:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    for file, text in FILES.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.startswith("-- ") else f"-- sources: none\n{text}")
    return tmp_path


@pytest.fixture
def pipeline(bucket: str, database: str, root: Path) -> Iterator[Pipeline]:
    """Three finished months, without a secondary file or a dimension."""
    del bucket, database
    with connection() as warehouse:
        apply_ddl(warehouse, CONTRACTS, ["core", "marts"], root)
        made = Pipeline(warehouse, root)
        for month in MONTHS:
            deliver(month)
            made.run(month)
        assert made.due() == {}
        yield made


def test_late_dimension_makes_every_month_due(pipeline: Pipeline) -> None:
    put(b"country,name\nPE,Peru\n", key="names/names.csv")
    assert pipeline.due() == dict.fromkeys(MONTHS, ("dataset names",))
    pipeline.run(MONTHS[0])
    # The dimension is loaded and its table is built now; the other months were built without it.
    assert pipeline.due() == dict.fromkeys(MONTHS[1:], ("table core.names",))
    pipeline.catch_up()
    assert pipeline.sums() == [("01", "Peru", 10), ("02", "Peru", 10), ("03", "Peru", 10)]


def test_corrected_dimension_is_seen_also_when_a_run_died_after_loading_it(pipeline: Pipeline) -> None:
    put(b"country,name\nPE,Peru\n", key="names/names.csv")
    pipeline.catch_up()
    put(b"country,name\nPE,Per\xc3\xba\n", key="names/names.csv")
    pipeline.run(MONTHS[1], until="load")
    assert pipeline.due() == dict.fromkeys(MONTHS, ("dataset names",))
    pipeline.run(MONTHS[1], until="build")
    assert pipeline.due() == {
        "2021-01": ("table core.names",),
        "2021-02": ("unfinished",),
        "2021-03": ("table core.names",),
    }
    pipeline.catch_up()
    assert {name for _, name, _ in pipeline.sums()} == {"Perú"}


@pytest.mark.parametrize("is_loaded", [False, True])
def test_late_and_corrected_secondary_file_makes_its_month_due(pipeline: Pipeline, is_loaded: bool) -> None:
    for rate in (2, 3):
        put(b"country,rate\nPE,%d\n" % rate, key="rates/2021/02/things.csv")
        if is_loaded:
            load(pipeline.warehouse, ref("rates/2021/02/things.csv", "2021-02"), contract=RATES)
        assert pipeline.due() == {"2021-02": ("dataset rates",)}
        pipeline.catch_up()
        assert pipeline.sums() == [("01", "PE", 10), ("02", "PE", 10 * rate), ("03", "PE", 10)]


def test_corrected_fact_makes_its_month_due(pipeline: Pipeline) -> None:
    deliver("2021-02", 7)
    assert pipeline.due() == {"2021-02": ("changed",)}
    pipeline.run("2021-02", until="load")
    assert pipeline.due() == {"2021-02": ("unfinished",)}
    pipeline.catch_up()
    assert pipeline.warehouse.execute("SELECT amount FROM marts.totals").fetchone() == (27,)


def test_dataset_of_no_partitioned_table_makes_one_month_due(pipeline: Pipeline) -> None:
    put(b"country,name\nPE,good\n", key="names/comments.csv")
    assert pipeline.due() == {"2021-03": ("dataset comments",)}
    pipeline.catch_up()
    assert pipeline.warehouse.execute("SELECT comment_count FROM marts.totals").fetchone() == (1,)


@pytest.mark.parametrize(
    ("file", "old", "new", "due"),
    [
        ("marts/sums/query.sql", "facts.amount *", "2 * facts.amount *", MONTHS),
        ("core/names/query.sql", "names.name FROM", "upper(names.name) AS name FROM", MONTHS),
        ("marts/totals/query.sql", "sum(facts.amount)", "2 * sum(facts.amount)", MONTHS[2:]),
    ],
)
def test_changed_sql_makes_the_months_due_that_it_reaches(
    pipeline: Pipeline, root: Path, file: str, old: str, new: str, due: list[str]
) -> None:
    change(root, file, old, new)
    assert pipeline.due() == dict.fromkeys(due, (f"sql {file.replace('/', '.', 1)}",))
    pipeline.catch_up()


def test_changed_parameter_makes_every_month_due(pipeline: Pipeline) -> None:
    pipeline.factor = 5
    assert pipeline.due() == dict.fromkeys(MONTHS, ("parameter factor",))
    pipeline.catch_up()
    assert {amount for _, _, amount in pipeline.sums()} == {50}
    pipeline.factor = 1
    assert set(pipeline.due()) == set(MONTHS)


def upper(text: str | None) -> str | None:
    return text.upper() if text else text


@pytest.mark.parametrize("dataset", ["facts", "names"])
def test_changed_contract_loads_again(pipeline: Pipeline, dataset: str) -> None:
    put(b"country,name\npe,Peru\n", key="names/names.csv")
    pipeline.catch_up()
    before = pipeline.contracts[dataset]
    derived = tuple(replace(column, derive=upper) if column.name == "country" else column for column in before.columns)
    pipeline.contracts[dataset] = replace(before, columns=derived)
    assert pipeline.due() == dict.fromkeys(MONTHS, (f"contract of {dataset}",))
    pipeline.catch_up()
    assert {name for _, name, _ in pipeline.sums()} == ({"PE"} if dataset == "facts" else {"Peru"})


def test_other_description_alias_or_index_of_a_contract_changes_nothing(pipeline: Pipeline) -> None:
    before = pipeline.contracts["facts"]
    columns = tuple(replace(column, description="Other.", aliases=("other",)) for column in before.columns[:1])
    changed = replace(before, columns=columns + before.columns[1:], description="Other.", indexes=(("amount",),))
    pipeline.contracts["facts"] = changed
    assert pipeline.due() == {}


def test_new_month_leaves_the_others(pipeline: Pipeline) -> None:
    deliver("2021-04")
    assert pipeline.due() == {"2021-04": ("new",)}
    pipeline.catch_up()


def test_plan_of_a_range_sees_the_same(pipeline: Pipeline) -> None:
    put(b"country,rate\nPE,2\n", key="rates/2021/02/things.csv")
    put(b"country,rate\nPE,2\n", key="rates/2021/03/things.csv")
    assert pipeline.plan("2021-01", "2021-02").due == ["2021-02"]
    assert pipeline.plan("2021-03", None).due == ["2021-03"]


def test_partitions_of_another_unit_are_refused() -> None:
    daily = replace(RATES, partition=Partition(column="day", unit="day"), key="{year}/{month}/{day}/rates.csv")
    with pytest.raises(ContractError, match=r"rates: expected partitions of a month, as facts has, found.*of a day"):
        PipelineInputs(FACTS, (daily,))
    with pytest.raises(ContractError, match="names: expected a contract with partitions"):
        PipelineInputs(NAMES)


def test_entries_of_an_older_version_are_compared_by_loads_and_sql(pipeline: Pipeline) -> None:
    digest = sql_files.sql_digest(["core", "marts"])
    pipeline.warehouse.execute("UPDATE ledger.finished_partitions SET builds = NULL, sql_digest = %s", [digest])
    assert pipeline.due() == {}
    pipeline.warehouse.execute("UPDATE ledger.finished_partitions SET sql_digest = 'old' WHERE partition = '2021-02'")
    assert pipeline.due() == {"2021-02": ("sql",)}


def facts(pipeline: Pipeline) -> list[tuple[str, int]]:
    rows = pipeline.warehouse.execute("SELECT to_char(month, 'YYYY-MM'), amount FROM raw.facts ORDER BY 1")
    return [(month, amount) for month, amount in rows]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE raw.facts_2021_02",
        "TRUNCATE raw.facts_2021_02",
        "DELETE FROM raw.facts WHERE month = '2021-02-01'",
        "ALTER TABLE raw.facts DETACH PARTITION raw.facts_2021_02; DROP TABLE raw.facts_2021_02",
    ],
)
def test_a_month_whose_rows_are_gone_is_due_and_loaded_again(pipeline: Pipeline, statement: str) -> None:
    before = facts(pipeline), pipeline.sums()
    pipeline.warehouse.execute(statement.encode())
    assert pipeline.due() == {MONTHS[1]: ("lost",)}
    assert pipeline.plan(MONTHS[2]).due == []
    pipeline.catch_up()
    assert (facts(pipeline), pipeline.sums()) == before


def test_all_months_are_due_where_the_table_is_gone(pipeline: Pipeline) -> None:
    pipeline.warehouse.execute("DROP TABLE raw.facts CASCADE")
    assert pipeline.due() == dict.fromkeys(MONTHS, ("lost",))


def test_an_emptied_mart_is_not_due_and_forced_runs_fill_it(pipeline: Pipeline) -> None:
    before = pipeline.sums()
    pipeline.warehouse.execute("TRUNCATE marts.sums")
    assert pipeline.due() == {}
    for month in MONTHS:
        pipeline.run(month, force=True)
    assert pipeline.sums() == before


def test_a_month_that_was_delivered_without_rows_is_not_lost(pipeline: Pipeline) -> None:
    put(b"country,amount\n", key="2021/04/things.csv")
    pipeline.run("2021-04")
    assert pipeline.due() == {}


def test_a_secondary_month_or_dimension_whose_rows_are_gone_makes_its_readers_due(pipeline: Pipeline) -> None:
    put(b"country,rate\nPE,3\n", key="rates/2021/02/things.csv")
    put(b"country,name\nPE,Peru\n", key="names/names.csv")
    pipeline.catch_up()
    before = pipeline.sums()
    pipeline.warehouse.execute("TRUNCATE raw.rates_2021_02")
    assert pipeline.due() == {MONTHS[1]: ("rows of rates",)}
    pipeline.catch_up()
    pipeline.warehouse.execute("TRUNCATE raw.names")
    assert pipeline.due() == dict.fromkeys(MONTHS, ("rows of names",))
    pipeline.catch_up()
    assert pipeline.sums() == before
