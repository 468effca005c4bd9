"""Print the state of all datasets: `make status`.

    python -m deployments.status              prints the state
    python -m deployments.status --html FILE  also writes the page into a file

The command uses the same variables as the other commands. Without `PREFECT_API_URL`, it uses the services of `make up`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.doctor import silent_libraries, stack_variables
from deployments.local.embedded import state_folder
from tasks.engine.errors import TallyError
from tasks.engine.status.page import status_page
from tasks.engine.status.summary import Summary
from tasks.engine.status.text import status_text
from tasks.status import read_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the state; return 1 if the warehouse cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.status", description="Print the state of all datasets."
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write the page into this file")
    asked = parser.parse_args(arguments)
    with silent_libraries(), stack_variables(state_folder()):
        try:
            summary = Summary(read_status.fn())
        except TallyError as error:
            print(f"The state cannot be read: {error}", file=sys.stderr)
            return 1
    print(status_text(summary))
    if asked.html:
        asked.html.write_text(status_page(summary), encoding="utf-8")
        print(f"\nPage: {asked.html}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
