"""Export tables and answers to the lake."""

from prefect.logging import get_run_logger

from tasks.connections import flow_run_id, open_lake, open_warehouse, run_settings
from tasks.engine.exporter import export_of_query, export_of_table, write_exports
from tasks.engine.receipts import ExportReceipt
from tasks.engine.sql_files import tables_of
from tasks.policy import step
from tasks.transform import Parameters


@step(task_run_name="export_tables {schema}")
def export_tables(schema: str, parameters: Parameters | None = None) -> list[ExportReceipt]:
    """Write every table of a schema to `{EXPORT_PREFIX}{EXPORT_ID}/<table>.csv`, then the manifest.

    Args:
        schema: Under `sql/`; a folder without a `table.sql` is a query whose answer is written.
        parameters: Values of such queries' parameters.
    """
    settings = run_settings()
    with open_warehouse() as connection, open_lake() as lake:
        exports = [
            export_of_table(connection, table) if table.text("table.sql") else export_of_query(table, parameters or {})
            for table in tables_of(schema)
            if table.text("query.sql")
        ]
        receipts = write_exports(
            connection,
            lake,
            exports,
            prefix=settings.export_prefix,
            export_id=settings.export_id,
            flow_run_id=flow_run_id(),
        )
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
    return receipts
