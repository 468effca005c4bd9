"""Find out whether a work pool has a worker that answers, because without one the pool's runs wait."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound


def warning_without_worker(client: SyncPrefectClient, pool: str) -> str | None:
    """Return a warning, with the command that starts a worker, if no worker of a pool is online.

    Args:
        client: Of the server.
        pool: Name of the work pool.
    """
    try:
        kind = client.read_work_pool(pool).type
    except ObjectNotFound:
        return f"warning: work pool {pool} does not exist, so its runs wait. Create it: make deploy"
    if any(worker.status == "ONLINE" for worker in client.read_workers_for_work_pool(pool)):
        return None
    return (
        f"warning: no worker of work pool {pool} is online, so its runs wait. Start one:"
        f" .venv/bin/prefect worker start --pool {pool} --type {kind}"
    )
