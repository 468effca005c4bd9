"""The text of a sync report with tables of the star schema."""

from datetime import UTC, datetime

from tasks.engine.receipts import BuildReceipt, CheckResult, LoadReceipt, SyncReceipt
from tasks.sync_report import sync_section

NOW = datetime(2022, 11, 3, 14, 30, tzinfo=UTC)
LOAD = LoadReceipt("totesys_staff", "totesys_staging.staff", "", "s3://b/k", "v", "loaded", 1, 3, 2, 1, 0.1)
WARNING = CheckResult("totesys_warehouse.quarantine", "facts wait", "warn", 4)
FACT = BuildReceipt("totesys_warehouse.fact_payment", "", "built", 1234, 0.1, (WARNING,))
UNCHANGED = BuildReceipt("totesys_warehouse.dim_staff", "", "unchanged", 77, 0.0)


def test_section_counts_rows_by_table_and_operation() -> None:
    counts = (("address", 5), ("staff", 3))
    receipt = SyncReceipt(
        *(7, False, "2022-11-03 14:20:49.962", counts, (LOAD,), (FACT, UNCHANGED)),
        (("totesys_warehouse.fact_payment", 2),),
        (7, NOW),
    )
    text = "\n".join(sync_section(receipt)).replace("\\", "")
    for line in (
        "## Run 7",
        "| staff | 3 | 2 | 1 |",
        "| address | 5 | already loaded | already loaded |",  # the dead process loaded it
        "| totesys_warehouse.fact_payment | inserted or changed | 1,234 |",
        "| totesys_warehouse.fact_payment | reopened | 2 |",
        "| lag: age of this change at its arrival in the warehouse | 0:09:10 |",
        "check failed: facts wait: 4 rows",
    ):
        assert line in text, line
    assert "dim" not in text
