"""What every forked process would load by itself: the modules that flows import late, and boto3's model of S3."""

import importlib

from tasks.engine.lake.s3_clients import new_client
from tasks.engine.settings import LakeSettings

LATE = ("boto3.s3.transfer", "msgspec", "tasks.engine.sync.parquet_writer", "tasks.engine.formats.parquet_files")

for name in LATE:
    importlib.import_module(name)
new_client(LakeSettings.model_validate({"bucket": "none", "region": "us-east-1"}))
