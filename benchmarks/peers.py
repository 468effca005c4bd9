"""The peers, each with the settings that its documentation recommends for large data. `.venv-bench` runs this module.

All peers read the object from S3. DuckDB also reads the local file: with `duckdb`, no S3 server uses the same cores,
and `duckdb_s3` reads the object like all other peers. Peers that write Arrow types cannot write uuid or inet columns.
Their tables have text columns, which are less work for the tool and for Postgres.

This module imports nothing from the project, so that a peer's process contains only the peer.
"""

import csv
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

COLUMNS = ("id", "timestamp", "email", "country", "ip", "uri", "action", "tags")
BLOCK_BYTES = 8 << 20
CHUNK_ROWS = 50_000
_DUCKDB_LAKE = """
CREATE SECRET (
    TYPE s3, PROVIDER config, KEY_ID '{AWS_ACCESS_KEY_ID}', SECRET '{AWS_SECRET_ACCESS_KEY}', REGION '{AWS_REGION}',
    ENDPOINT '{}', URL_STYLE 'path', USE_SSL false
)
"""


def _stream(codec: str | None = None) -> Any:
    """Open the object in S3. A decompressed stream reads ahead, because each read is a request."""
    from pyarrow.fs import S3FileSystem

    lake = S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"], region=os.environ["AWS_REGION"])
    path = f"{os.environ['LAKE_BUCKET']}/{os.environ['BENCH_KEY']}"
    if codec:
        return lake.open_input_stream(path, compression=codec, buffer_size=BLOCK_BYTES)
    return lake.open_input_file(path)


def _batches() -> Any:
    """Stream the object from S3 as record batches of text."""
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.json as pajson
    import pyarrow.parquet as pq

    schema = pa.schema(dict.fromkeys(COLUMNS, pa.string()))
    name, _, packing = os.environ["BENCH_FORMAT"].partition(".")
    if name == "parquet":
        file = pq.ParquetFile(_stream(), pre_buffer=True)
        return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(batch_size=CHUNK_ROWS))
    if name == "ndjson":
        options = pajson.ReadOptions(block_size=BLOCK_BYTES)
        return pajson.open_json(_stream(), options, pajson.ParseOptions(explicit_schema=schema))
    return pacsv.open_csv(
        _stream({"gz": "gzip", "zst": "zstd"}.get(packing)),
        read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def adbc() -> None:
    """Load with ADBC's ingest of a stream, which is a binary COPY."""
    import adbc_driver_postgresql.dbapi as driver

    with driver.connect(os.environ["BENCH_URI"]) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("peer", _batches(), mode="create")
        connection.commit()


def pgpq() -> None:
    """Load with pgpq, which encodes record batches for a binary COPY, and psycopg."""
    import pgpq as library
    import psycopg

    batches = _batches()
    encoder = library.ArrowToPostgresBinaryEncoder(batches.schema)
    columns = ", ".join(f'"{name}" text' for name in batches.schema.names)
    with psycopg.connect(os.environ["BENCH_URI"]) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE peer ({columns})".encode())
        with cursor.copy("COPY peer FROM STDIN (FORMAT binary)") as copy:
            copy.write(encoder.write_header())
            for batch in batches:
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())


def duckdb() -> None:
    """Load the local file with DuckDB, whose extension copies in binary format."""
    _duckdb(os.environ["BENCH_FILE"])


def duckdb_s3() -> None:
    """Load the object from S3 with DuckDB and its httpfs extension."""
    _duckdb(f"s3://{os.environ['LAKE_BUCKET']}/{os.environ['BENCH_KEY']}", "httpfs")


def _duckdb(location: str, *extensions: str) -> None:
    import duckdb as library
    from duckdb_extensions import import_extension

    connection = library.connect()
    for name in ("postgres_scanner", *extensions):
        import_extension(name, con=connection)
        connection.execute(f"LOAD {name}")
    connection.execute(f"ATTACH '{os.environ['BENCH_URI']}' AS warehouse (TYPE postgres)")
    if extensions:
        connection.execute(_DUCKDB_LAKE.format(os.environ["AWS_ENDPOINT_URL"].rpartition("/")[2], **os.environ))
    name, types = os.environ["BENCH_FORMAT"].partition(".")[0], dict.fromkeys(COLUMNS, "VARCHAR")
    reader = {
        "csv": f"read_csv(?, all_varchar = true, header = true, columns = {types})",
        "json": f"read_json(?, format = 'array', columns = {types}, maximum_object_size = 16777216)",
        "ndjson": f"read_json(?, format = 'newline_delimited', columns = {types})",
        "parquet": "read_parquet(?)",
    }[name]
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"CREATE TABLE warehouse.public.peer AS SELECT * FROM {reader}", [location])


