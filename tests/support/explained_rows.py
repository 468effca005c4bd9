"""Check explanations against the bytes in S3 and against the queries of the built tables.

A staging row must equal the record at its line, which Python's own parsers read. A row of a built table must come out
again when its query runs over the rows that its trace names, and over no other row of these tables.
"""

import ast
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq
from psycopg import sql
from sample_dataset import client

from tasks.contracts import UNKNOWN_KEYS, Contract
from tasks.contracts.catalog import contracts
from tasks.engine.build.sql_files import SqlTable, sql_table
from tasks.engine.explain.explanation import Explanation, explain_row
from tasks.engine.explain.traces import trace_of
from tasks.engine.schema.catalog import columns_of
from tasks.engine.warehouse.tables import Connection, table_name

Record = Mapping[str, Any]
STRICT_TEXT = {"text", "jsonb"}


def records_at(data: bytes, uri: str, line: int, records_key: str = "") -> list[Record]:
    """The records that begin on a line; in parquet, the record with that number."""
    if uri.endswith(".parquet"):
        return [pq.read_table(io.BytesIO(data)).slice(line - 1, 1).to_pylist()[0]]
    text = data.decode("utf-8-sig", errors="replace")
    if uri.endswith((".ndjson", ".jsonl")):
        return [json.loads(text.split("\n")[line - 1])]
    if uri.endswith(".json"):
        return list(_elements(text, line, records_key))
    rest = "\n".join(text.split("\n")[line - 1 :])
    header = next(row for row in csv.reader(io.StringIO(text, newline="")) if row)
    values = next(csv.reader(io.StringIO(rest, newline="")))
    return [dict(zip(header, (value or None for value in values), strict=True))]


def _elements(text: str, line: int, records_key: str) -> Iterator[Record]:
    """The elements of a document's array that begin on a line."""
    decoder, place = json.JSONDecoder(), text.index("[", text.index(f'"{records_key}"') if records_key else 0) + 1
    while True:
        place = re.compile(r"[\s,]*").match(text, place).end()  # type: ignore[union-attr]
        if text[place] == "]":
            return
        value, end = decoder.raw_decode(text, place)
        if text.count("\n", 0, place) + 1 == line:
            yield value
        place = end


def check_staging(connection: Connection, contract: Contract, count: int = 25) -> int:
    """Compare some rows of a staging table with the bytes of their objects, and explain them. Returns their number."""
    rows = connection.execute(
        sql.SQL(
            "SELECT load_id, line_number, source_uri, source_version, to_jsonb(s) FROM {} AS s"
            " ORDER BY md5(concat(load_id, ' ', line_number)) LIMIT %s"
        ).format(table_name(contract.ingested)),
        [count],
    ).fetchall()
    for load_id, line, uri, version, stored in rows:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        found = client().get_object(Bucket=bucket, Key=key)
        assert found["ETag"].strip('"') == version.strip('"')
        records = records_at(found["Body"].read(), uri, line, contract.records_key)
        expected = [_typed(connection, contract, record) for record in records]
        names = [column.name for column in contract.columns if column.source_name != UNKNOWN_KEYS]
        assert {name: stored[name] for name in names} in expected, (uri, line)
        if len(records) == 1:
            key_of_row = {"load_id": str(load_id), "line_number": str(line)}
            explanation = explain_row(connection, contract.table, key_of_row, contracts().values())
            (origin,) = explanation.origins.shown
            assert (origin.source_uri, origin.lines, origin.row_count) == (uri, (line,), 1)
    return len(rows)


def _typed(connection: Connection, contract: Contract, record: Record) -> Mapping[str, Any]:
    """A record as Postgres shows it as JSON, with each value cast by Postgres."""
    values, casts = [], []
    for column in contract.columns:
        if column.source_name == UNKNOWN_KEYS:
            continue
        name = next((each for each in (column.source_name, *column.aliases) if each in record), column.source_name)
        value = record.get(name)
        if isinstance(value, dict | list):
            value = json.dumps(value)
        text = None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        if text is not None and column.first:
            text = text.strip()[: column.first]
        if text is not None and column.after:
            text = text.rpartition(column.after)[2] if column.after in text else None
        if column.is_derived:
            text = column.value_of(text)
        if text == "" and column.type.postgres not in STRICT_TEXT:
            text = None
        given: Any = ast.literal_eval(text) if text and column.type.postgres.endswith("[]") else text
        values.append(given)
        casts.append(sql.SQL("%s::{} AS {}").format(sql.SQL(column.type.postgres), sql.Identifier(column.name)))
    query = sql.SQL("SELECT to_jsonb(r) FROM (SELECT {}) AS r").format(sql.SQL(", ").join(casts))
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return dict(row[0])


