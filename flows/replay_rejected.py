"""Flow `replay-rejected`: loads rejected rows that a corrected contract accepts."""

from tasks.engine.receipts import ReplayReceipt
from tasks.flow_runs import flow
from tasks.parameters import Dataset, PartitionName, contract_of, named_by_dataset, partition_of
from tasks.replay import ended_replay, load_rejected, report_replay
from tasks.run_summary import Ended, with_summary
from tasks.transform import build_schemas


@flow(name="replay-rejected", flow_run_name=named_by_dataset("replay-rejected"))
@with_summary
def replay_rejected(dataset: Dataset, partition: PartitionName = None) -> Ended[list[ReplayReceipt]]:
    """Load the rejected rows that the contract now accepts. All other rows remain rejected. No row is loaded twice.

    The flow loads the rows of each object in one transaction, together with the ledger entry that closes them. The
    report names the partitions with loaded rows: run the dataset's pipeline for them, to rebuild the derived tables.

    Args:
        dataset: Dataset of the rejected rows, such as orders.
        partition: Partition of the rejected rows: a day such as 2021-04-30, or a month such as 2021-04.
            Empty: all partitions.
    """
    contract = contract_of(dataset)
    build_schemas([contract], [])
    partition = partition_of(contract, partition) if partition else None
    receipts = load_rejected(contract, partition)
    report_replay(contract, partition, receipts)
    return ended_replay(receipts)
