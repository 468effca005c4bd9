"""Read a Totesys database in two ways: by extractions, and by direct queries."""

import csv
import io
import random
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tasks.contracts.totesys_source import SOURCE_TABLES
from tasks.engine.settings import SourceSettings
from tasks.engine.sync.source import Snapshot, Watermark, open_snapshot

BY_NAME = {table.name: table for table in SOURCE_TABLES}
Tables = dict[str, dict[int, tuple[str, ...]]]


@contextmanager
def snapshot(dsn: str) -> Iterator[Snapshot]:
    with open_snapshot(SourceSettings.model_validate({"dsn": dsn}), SOURCE_TABLES) as opened:
        yield opened


def rows_of(blocks: Iterator[bytes]) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(blocks).decode())))[1:]


def extract(dsn: str, since: Watermark | None) -> tuple[Tables, Watermark]:
    """Rows by table and key, and the watermark for the next extraction."""
    with snapshot(dsn) as opened:
        begin, _ = opened.usable(since)
        found: Tables = {}
        for table in opened.tables:
            rows = rows_of(opened.copy_changed(table, begin))
            assert len(rows) == opened.count_changed(table, begin)
            found[table.name] = {int(row[0]): tuple(row) for row in rows}
        return found, opened.watermark


def rows_in(owner_dsn: str) -> Tables:
    """The rows of all tables, by direct queries."""
    with psycopg.connect(owner_dsn) as connection:
        return {
            table.name: {
                row[0]: tuple("" if value is None else value for value in row[1:])
                for row in connection.execute(
                    sql.SQL("SELECT {}, {} FROM {}").format(
                        sql.Identifier(table.key),
                        sql.SQL(", ").join(
                            sql.SQL(
                                "CASE {0}::text WHEN 'true' THEN 't' WHEN 'false' THEN 'f' ELSE {0}::text END"
                            ).format(sql.Identifier(column))
                            for column in table.columns
                        ),
                        sql.Identifier(table.name),
                    )
                )
            }
            for table in SOURCE_TABLES
        }


def drawing(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


def changed(found: Tables) -> dict[str, list[int]]:
    return {name: sorted(rows) for name, rows in found.items() if rows}


class Copies:
    """Copies of the tables, kept up to date by extractions: upserts, and removal of deleted keys."""

    def __init__(self, reader_dsn: str) -> None:
        self.tables: Tables = {table.name: {} for table in SOURCE_TABLES}
        self.watermark: Watermark | None = None
        self._reader_dsn = reader_dsn

    def extract(self) -> Tables:
        """Apply an extraction."""
        found, self.watermark = extract(self._reader_dsn, self.watermark)
        with snapshot(self._reader_dsn) as opened:
            for table in opened.tables:
                rows = self.tables[table.name] | found[table.name]
                keys = {int(key) for (key,) in rows_of(opened.copy_keys(table))}
                self.tables[table.name] = {key: row for key, row in rows.items() if key in keys}
        return found
