"""Partitions that lose all their objects: which of them a plan makes due, and what removes the rows of the others."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from changing_facts import SQL
from changing_pipeline import Operator
from sample_dataset import connection

from tasks.engine.backfill.planner import BackfillPlan
from tasks.engine.build import sql_files
from tasks.engine.errors import MissingObjectError
from tasks.engine.load.partition_reset import PartitionReset, plan_partition_reset

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

FIRST, SECOND, THIRD = "in/2021-01-01/x.csv", "in/2021-02-02/x.csv", "in/2021-01-03/x.csv"
A, B, C = ("a", "1", "x"), ("b", "2", "x"), ("c", "3", "x")
SUMS = "SELECT to_char(month, 'MM'), name FROM marts.sums ORDER BY 1, 2"


@pytest.fixture
def operator(database: str, bucket: str, tmp_path: Path) -> Operator:
    """The pipeline with two months that are up to date."""
    del database, bucket
    shutil.copytree(SQL, tmp_path, dirs_exist_ok=True)
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    made = Operator(tmp_path)
    made.put(FIRST, [A])
    made.put(SECOND, [B])
    made.catch_up()
    return made


def states(plan: BackfillPlan) -> dict[str, str]:
    return {planned.partition[5:]: planned.state for planned in plan.partitions}


def run_due(operator: Operator) -> dict[str, str]:
    """Run the due months once. Return the states afterwards."""
    for month in operator.plan().due:
        operator.run(month)
    return states(operator.plan())


def test_month_whose_last_object_moved_is_due_and_its_tables_lose_the_rows(operator: Operator) -> None:
    operator.put(THIRD, [C])
    operator.remove(FIRST)
    operator.catch_up()
    operator.declared = replace(operator.declared, template=1)  # the object of January belongs to March
    assert states(operator.plan()) == {"01": "orphaned", "02": "unchanged", "03": "new"}
    assert run_due(operator) == {"01": "emptied", "02": "unchanged", "03": "unchanged"}
    assert operator.query(SUMS) == [("01", "c"), ("02", "b"), ("03", "c")]
    assert run_due(operator) == {"01": "missing", "02": "unchanged", "03": "unchanged"}
    assert operator.query(SUMS) == [("02", "b"), ("03", "c")]
    operator.compare()
    operator.put("in/2021-07-01/x.csv", [A])
    assert states(operator.plan())["01"] == "new"
    operator.catch_up()
    operator.compare()


def test_month_whose_objects_are_gone_keeps_its_rows_until_a_reset(operator: Operator) -> None:
    operator.remove(SECOND)
    assert run_due(operator) == {"01": "unchanged", "02": "orphaned"}
    for force in (False, True):
        with pytest.raises(MissingObjectError, match="no object for 2021-02") as error:
            operator.run("2021-02", force=force)
        assert str(error.value).endswith(
            "The rows of 1 object remain in raw.facts. To remove them, run reset for dataset facts and partition"
            " 2021-02"
        )
    before = operator.rows(), operator.query(SUMS)
    with connection() as warehouse:
        planned = plan_partition_reset(warehouse, operator.declared.facts, "2021-02")
    assert planned == PartitionReset("facts", "2021-02", "raw.facts", planned.objects, 1)
    assert list(map(operator.key_of, planned.objects)) == [SECOND]
    assert before == (operator.rows(), operator.query(SUMS))
    operator.reset("2021-02")
    assert (list(operator.rows()), operator.query(SUMS)) == ([FIRST], before[1])
    assert states(operator.plan()) == {"01": "unchanged", "02": "emptied"}
    assert run_due(operator) == {"01": "unchanged", "02": "missing"}
    operator.compare()


def test_reset_month_with_objects_is_loaded_again(operator: Operator) -> None:
    operator.reset("2021-01")
    operator.reset("2021-01")  # nothing is left to remove
    assert list(operator.rows()) == [SECOND]
    assert states(operator.plan()) == {"01": "new", "02": "unchanged"}
    operator.catch_up()
    operator.compare()


def test_month_that_was_never_loaded_is_an_error(operator: Operator) -> None:
    with pytest.raises(MissingObjectError, match=r"another month$"):
        operator.run("2021-03")


def test_month_whose_table_was_dropped_is_not_emptied(operator: Operator) -> None:
    operator.remove(SECOND)
    with connection() as warehouse:
        warehouse.execute("DROP TABLE raw.facts CASCADE")
    operator.apply(operator.declared)
    assert states(operator.plan())["01"] == "new"
    operator.catch_up()
    assert ("02", "b") in operator.query(SUMS)
    with pytest.raises(MissingObjectError):
        operator.run("2021-02")


def test_changed_table_of_all_months_is_built_although_the_last_month_has_no_objects(operator: Operator) -> None:
    operator.remove(SECOND)
    query = operator.root / "marts/totals/query.sql"
    query.write_text(query.read_text().replace("count(*) AS fact_count,", "10 * count(*) AS fact_count,", 1))
    (january, february) = operator.plan().partitions
    assert (january.state, january.changes, february.state) == ("stale", ("sql marts.totals/query.sql",), "orphaned")
    operator.run("2021-01")
    assert states(operator.plan()) == {"01": "unchanged", "02": "orphaned"}
    assert operator.query("SELECT fact_count FROM marts.totals") == [(20,)]
