"""Check the target of a binary COPY: its columns must be exactly the columns that the encoder sends.

Postgres does not compare types in a binary COPY. If the lengths fit, Postgres stores the bytes of one type as a value
of another type, and reports no error. So a load compares the catalog with its contract, in its own transaction,
before it reads a row.
"""

from datetime import date

from psycopg import sql

from tasks.contracts import LINE_NUMBER, Contract
from tasks.engine.errors import SchemaDriftError
from tasks.engine.schema.catalog import ColumnShape, column_differences, columns_of, is_partition_of
from tasks.engine.warehouse.described_types import type_names
from tasks.engine.warehouse.partitions import attach_partition, partition_table
from tasks.engine.warehouse.tables import Connection, has_table, shared_column_types, table_name


def check_target(connection: Connection, contract: Contract, value: date | None) -> None:
    """Compare a contract with its staging table, and with the partition of a value if that partition exists.

    The tables remain locked against changes of their columns until the transaction ends.

    Args:
        connection: In the transaction of the load.
        contract: Contract of the load.
        value: Value of the partition; None for a table without partitions.

    Raises:
        SchemaDriftError: A column is missing, unknown, or of another type or nullability; or a table has the name of
            the partition but is not attached. The message lists each difference and the statement that resolves it.
    """
    parent, target = contract.table, partition_table(contract, value)
    tables = [parent]
    connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(table_name(parent)))
    if target != parent and has_table(connection, target):
        tables.append(target)
    if target in tables:
        connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE").format(table_name(target)))
    expected = _expected_columns(connection, contract)
    lines: list[str] = []
    said: set[str] = set()
    for table in tables:
        for sentence, statement in column_differences(table, expected, columns_of(connection, table)):
            if sentence not in said:  # a change of the parent also changes its partitions
                said.add(sentence)
                lines.append(f"  {table}, {sentence}\n    {statement.as_string(connection)};")
    if contract.partition and value and target in tables and not is_partition_of(connection, target, parent):
        attach = attach_partition(contract, contract.partition, value).as_string(connection)
        lines.append(f"  {target}: expected a partition of {parent}, found a separate table\n    {attach};")
    if lines:
        raise SchemaDriftError(
            f"{target}: the table differs from contract {contract.dataset}; nothing was read or written:\n"
            + "\n".join(lines)
            + "\nDeploy the contract of this table, let the DDL step of the flow make the change, or put the statements"
            f" into a migration below sql/{contract.schema}/migrations/"
        )


def _expected_columns(connection: Connection, contract: Contract) -> dict[str, ColumnShape]:
    shared = shared_column_types(contract)
    names = type_names(connection, [*shared.values(), *(column.type.postgres for column in contract.columns)])
    expected = {name: ColumnShape(names[type_], is_nullable=False) for name, type_ in shared.items()}
    for column in contract.columns:
        expected[column.name] = ColumnShape(names[column.type.postgres], is_nullable=column.nullable)
    if contract.line_numbers:
        expected[LINE_NUMBER] = ColumnShape("bigint", is_nullable=True)
    return expected
