"""What every forked process would load by itself: the modules that flows import late, and boto3's model of S3."""

import importlib

from tasks.engine.lake.client import new_client
from tasks.engine.settings import LakeSettings

LATE = (
    *("boto3.s3.transfer", "iso4217", "msgspec", "polars"),
    *("tasks.engine.sync.parquet_writer", "tasks.engine.formats.parquet_files", "tasks.engine.formats.json_reader"),
    *("tasks.engine.export.pages", "tasks.engine.export.charts"),
)

for name in LATE:
    importlib.import_module(name)
new_client(LakeSettings.model_validate({"bucket": "none", "region": "us-east-1"}))