def _polars_frame() -> Any:
    import polars as pl

    options = {
        "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_region": os.environ["AWS_REGION"],
        "aws_allow_http": "true",
    }
    uri = f"s3://{os.environ['LAKE_BUCKET']}/{os.environ['BENCH_KEY']}"
    schema = dict.fromkeys(COLUMNS, pl.String)
    name = os.environ["BENCH_FORMAT"].partition(".")[0]
    if name == "json":
        return pl.read_json(_stream().read(), schema=schema)
    if name == "ndjson":
        return pl.scan_ndjson(uri, schema=schema, storage_options=options).collect()
    if name == "parquet":
        return pl.scan_parquet(uri, storage_options=options).collect()
    return pl.scan_csv(uri, infer_schema=False, storage_options=options).collect()


def polars_adbc() -> None:
    """Load with Polars and ADBC."""
    _polars_frame().write_database("peer", os.environ["BENCH_URI"], engine="adbc")


def polars_sqlalchemy() -> None:
    """Load with Polars and SQLAlchemy, which call to_sql of pandas."""
    uri = os.environ["BENCH_URI"].replace("postgresql://", "postgresql+psycopg2://")
    frame = _polars_frame()
    frame.write_database("peer", uri, engine="sqlalchemy", if_table_exists="append")


def _pandas(method: Callable[..., None] | None) -> None:
    import boto3
    import pandas as pd
    import sqlalchemy

    stored = boto3.Session().client("s3").get_object(Bucket=os.environ["LAKE_BUCKET"], Key=os.environ["BENCH_KEY"])
    engine = sqlalchemy.create_engine(os.environ["BENCH_URI"].replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection:
        for chunk in pd.read_csv(stored["Body"], dtype=str, chunksize=CHUNK_ROWS):
            chunk.to_sql("peer", connection, if_exists="append", index=False, method=method)


def pandas() -> None:
    """Load with the defaults of pandas. SQLAlchemy turns its executemany into INSERTs of many rows."""
    _pandas(None)


def pandas_copy() -> None:
    """Load with pandas and the COPY method that its guide recommends for Postgres."""

    def copy(table: Any, connection: Any, keys: list[str], rows: Iterator[Any]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        text.seek(0)
        names = ", ".join(f'"{key}"' for key in keys)
        with connection.connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {table.name} ({names}) FROM STDIN WITH CSV", text)

    _pandas(copy)


def dlt() -> None:
    """Load with dlt: Arrow tables become parquet files, which ADBC loads."""
    import dlt as library

    # dlt loads files of this size concurrently. A single file was half as fast, and CSV files were slower too.
    os.environ |= {"EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": "150000", "RUNTIME__DLTHUB_TELEMETRY": "false"}
    with tempfile.TemporaryDirectory() as folder:
        pipeline = library.pipeline(
            "bench",
            destination=library.destinations.postgres(os.environ["BENCH_URI"]),
            dataset_name="bench",
            pipelines_dir=folder,
        )
        resource = library.resource(_batches(), name="peer")
        pipeline.run(resource, loader_file_format="parquet").raise_on_failed_jobs()


def sling() -> None:
    """Load with Sling. Its program replaces this process."""
    import sling_linux_amd64

    root = os.path.dirname(sling_linux_amd64.__file__)  # noqa: PTH120
    program = os.path.join(root, "bin", "sling-linux-amd64")  # noqa: PTH118
    lake = {
        "type": "s3",
        "bucket": os.environ["LAKE_BUCKET"],
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
        "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "region": os.environ["AWS_REGION"],
    }
    named = "{" + ", ".join(f"{key}: '{value}'" for key, value in lake.items()) + "}"
    os.environ |= {
        "LAKE": named,
        "WAREHOUSE": os.environ["BENCH_URI"] + "?sslmode=disable",
        "SLING_DISABLE_TELEMETRY": "true",
    }
    os.chmod(program, 0o755)  # noqa: PTH101, S103
    arguments = ["run", "--src-conn", "LAKE", "--src-stream", os.environ["BENCH_KEY"]]
    arguments += ["--tgt-conn", "WAREHOUSE", "--tgt-object", "bench.peer", "--mode", "full-refresh"]
    os.execv(program, [program, *arguments])  # noqa: S606


if __name__ == "__main__":
    globals()[sys.argv[1]]()
