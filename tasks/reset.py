"""Remove a dataset or one of its partitions from the warehouse. The next run loads what the lake then holds."""

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from tasks.connections import open_warehouse
from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.load.partition_reset import PartitionReset, plan_partition_reset, reset_partition
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.schema.reset import ResetPlan, plan_reset, reset_dataset
from tasks.policy import step
from tasks.run_summary import Ended, counted


@step(task_run_name="Reset {contract.dataset}")
def reset_tables(contract: Contract, *, dry_run: bool) -> ResetPlan:
    """Remove a dataset, or only plan the removal, and publish the result.

    Args:
        contract: Contract of the dataset.
        dry_run: Only plan the removal; write nothing.
    """
    known = list(contracts().values())
    with open_warehouse() as connection:
        if dry_run:
            plan = plan_reset(connection, contract, known)
        else:
            apply_ddl(connection, [], [])  # recreates a dropped ledger
            plan = reset_dataset(connection, contract, known)
    logger = get_run_logger()
    verb = "Would remove" if dry_run else "Removed"
    for table, count in plan.tables:
        logger.info("%s %s with %s", verb, table, counted(count, "row"))
    for table, count in plan.entries:
        logger.info("%s %s of %s", verb, counted(count, "entry", "entries"), table)
    if not plan.tables and not plan.entries:
        logger.info("Neither tables nor entries of %s exist", plan.dataset)
    create_markdown_artifact(
        reset_text(plan, is_dry=dry_run),
        key=f"reset-{plan.dataset}".replace("_", "-"),
        description=f"Reset of {plan.dataset}",
    )
    return plan


@step(task_run_name="Reset {contract.dataset} {partition}")
def reset_rows(contract: Contract, partition: str, *, dry_run: bool) -> PartitionReset:
    """Remove the rows of a partition, or only plan the removal, and log the result.

    Args:
        contract: Contract of the dataset.
        partition: Name of the partition.
        dry_run: Only plan the removal; write nothing.
    """
    with open_warehouse() as connection:
        found = (plan_partition_reset if dry_run else reset_partition)(connection, contract, partition)
    for uri in found.objects:
        get_run_logger().info("%s rows of %s", "Would remove the" if dry_run else "Removed the", uri)
    return found


def reset_text(plan: ResetPlan, *, is_dry: bool) -> str:
    """The report of a reset, in Markdown."""
    parts = [f"# Reset of {plan.dataset}"]
    parts.append("A reset would remove the following. This dry run removed nothing." if is_dry else "Removed:")
    rows = [*plan.tables, *((f"entries of {table}", count) for table, count in plan.entries)]
    parts.append(markdown_table(["table", "rows"], rows) if rows else "No table and no entry of this dataset exists.")
    if plan.rebuilt:
        parts.append("These tables also derive from other datasets. They remain, and the next run builds them again:")
        parts += [f"- {name}" for name in plan.rebuilt]
    if plan.exports:
        parts.append("These exports remain in the lake; the next run writes them again:")
        parts += [f"- {uri}" for uri in plan.exports]
    parts.append("Dropping a table also drops the rights of other roles on it: grant them again after the next run.")
    return "\n\n".join(parts)


def ended_partition(found: PartitionReset, *, is_dry: bool) -> Ended[ResetPlan | PartitionReset]:
    """Describe the end of the reset of a partition."""
    if not found.objects:
        return Ended(found, f"no object is loaded into {found.dataset} {found.partition}", "Skipped")
    what = f"{counted(found.row_count, 'row')} of {found.dataset} {found.partition} from {found.table}"
    if is_dry:
        return Ended(found, f"dry run: would remove {what}; nothing was removed")
    return Ended(found, f"removed {what}; a backfill now builds its tables again")


def ended_reset(plan: ResetPlan, *, is_dry: bool) -> Ended[ResetPlan | PartitionReset]:
    """Describe the end of a reset's run."""
    if not plan.tables and not plan.entries:
        return Ended(plan, f"no table and no entry of {plan.dataset} exists", "Skipped")
    rows, entries = (sum(count for _, count in counts) for counts in (plan.tables, plan.entries))
    what = f"{counted(len(plan.tables), 'table')} with {rows:,} rows and {counted(entries, 'entry', 'entries')}"
    if is_dry:
        return Ended(plan, f"dry run: would remove {what} of {plan.dataset}; nothing was removed")
    return Ended(plan, f"removed {what} of {plan.dataset}")
