"""Flow `reset`: a dataset is removed from the warehouse, so that its next run loads everything again."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from tasks.engine.schema.reset import ResetPlan
from tasks.parameters import Dataset, contract_of, named_by_dataset
from tasks.reset import reset_tables

DryRun = Annotated[bool, Field(description="Only say what would be removed")]


@flow(name="reset", flow_run_name=named_by_dataset("reset"))
def reset(dataset: Dataset, dry_run: DryRun = True) -> ResetPlan:
    """Drop the tables of a dataset, what derives from it alone, and its entries in the ledger; say what goes.

    The objects and exports in the lake stay. The next run of the dataset's pipeline, or its backfill, makes all of it
    again, as on a new warehouse.

    Args:
        dataset: What is removed.
        dry_run: Only say what would be removed; set it to false to remove it.
    """
    return reset_tables(contract_of(dataset), dry_run=dry_run)
