"""Flow `plan`: a dry run of a load."""

from prefect import flow

from tasks.engine.load.plan import Plan
from tasks.extract import list_objects
from tasks.parameters import Dataset, PartitionName, contract_of, named_by_dataset, partition_of
from tasks.plan import report_plan


@flow(name="plan", flow_run_name=named_by_dataset("plan"))
def plan(dataset: Dataset, partition: PartitionName | None = None) -> Plan:
    """Say what a load would read, replace and create, and how the columns match the contract; write nothing.

    Only the beginning of each object is read.

    Args:
        dataset: What would be loaded.
        partition: Of which partition; none for a dataset without.
    """
    contract = contract_of(dataset)
    return report_plan(contract, list_objects(contract, partition_of(contract, partition)))
