"""Export tables and answers to the lake."""

from collections.abc import Sequence
from datetime import date

from prefect.logging import get_run_logger

from tasks.connections import flow_run_id, open_lake, open_warehouse, run_settings
from tasks.engine.build.sql_files import tables_of
from tasks.engine.export.exporter import Export, export_of_page, export_of_query, export_of_table, write_exports
from tasks.engine.lake.client import Lake
from tasks.engine.receipts import ExportReceipt
from tasks.engine.warehouse.tables import Connection
from tasks.policy import step
from tasks.transform import Parameters


@step(task_run_name="export_tables {schema}")
def export_tables(
    schema: str,
    parameters: Parameters | None = None,
    *,
    as_of: date | None = None,
    export_id: str | None = None,
    allow_empty: bool = False,
) -> list[ExportReceipt]:
    """Write every table of a schema to `{EXPORT_PREFIX}{EXPORT_ID}/<table>.csv`, then the manifest.

    Args:
        schema: Under `sql/`; a folder without a `table.sql` is a query whose answer is written.
        parameters: Values of such queries' parameters.
        as_of: Of tables that are partitioned by as-of date, the one to write; None for whole tables.
        export_id: In place of `EXPORT_ID`.
        allow_empty: Let an export without rows replace one that has rows.

    Raises:
        EmptyExportError: An export without rows would replace one that has rows; nothing was written.
    """
    with open_warehouse() as connection, open_lake() as lake:
        exports = [
            export_of_table(connection, table, as_of)
            if table.text("table.sql")
            else export_of_query(table, parameters or {})
            for table in tables_of(schema)
            if table.text("query.sql")
        ]
        return _written(connection, lake, exports, export_id, allow_empty=allow_empty)


def write_page(name: str, page: str, as_of: date, export_id: str | None = None) -> list[ExportReceipt]:
    """Write a page of HTML to `{EXPORT_PREFIX}{EXPORT_ID}/<name>.html`, then the manifest.

    Args:
        name: Of the page.
        page: The HTML.
        as_of: The day that it is as of.
        export_id: In place of `EXPORT_ID`.
    """
    with open_warehouse() as connection, open_lake() as lake:
        return _written(connection, lake, [export_of_page(name, page, as_of)], export_id)


def _written(
    connection: Connection,
    lake: Lake,
    exports: Sequence[Export],
    export_id: str | None,
    *,
    allow_empty: bool = False,
) -> list[ExportReceipt]:
    settings = run_settings()
    receipts = write_exports(
        connection,
        lake,
        exports,
        prefix=settings.export_prefix,
        export_id=export_id or settings.export_id,
        flow_run_id=flow_run_id(),
        allow_empty=allow_empty,
    )
    log_exports(receipts)
    return receipts


def log_exports(receipts: Sequence[ExportReceipt]) -> None:
    """Say in the run's log what was written, and what stood there."""
    for receipt in receipts:
        if receipt.status == "unchanged":
            get_run_logger().info("%s is up to date: no work", receipt.uri)
        else:
            get_run_logger().info(
                "Exported %s: %s rows, %s bytes, verified",
                receipt.uri,
                f"{receipt.row_count:,}",
                f"{receipt.size_bytes:,}",
            )
