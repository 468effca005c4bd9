"""Build tables: the staging tables' and the schemas' DDL, and the rows of every table after staging."""

from collections.abc import Mapping, Sequence
from datetime import date

from prefect.logging import get_run_logger

from tasks.connections import done_in_run, flow_run_id, open_warehouse, warehouse_slot
from tasks.contracts import Contract
from tasks.engine.build import builder
from tasks.engine.build.build_inputs import Build
from tasks.engine.build.file_texts import version_of
from tasks.engine.build.sql_files import ROOT
from tasks.engine.receipts import BuildReceipt
from tasks.engine.schema.ddl import apply_ddl
from tasks.policy import step
from tasks.side_by_side import run_side_by_side

Parameters = Mapping[str, str | int | date | list[date]]
"""Values of a query's parameters, by name."""


def build_schemas(contracts: Sequence[Contract], schemas: Sequence[str]) -> list[str]:
    """Run the DDL step once in a run: create or change the ledger, the staging tables and the schemas' tables.

    In a backfill of many partitions, the first partition runs the step for all of them. After a failed step, or after a
    change of an SQL file, the next partition runs the step again.

    Returns:
        Names of the schemas, tables and views that were created, changed or compared.
    """
    version = version_of(ROOT)
    wanted = (tuple(contracts), tuple(schemas), version)
    if version is not None and wanted in done_in_run():
        return []
    applied = build_missing_tables(contracts, schemas)
    done_in_run().add(wanted)
    return applied


@step(task_run_name="Create tables")
def build_missing_tables(contracts: Sequence[Contract], schemas: Sequence[str]) -> list[str]:
    """Run the DDL step: create or change the ledger, the staging tables and the schemas' tables."""
    with open_warehouse() as connection:
        applied = apply_ddl(connection, contracts, schemas)
    get_run_logger().info("Applied the DDL of %s", ", ".join(applied)) if applied else None
    return applied


def build_side_by_side(builds: Sequence[Build]) -> list[BuildReceipt]:
    """Run builds that do not read each other's tables at the same time, each in its own transaction.

    Args:
        builds: The builds; each is built as a whole.

    Raises:
        TallyError: A build failed. The others ran nevertheless; the log names the error of each.
    """
    found = run_side_by_side(build_tables, [{"build": build, "partition": ""} for build in builds], len(builds))
    for one in found:
        if isinstance(one, Exception):
            raise one
    return [receipt for receipts in found if not isinstance(receipts, Exception) for receipt in receipts]


@step(task_run_name="Build the tables of {build.schema} {partition}")
def build_tables(build: Build, partition: str = "", *, force: bool = False) -> list[BuildReceipt]:
    """Build and check all tables of a schema for one partition, all of them or none.

    Args:
        build: The schema, and the contracts that its tables are built from.
        partition: Name of the partition; empty for a schema that is built as a whole.
        force: Build even if nothing changed.
    """
    logger = get_run_logger()
    with warehouse_slot(), open_warehouse() as connection:
        receipts = builder.build_tables(
            connection,
            build.schema,
            build.parameters(partition),
            partition=partition,
            contracts=build.contracts,
            force=force,
            flow_run_id=flow_run_id(),
            root=build.root,
            tables=build.tables,
        )
    for receipt in receipts:
        if receipt.status == "unchanged":
            logger.info("%s %s is up to date: skipped", receipt.table, partition)
        elif receipt.status == "kept":
            logger.info("%s holds %s rows written by another owner: read only", receipt.table, f"{receipt.row_count:,}")
        else:
            logger.info(
                "Built %s %s: %s rows in %.1f s", receipt.table, partition, f"{receipt.row_count:,}", receipt.seconds
            )
        for warning in receipt.warnings:
            logger.warning(
                "%s: check failed: %s: %d rows, e.g. %s",
                warning.table,
                warning.name,
                warning.broken_count,
                warning.examples,
            )
    return receipts
