"""Flow `reset`: removes a dataset or a partition from the warehouse, so that the next run loads it again."""

from typing import Annotated

from pydantic import Field

from tasks.engine.load.partition_reset import PartitionReset
from tasks.engine.schema.reset import ResetPlan
from tasks.flow_runs import flow
from tasks.parameters import Dataset, PartitionName, contract_of, named_by_dataset, partition_of
from tasks.reset import ended_partition, ended_reset, reset_rows, reset_tables
from tasks.run_summary import Ended, with_summary

DryRun = Annotated[
    bool,
    Field(description="Report what the reset would remove, and remove nothing. Set to false to remove the rows"),
]


@flow(name="reset", flow_run_name=named_by_dataset("reset"))
@with_summary
def reset(
    dataset: Dataset, partition: PartitionName = None, dry_run: DryRun = True
) -> Ended[ResetPlan | PartitionReset]:
    """Drop the tables of a dataset, the tables that derive only from it, and its entries in the ledger.

    The objects and exports in the lake remain. The next run of the dataset's pipeline, or its backfill, loads and
    builds everything again, as on a new warehouse. For a partition, the reset deletes only its rows in the staging
    table. The next backfill loads the partition again or, if the lake holds no object of it, builds its tables without
    rows.

    Args:
        dataset: Dataset to remove, such as orders.
        partition: Partition whose rows to remove: a day such as 2021-04-30, or a month such as 2021-04.
            Empty: the whole dataset.
        dry_run: Report what the reset would remove, and remove nothing. Set to false to remove the rows.
    """
    contract = contract_of(dataset)
    if partition:
        found = reset_rows(contract, partition_of(contract, partition), dry_run=dry_run)
        return ended_partition(found, is_dry=dry_run)
    return ended_reset(reset_tables(contract, dry_run=dry_run), is_dry=dry_run)
