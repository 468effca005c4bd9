"""The retry policy on the real tasks, with errors that real services raise."""

from collections.abc import Callable
from typing import Any

import prefect
import pytest
from faults.conftest import OLD
from faults.s3_proxy import Exchange, s3_proxy
from prefect.tasks import Task
from psycopg.conninfo import make_conninfo
from sample_dataset import HEADER, THINGS, client, names, put, ref

from deployments.local.embedded import Services
from tasks import load as load_step
from tasks.connections import open_warehouse
from tasks.engine.errors import LakeError, WarehouseError, WarehouseUnavailableError
from tasks.engine.receipts import LoadReceipt
from tasks.engine.warehouse.tables import Connection
from tasks.policy import step

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("prefect_server", "database", "bucket")]


@pytest.fixture
def tries() -> list[int]:
    """Numbers of the tries."""
    return []


def at_once(task: Task[..., Any]) -> Task[..., Any]:
    """The task without a wait between its tries."""
    return task.with_options(retry_delay_seconds=0, retry_jitter_factor=0.0)


def counting(tries: list[int], before: Callable[[int], None] = lambda _: None) -> Task[[], int]:
    """A task with the project's retry policy that reads a number from the warehouse."""

    @step(task_run_name="read_number")
    def read_number() -> int:
        tries.append(len(tries) + 1)
        before(tries[-1])
        with open_warehouse() as connection:
            row = connection.execute("SELECT 7").fetchone()
            return int(row[0]) if row else 0

    return at_once(read_number)


def run(task: Task[..., Any], *arguments: object) -> Any:
    @prefect.flow(name="fault")
    def fault() -> Any:
        return task(*arguments)

    return fault()


def test_wrong_password_is_tried_once(
    services: Services, database: str, tries: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if services.postgres is None:
        pytest.skip("WAREHOUSE_DSN names a server that may ask for no password")
    monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(database, password="another"))
    with pytest.raises(WarehouseError, match=r"28P01.*password authentication failed"):
        run(counting(tries))
    assert tries == [1]


def test_server_that_comes_back_is_tried_again_until_it_answers(services: Services, tries: list[int]) -> None:
    server = services.postgres
    if server is None:
        pytest.skip("WAREHOUSE_DSN names a server that is not ours to stop")

    def before(number: int) -> None:
        if number == 3:
            server.start()

    server.stop("immediate")
    try:
        assert run(counting(tries, before)) == 7
    finally:
        server.start()
    assert tries == [1, 2, 3]


def test_unreachable_server_is_tried_five_times(services: Services, tries: list[int]) -> None:
    server = services.postgres
    if server is None:
        pytest.skip("WAREHOUSE_DSN names a server that is not ours to stop")
    server.stop()
    try:
        with pytest.raises(WarehouseUnavailableError, match=r"\[unreachable\]"):
            run(counting(tries))
    finally:
        server.start()
    assert tries == [1, 2, 3, 4, 5]


def test_key_that_may_not_read_is_tried_once(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(OLD)
    requests = []

    def fault(exchange: Exchange) -> None:
        requests.append(exchange.method)
        exchange.reply(exchange.forward())

    with s3_proxy(client().meta.endpoint_url, fault) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        with pytest.raises(LakeError, match=r"SignatureDoesNotMatch|403"):
            run(at_once(load_step.load_object), THINGS, source)
    assert len(requests) == 1
    assert names(postgres) == []


@pytest.mark.parametrize("status", ["loaded", "replaced"])
def test_object_overwritten_in_mid_read_is_loaded_as_it_is_then(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    direct = client()
    monkeypatch.setenv("MAX_REJECTED_ROWS", "5000")
    if status == "replaced":
        put(OLD)
        run(load_step.load_object, THINGS, ref())
    source = put(HEADER + b"".join(b"%06d %s,\n" % (number, b"x" * 90) for number in range(40_000)))
    reads = []

    def fault(exchange: Exchange) -> None:
        answer = exchange.forward()
        if exchange.method == "GET":
            reads.append(answer.status)
        if reads == [200]:
            direct.put_object(Bucket=source.uri.split("/")[2], Key="2021/04/things.csv", Body=HEADER + b"newest,\n" * 9)
            exchange.reply(answer, only=2_500_000)
        else:
            exchange.reply(answer)

    with s3_proxy(direct.meta.endpoint_url, fault) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        receipt: LoadReceipt = run(at_once(load_step.load_object), THINGS, source)
    assert reads == [200, 412, 200]
    assert (receipt.status, receipt.rows_loaded) == (status, 9)
    assert names(postgres) == ["newest"] * 9
