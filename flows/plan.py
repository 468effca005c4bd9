"""Flow `plan`: reports what a load would do, and changes nothing."""

from tasks.engine.load.planned import Plan
from tasks.extract import list_objects
from tasks.flow_runs import flow
from tasks.parameters import Dataset, PartitionName, contract_of, named_by_dataset, partition_of
from tasks.plan import ended_plan, report_plan
from tasks.run_summary import Ended, with_summary


@flow(name="plan", flow_run_name=named_by_dataset("plan"))
@with_summary
def plan(dataset: Dataset, partition: PartitionName = None) -> Ended[Plan]:
    """Report what a load would read, replace and create, and how the columns match the contract; write nothing.

    The flow checks the first rows, and some rows from the middle, of up to 20 objects. `make plan` prints the same.

    Args:
        dataset: Dataset to plan, such as orders.
        partition: Partition to plan: a day such as 2021-04-30, or a month such as 2021-04.
            Leave empty for a dataset without partitions.
    """
    contract = contract_of(dataset)
    return ended_plan(report_plan(contract, list_objects(contract, partition_of(contract, partition))))
