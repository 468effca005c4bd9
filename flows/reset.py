"""Flow `reset`: removes a dataset from the warehouse, so that the next run loads it again."""

from typing import Annotated

from pydantic import Field

from tasks.engine.schema.reset import ResetPlan
from tasks.flow_runs import flow
from tasks.parameters import Dataset, contract_of, named_by_dataset
from tasks.reset import ended_reset, reset_tables
from tasks.run_summary import Ended, with_summary

DryRun = Annotated[
    bool,
    Field(description="Report what the reset would remove, and remove nothing. Set to false to remove the dataset"),
]


@flow(name="reset", flow_run_name=named_by_dataset("reset"))
@with_summary
def reset(dataset: Dataset, dry_run: DryRun = True) -> Ended[ResetPlan]:
    """Drop the tables of a dataset, the tables that derive only from it, and its entries in the ledger.

    The objects and exports in the lake remain. The next run of the dataset's pipeline, or its backfill, loads and
    builds everything again, as on a new warehouse.

    Args:
        dataset: Dataset to remove, such as orders.
        dry_run: Report what the reset would remove, and remove nothing. Set to false to remove the dataset.
    """
    return ended_reset(reset_tables(contract_of(dataset), dry_run=dry_run), is_dry=dry_run)
