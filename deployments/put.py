"""Put a local file into the lake: `make put FILE=2021-04.csv KEY=parcels/2021-04.csv`, or the command of this module.

python -m deployments.put 2021-04.csv parcels/2021-04.csv
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.doctor import stack_variables
from deployments.local.embedded import state_folder
from tasks.connections import open_lake
from tasks.engine.errors import TallyError, errors_at


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload one file; return 1 if the file or the bucket is missing."""
    parser = argparse.ArgumentParser(prog="python -m deployments.put", description="Put a local file into the lake.")
    parser.add_argument("file", type=Path, help="path of the file")
    parser.add_argument("key", help="key of the object in the bucket, or s3://bucket/key")
    given = parser.parse_args(arguments)
    bucket, _, key = given.key.removeprefix("s3://").partition("/")
    is_address = given.key.startswith("s3://")
    if not given.file.is_file():
        print(f"expected a file, found none at {given.file}", file=sys.stderr)
        return 1
    try:
        with stack_variables(state_folder()), open_lake(bucket if is_address else None) as lake:
            uri = lake.uri(key if is_address else given.key)
            with errors_at(uri):
                lake.client.upload_file(str(given.file), lake.bucket, key if is_address else given.key)
    except TallyError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Put {given.file} to {uri}, {given.file.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
