"""The small sample of a new pipeline's test, in the format of the supplier's file."""

import gzip
import io
import json
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from deployments.scaffold.anonymised import ROWS, csv_sample, disguised, fixed_width_sample, is_private
from deployments.scaffold.pipeline import NewPipeline
from tasks.contracts.formats import Csv, FixedWidth
from tasks.contracts.paths import WHOLE_DOCUMENT, Step, steps_of
from tasks.engine.samples.columns import ColumnProfile
from tasks.engine.samples.files import SampleFile
from tasks.engine.samples.profiler import first_rows
from tasks.engine.samples.structures import records_of


def sample_of(file: SampleFile, p: NewPipeline) -> tuple[str, bytes, int]:
    """Return the name, the content and the number of rows of a small anonymised sample."""
    private = {column.source: column for column in p.profile.columns if is_private(column)}
    form = p.profile.declared_format
    if isinstance(form, Csv | FixedWidth):
        data, rows = _text(file, p, form, private)
    elif p.profile.format == ".parquet":
        return p.file_name, *_parquet(file, private)
    else:
        data, rows = _json(file, p, private)
    return p.file_name, _compressed(data, file.compression), rows


def _compressed(data: bytes, compression: str | None) -> bytes:
    if compression == "gzip":
        return gzip.compress(data, mtime=0)
    return pa.compress(data, codec="zstd", asbytes=True) if compression else data


def _text(
    file: SampleFile, p: NewPipeline, form: Csv | FixedWidth, private: dict[str, ColumnProfile]
) -> tuple[bytes, int]:
    frame = first_rows(file, p.profile, ROWS)
    rows = [
        [
            disguised(private[name], value) if value is not None and name in private else value
            for name, value in zip((column.source for column in p.profile.columns), row, strict=True)
        ]
        + [None] * len(p.profile.dropped)
        for row in frame.iter_rows()
    ]
    if isinstance(form, FixedWidth):
        return fixed_width_sample(form, rows), len(rows)
    return csv_sample(p.profile, form, rows), len(rows)


def _json(file: SampleFile, p: NewPipeline, private: dict[str, ColumnProfile]) -> tuple[bytes, int]:
    key, found, _ = records_of(file, p.profile.format)
    records = list(islice(found, ROWS))
    for source, column in private.items():
        for record in records:
            _disguise(record, steps_of(source) if source not in record else (source,), column)
    if p.profile.format == ".ndjson":
        return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode(), len(records)
    document: Any = records[0] if key == WHOLE_DOCUMENT else records
    for step in reversed(steps_of(key) if key and key != WHOLE_DOCUMENT else ()):
        document = {step: document}
    return json.dumps(document, ensure_ascii=False, indent=1).encode(), len(records)


def _disguise(value: Any, steps: tuple[Step, ...], column: ColumnProfile) -> None:
    """Replace the value at a path, if the record has one."""
    *parents, last = steps
    for step in parents:
        is_there = isinstance(value, dict) and step in value
        is_there |= isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not is_there:
            return
        value = value[step]
    if isinstance(value, dict) and value.get(last) is not None:
        found = value[last]
        text = found if isinstance(found, str) else json.dumps(found)
        value[last] = disguised(column, text) if isinstance(found, str) else _number(disguised(column, text), found)


def _number(text: str, original: Any) -> Any:
    try:
        return type(original)(text)
    except (TypeError, ValueError):
        return original


def _parquet(file: SampleFile, private: dict[str, ColumnProfile]) -> tuple[bytes, int]:
    with file.opened() as opened:
        parquet = pq.ParquetFile(opened, coerce_int96_timestamp_unit="us")
        table = pa.Table.from_batches(islice(parquet.iter_batches(ROWS), 1), schema=parquet.schema_arrow)
    for place, (name, type_) in enumerate(zip(table.column_names, table.schema.types, strict=True)):
        # Dates and times are kept, and Python cannot hold all of them.
        if name in private and not pa.types.is_temporal(type_):
            values = [_other(private[name], value) for value in table.column(place).to_pylist()]
            table = table.set_column(place, table.schema.field(place), pa.array(values, type_))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue(), len(table)


def _other(column: ColumnProfile, value: Any) -> Any:
    if isinstance(value, list):
        return [_other(column, one) for one in value]
    if isinstance(value, str):
        return disguised(column, value)
    return _number(disguised(column, str(value)), value) if isinstance(value, int) else value
