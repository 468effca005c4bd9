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


@step(task_run_name="Export the tables of {schema}")
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
        schema: Schema under `sql/`. For a folder without a `table.sql`, the step writes the answer of its query.
        parameters: Values of the parameters of such queries.
        as_of: As-of date to write, of tables with one partition for each as-of date; None for whole tables.
        export_id: Folder of the exports, in place of `EXPORT_ID`.
        allow_empty: Allow an export without rows to replace an export with rows.

    Raises:
        EmptyExportError: An export without rows would replace an export with rows; the step wrote nothing.
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
        name: Name of the page.
        page: The HTML.
        as_of: As-of date of the page.
        export_id: Folder of the page, in place of `EXPORT_ID`.
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
    """Log which exports were written, and which were already up to date."""
    for receipt in receipts:
        if receipt.status == "unchanged":
            get_run_logger().info("%s is up to date: skipped", receipt.uri)
        else:
            get_run_logger().info(
                "Exported %s: %s rows, %s bytes, verified",
                receipt.uri,
                f"{receipt.row_count:,}",
                f"{receipt.size_bytes:,}",
            )
