from uuid import UUID

import prefect


def test_flow_runs_against_the_sessions_own_server(prefect_server: str) -> None:
    @prefect.flow(name="probe")
    def probe() -> str:
        return str(prefect.runtime.flow_run.id)

    run = probe()
    with prefect.get_client(sync_client=True) as client:
        assert str(client.api_url).rstrip("/") == prefect_server
        assert client.read_flow_run(UUID(run)).state_name == "Completed"
