"""What a container of a pool reaches, printed as JSON: `python -m tasks.doctor.reach`.

The doctor runs this module in a throw-away container of the image, with the address of the Prefect server that runs
get. The output contains no secret.
"""

import dataclasses
import hashlib
import json
import logging
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from tasks.doctor.blocks import REACH_CHECKS
from tasks.doctor.clear_secrets import known_secrets
from tasks.doctor.server import ROOT, Server
from tasks.engine.doctor.outcomes import Result, examine, ok, problem
from tasks.engine.doctor.report import masked
from tasks.engine.quoting import printable

AREA = "From a container"
PACKAGES = {"flows": "*.py", "tasks": "*.py", "sql": "*.sql"}


def code_digest(root: Path = ROOT) -> str:
    """A digest of the code that runs use: the flows, the tasks and the SQL."""
    digest = hashlib.sha256()
    for package, pattern in PACKAGES.items():
        for file in sorted(path for path in (root / package).rglob(pattern) if "__pycache__" not in path.parts):
            digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def reached() -> list[Result]:
    """Check that the Prefect server, the warehouse and the lake can be reached from here, by the blocks."""
    url = get_current_settings().api.url
    with get_client(sync_client=True) as client:
        if (error := client.api_healthcheck()) is not None:
            text = f"{url} does not answer: {printable(f'{type(error).__name__}: {error}', 500)}"
            step = "Use an address that containers reach: let the server listen on 0.0.0.0, or set TALLY_NETWORKS"
            return [Result(AREA, "Prefect server", problem(text, "a server that answers a container", step))]
        return [
            Result(AREA, "Prefect server", ok(f"{url} answers")),
            *examine(AREA, REACH_CHECKS, Server(client, None)),
        ]


def main() -> None:
    """Print the digest of the code and the results as JSON."""
    logging.disable(logging.INFO)
    results = reached()
    results = masked(results, known_secrets())
    print(json.dumps({"code": code_digest(), "results": [dataclasses.asdict(result) for result in results]}))


if __name__ == "__main__":
    main()
