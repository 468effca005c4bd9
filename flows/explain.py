"""Flow `explain`: from a row to the lines of objects that it derives from, or from an object to its tables and exports.

In a terminal, `python -m flows.explain` prints the same.
"""

import sys
from typing import Annotated

from pydantic import Field

from tasks.engine.errors import TallyError
from tasks.engine.explain.texts import Section
from tasks.explain import USAGE, explained, pairs_of, report_explanation, terminal_text
from tasks.flow_runs import flow
from tasks.run_summary import Ended, with_summary

Target = Annotated[
    str,
    Field(
        description="Table such as shop_marts.sales, or object s3://bucket/key, or line s3://bucket/key:1234",
        examples=["shop_marts.sales"],
        min_length=1,
    ),
]
Key = Annotated[
    dict[str, str],
    Field(description='Columns that identify the row, with their values: {"day": "2021-04-30"}; empty for an object'),
]


@flow(name="explain", flow_run_name="explain {target}")
@with_summary
def explain(target: Target, key: Key | None = None) -> Ended[list[Section]]:
    """Explain where a row of a staging table or a built table comes from, or where the rows of an object are.

    Args:
        target: Table such as shop_marts.sales, object s3://bucket/key, or line s3://bucket/key:1234.
        key: Columns that identify the row, with their values: {"day": "2021-04-30"}. Leave empty for an object.
    """
    found = report_explanation(target, key or {})
    return Ended(found, found[0].lines[0])


def main(arguments: list[str]) -> int:
    """Print an explanation; the exit code is 0 after a success."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    try:
        print(terminal_text(explained(arguments[0], pairs_of(arguments[1:]))))
    except TallyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
