"""Flow `replay-rejected`: rejected rows go through their contract again, after it was fixed."""

from prefect import flow

from tasks.engine.receipts import ReplayReceipt
from tasks.parameters import Dataset, PartitionName, contract_of, named_by_dataset, partition_of
from tasks.replay import load_rejected, report_replay
from tasks.transform import build_schemas


@flow(name="replay-rejected", flow_run_name=named_by_dataset("replay-rejected"))
def replay_rejected(dataset: Dataset, partition: PartitionName | None = None) -> list[ReplayReceipt]:
    """Load the rejected rows that the contract takes by now; the others stay, and nothing is loaded twice.

    Each object's rows are one transaction with a ledger entry that closes theirs. Run the dataset's pipeline for the
    partitions that are named in the end: it builds what derives from them.

    Args:
        dataset: Whose rows.
        partition: Of which partition; by default of all.
    """
    contract = contract_of(dataset)
    build_schemas([contract], [])
    partition = partition_of(contract, partition) if partition else None
    receipts = load_rejected(contract, partition)
    report_replay(contract, partition, receipts)
    return receipts
