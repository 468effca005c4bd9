"""A Prefect flow without a step: what any run costs."""

from prefect import flow


@flow(name="empty")
def empty() -> None:
    """Do nothing."""
