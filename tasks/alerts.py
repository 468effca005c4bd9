"""Events that a run sends to the Prefect server when an operator should know something.

`make deploy` registers automations that turn these events into notifications (`deployments/alerts.py`). Each event has
the dataset or pipeline as its resource, and the facts for the notification in its payload. Prefect adds the flow run.
"""

from prefect.events import emit_event

from tasks.contracts import Contract
from tasks.engine.backfill.planner import BackfillPlan
from tasks.engine.quoting import MESSAGE_LIMIT, printable
from tasks.engine.receipts import LoadReceipt
from tasks.engine.settings import RunSettings

LOAD_UNBALANCED = "tally.load.unbalanced"
BUDGET_NEARLY_USED = "tally.load.budget-nearly-used"
VOLUME_UNUSUAL = "tally.load.volume-unusual"
FRESHNESS_MISSED = "tally.freshness.missed"
CATCH_UP_CHANGED = "tally.catch-up.changed"

BUDGET_SHARE = 0.8
"""Share of the error budget from which the budget is nearly used."""

SHOWN = 10
"""Number of partitions that the event of a catch-up names."""


def send_alert(event: str, name: str, finding: str, next_step: str, *, partition: str = "") -> None:
    """Send one event.

    Args:
        event: Name of the event.
        name: Dataset, source or pipeline that the event is about.
        finding: What was found and where. It must not contain values of rows.
        next_step: What the operator does next.
        partition: Partition that the event is about.
    """
    emit_event(
        event,
        resource={
            "prefect.resource.id": f"tally.dataset.{name}",
            "prefect.resource.name": name,
            "tally.partition": partition,
        },
        payload={"finding": printable(finding, MESSAGE_LIMIT), "next_step": next_step},
    )


def send_load_alerts(contract: Contract, load: LoadReceipt, settings: RunSettings) -> None:
    """Send the events of one load: an unusual volume, and an error budget that is nearly used."""
    for warning in load.warnings:
        send_alert(
            VOLUME_UNUSUAL,
            load.dataset,
            warning,
            f"Ask the supplier. If this number of rows is normal, set `volume` in the contract of {contract.dataset}.",
            partition=load.partition,
        )
    allowed = settings.rejected_allowed(load.rows_read)
    if load.rows_rejected and load.rows_rejected >= BUDGET_SHARE * allowed:
        send_alert(
            BUDGET_NEARLY_USED,
            load.dataset,
            f"{load.source_uri}: {load.rows_rejected:,} of {load.rows_read:,} rows were rejected, and the error budget"
            f" is {allowed:,} rows. The object was loaded.",
            f"Look at ledger.rejected_rows for load {load.load_id}, then correct the object or the contract. The next"
            " object with more rejected rows is not loaded.",
            partition=load.partition,
        )


def send_balance_alert(load: LoadReceipt, finding: str) -> None:
    """Send the event of a load whose counts differ between the ledger and the table."""
    send_alert(
        LOAD_UNBALANCED,
        load.dataset,
        finding,
        f"Find the other writer of {load.table}, then run the partition again with force.",
        partition=load.partition,
    )


def send_catch_up_alert(pipeline: str, plan: BackfillPlan) -> None:
    """Send the event of a catch-up that found partitions to load; a plan without such partitions sends nothing."""
    due = [planned for planned in plan.partitions if planned.partition in plan.due]
    if not due:
        return
    named = [f"{planned.partition} ({planned.state})" for planned in due[:SHOWN]]
    more = f" and {len(due) - SHOWN:,} more" if len(due) > SHOWN else ""
    send_alert(
        CATCH_UP_CHANGED,
        pipeline,
        f"The catch-up of {pipeline} loads or builds {len(due):,} partitions: {', '.join(named)}{more}.",
        "Look at the report of the run: the figures of these partitions change.",
    )
