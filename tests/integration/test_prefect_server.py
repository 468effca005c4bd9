from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from uuid import UUID

import httpx
import prefect

CLIENTS = 8
RUNS = 3


def test_flow_runs_use_the_server_of_the_test_session(prefect_server: str) -> None:
    @prefect.flow(name="probe")
    def probe() -> str:
        return str(prefect.runtime.flow_run.id)

    run = probe()
    with prefect.get_client(sync_client=True) as client:
        assert str(client.api_url).rstrip("/") == prefect_server
        assert client.read_flow_run(UUID(run)).state_name == "Completed"


def test_server_accepts_concurrent_requests(prefect_server: str) -> None:
    """Send plain requests like the web interface, which does not repeat a rejected request."""
    with httpx.Client(base_url=prefect_server, timeout=60) as client:
        flow = client.post("/flows/", json={"name": "concurrent"}).json()["id"]

    def create_runs(number: int) -> list[int]:
        codes = []
        with httpx.Client(base_url=prefect_server, timeout=60) as client:
            deployment = client.post("/deployments/", json={"name": f"concurrent-{number}", "flow_id": flow})
            codes.append(deployment.status_code)
            for _ in range(RUNS if deployment.is_success else 0):
                created = client.post(f"/deployments/{deployment.json()['id']}/create_flow_run", json={})
                codes.append(created.status_code)
                if created.is_success:
                    state = {"state": {"type": "COMPLETED"}}
                    codes.append(client.post(f"/flow_runs/{created.json()['id']}/set_state", json=state).status_code)
        return codes

    with ThreadPoolExecutor(CLIENTS) as threads:
        codes = list(chain.from_iterable(threads.map(create_runs, range(CLIENTS))))
    assert codes == [201] * CLIENTS * (1 + 2 * RUNS)
