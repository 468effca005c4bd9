"""Put a file into the lake: `make put FILE=... KEY=...`.

    python -m deployments.put may.csv ferries/2024-05.csv

The command replaces an object with the same key. It uses the same variables as the other commands. Without
`PREFECT_API_URL`, it uses the services of `make up`.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from mimetypes import guess_type
from pathlib import Path

from deployments.doctor import stack_variables
from deployments.local.embedded import state_folder
from tasks.connections import bucket_of, open_lake, value_of
from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.contracts.keys import partition_name
from tasks.engine.errors import TallyError
from tasks.extract import key_template

BLOCK_BYTES = 1 << 20


def put(file: Path, key: str) -> str:
    """Write a file into the lake, and return its address.

    Raises:
        TallyError: The lake refuses the object or does not answer.
        OSError: The file cannot be read.
    """
    address = key.removeprefix("s3://")
    bucket, _, rest = address.partition("/") if address != key else ("", "", key)
    with open_lake(bucket or None) as lake, file.open("rb") as opened:
        blocks = iter(partial(opened.read, BLOCK_BYTES), b"")
        stored = lake.write(rest, blocks, guess_type(rest)[0] or "application/octet-stream")
        return f"{lake.uri(stored.key)}, {stored.size_bytes:,} bytes"


def plans_of(key: str) -> Iterator[str]:
    """Yield the commands that plan a load of the object, one for each dataset whose keys have this form."""
    for contract in contracts().values():
        if arguments := _arguments(contract, key):
            yield f"make plan {arguments}"


def _arguments(contract: Contract, key: str) -> str:
    if contract.prefix_setting is None or bucket_of(contract):
        return ""
    if contract.key_setting is None:
        prefix = value_of(contract.prefix_setting)
        return f"DATASET={contract.dataset}" if key in [prefix + name for name in contract.keys] else ""
    template = key_template(contract)
    if contract.partition is None:
        return f"DATASET={contract.dataset}" if template.matches(key) else ""
    day = template.date_of(key)
    return f"DATASET={contract.dataset} PARTITION={partition_name(day, contract.partition.unit)}" if day else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Put the file; return 1 if it is not in the lake."""
    parser = argparse.ArgumentParser(prog="python -m deployments.put", description="Put a file into the lake.")
    parser.add_argument("file", type=Path, help="a local file")
    parser.add_argument("key", help="the key of the object, such as ferries/2024-05.csv, or s3://bucket/key")
    asked = parser.parse_args(arguments)
    with stack_variables(state_folder()):
        try:
            print(put(asked.file, asked.key))
            commands = list(plans_of(asked.key))
        except (TallyError, OSError) as error:
            print(error, file=sys.stderr)
            return 1
    print(f"Next: {' or '.join(commands)}" if commands else "No contract has a key of this form yet.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
