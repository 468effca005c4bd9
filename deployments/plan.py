"""Print what a load would do, without loading: `make plan DATASET=... PARTITION=...`.

    python -m deployments.plan orders 2021-04-30      a partition: a day or a month, as the dataset has it
    python -m deployments.plan commerce_reviews       a dataset without partitions

The command uses the same variables as the other commands. Without `PREFECT_API_URL`, it uses the services of `make up`.
The exit status is 1 if the load would fail.
"""

import argparse
import sys
from collections.abc import Sequence

from deployments.doctor import silent_libraries, stack_variables
from deployments.local.embedded import state_folder
from tasks.connections import bucket_of, open_lake
from tasks.engine.errors import TallyError
from tasks.engine.load.plan_text import terminal_text
from tasks.engine.load.planned import Plan
from tasks.extract import objects_of
from tasks.parameters import contract_of, partition_of
from tasks.plan import planned_loads


def plan_of(dataset: str, partition: str | None) -> Plan:
    """Plan the load of the objects of a dataset or of one of its partitions.

    Raises:
        TallyError: The dataset does not exist, or the lake or the warehouse does not answer.
    """
    contract = contract_of(dataset)
    with open_lake(bucket_of(contract)) as lake:
        found = objects_of(lake, contract, partition_of(contract, partition))
    return planned_loads(contract, found if contract.partition or contract.is_appended else found[:1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the plan; return 1 if the load would fail."""
    parser = argparse.ArgumentParser(prog="python -m deployments.plan", description="Print what a load would do.")
    parser.add_argument("dataset", help="name of the dataset")
    parser.add_argument(
        "partition", nargs="?", help="a month YYYY-MM or a day YYYY-MM-DD, if the dataset has partitions"
    )
    asked = parser.parse_args(arguments)
    with silent_libraries(), stack_variables(state_folder()):
        try:
            plan = plan_of(asked.dataset, asked.partition)
        except TallyError as error:
            print(error, file=sys.stderr)
            return 1
    print(terminal_text(plan))
    return 1 if plan.would_fail else 0


if __name__ == "__main__":
    sys.exit(main())