def check_table(
    connection: Connection,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    count: int = 12,
    has_side_rows: bool = False,
) -> list[Explanation]:
    """Explain some rows of a built table, and derive them again from the rows of their traces.

    Args:
        connection: To the warehouse.
        name: The table.
        parameters: Values of the query's parameters, besides the partition column.
        count: Number of rows.
        has_side_rows: Whether one row of a source may count for several rows of the table.
    """
    table = sql_table(name)
    keys = connection.execute(
        sql.SQL("SELECT ARRAY[{}] FROM {} AS t ORDER BY md5(t::text) LIMIT %s").format(
            sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(column)) for column in table.key),
            table_name(name),
        ),
        [count],
    ).fetchall()
    explained = []
    for (values,) in keys:
        key = dict(zip(table.key, values, strict=True))
        explanation = explain_row(connection, name, key, contracts().values())
        assert explanation.origins.shown or explanation.origins.computed, (name, key)
        assert explanation.builds, (name, key)
        explained.append(explanation)
        _derive_again(connection, table, key, dict(parameters or {}), has_side_rows=has_side_rows)
    return explained


def _derive_again(
    connection: Connection, table: SqlTable, key: Mapping[str, str], parameters: dict[str, Any], *, has_side_rows: bool
) -> None:
    where = sql.SQL(" AND ").join(
        sql.SQL("t.{}::text = {}").format(sql.Identifier(column), sql.Literal(value)) for column, value in key.items()
    )
    own = sql.SQL("SELECT t.tableoid, t.ctid, t.* FROM {} AS t WHERE {}").format(table_name(table.name), where)
    if "line_number" in columns_of(connection, table.name):
        return  # the rows name their lines themselves
    trace = trace_of(connection, table)
    steps = {step.source: step for step in trace.steps}
    if not steps.keys() <= set(table.reads) or trace.computed:
        return  # the trace skips tables that no longer hold the rows: the caller compares the lines with the bytes
    text = table.query.as_string()
    with connection.transaction(force_rollback=True):
        for source, step in steps.items():
            name = sql.Identifier(source.split(".")[1])
            connection.execute(
                sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM {} WITH NO DATA").format(name, table_name(source))
            )
            columns = sql.SQL(", ").join(
                sql.Identifier(str(column))
                for (column,) in connection.execute(
                    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
                    " ORDER BY attnum",
                    [source],
                )
            )
            connection.execute(
                sql.SQL("INSERT INTO pg_temp.{} SELECT {} FROM ({}) AS r").format(
                    name, columns, step.rows(own, is_last=False)
                )
            )
            text = re.sub(rf"(?<![\w.]){re.escape(source)}(?!\w)", f"pg_temp.{source.split('.')[1]}", text)
        if table.disposition.kind == "merge":
            by = sql.SQL(", ").join(map(sql.Identifier, table.disposition.columns))
            affected = sql.Identifier(f"affected_{table.name.split('.')[1]}")
            connection.execute(
                sql.SQL("CREATE TEMP TABLE {} AS SELECT {} FROM {} AS t WHERE {}").format(
                    affected, by, table_name(table.name), where
                )
            )
        if column := table.replaced_column:
            row = connection.execute(
                sql.SQL("SELECT {} FROM {} AS t WHERE {}").format(sql.Identifier(column), table_name(table.name), where)
            ).fetchone()
            parameters[column] = row[0] if row else None
        again = sql.SQL("SELECT to_jsonb(t) FROM ({}) AS t WHERE {}").format(sql.SQL(text), where)
        derived = connection.execute(again, parameters).fetchall()
        count = connection.execute(sql.SQL("SELECT count(*) FROM ({}) AS t").format(sql.SQL(text)), parameters)
        found = count.fetchone()
    stored = connection.execute(
        sql.SQL("SELECT to_jsonb(t) FROM {} AS t WHERE {}").format(table_name(table.name), where)
    ).fetchall()
    assert derived == [({name: row[name] for name in derived[0][0]},) for (row,) in stored], (table.name, key)
    if table.disposition.kind != "merge" or table.disposition.columns == tuple(table.key):
        assert found == (1,) or has_side_rows, (table.name, key, found)
