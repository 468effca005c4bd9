from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from uuid import UUID

import httpx
import prefect

AT_ONCE = 8
EACH = 3


def test_flow_runs_against_the_sessions_own_server(prefect_server: str) -> None:
    @prefect.flow(name="probe")
    def probe() -> str:
        return str(prefect.runtime.flow_run.id)

    run = probe()
    with prefect.get_client(sync_client=True) as client:
        assert str(client.api_url).rstrip("/") == prefect_server
        assert client.read_flow_run(UUID(run)).state_name == "Completed"


def test_runs_that_are_asked_for_at_once_are_all_accepted(prefect_server: str) -> None:
    """As the web interface asks, which does not try again: a plain request."""
    with httpx.Client(base_url=prefect_server, timeout=60) as client:
        flow = client.post("/flows/", json={"name": "at-once"}).json()["id"]

    def ask(number: int) -> list[int]:
        answers = []
        with httpx.Client(base_url=prefect_server, timeout=60) as client:
            deployment = client.post("/deployments/", json={"name": f"at-once-{number}", "flow_id": flow})
            answers.append(deployment.status_code)
            for _ in range(EACH if deployment.is_success else 0):
                created = client.post(f"/deployments/{deployment.json()['id']}/create_flow_run", json={})
                answers.append(created.status_code)
                if created.is_success:
                    state = {"state": {"type": "COMPLETED"}}
                    answers.append(client.post(f"/flow_runs/{created.json()['id']}/set_state", json=state).status_code)
        return answers

    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(chain.from_iterable(threads.map(ask, range(AT_ONCE))))
    assert answers == [201] * AT_ONCE * (1 + 2 * EACH)
