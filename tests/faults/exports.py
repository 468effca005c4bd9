"""An export of two parts with old and new content, and the resulting objects."""

from typing import Any

from sample_dataset import client

from tasks.engine.warehouse.tables import Connection

PART_BYTES = 5 << 20
"""The minimum size of a part in S3, except for the last part."""

_ROWS = "SELECT n AS number, repeat('{}', 1000) AS filler FROM generate_series(1, 6000) AS n ORDER BY n"
OLD = {"query": _ROWS.format("o"), "fingerprint": "old"}
NEW = {"query": _ROWS.format("n"), "fingerprint": "new"}


def entries(postgres: Connection) -> list[tuple[Any, ...]]:
    columns = "export_id, name, uri, source_version, row_count, size_bytes, sha256, fingerprint"
    return postgres.execute(f"SELECT {columns} FROM ledger.exports ORDER BY entry_id").fetchall()


def objects(bucket: str) -> dict[str, str]:
    """ETags of all objects, by key."""
    listed = client().list_objects_v2(Bucket=bucket).get("Contents", [])
    return {item["Key"]: item["ETag"] for item in listed}


def unfinished_uploads(bucket: str) -> list[str]:
    """Keys of unfinished uploads."""
    return [upload["Key"] for upload in client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
