import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deployments.child_process import (
    Account,
    ServiceError,
    free_port,
    owned_folder,
    owner_of,
    spawn,
    stop,
    wait_until_ready,
)

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)",
]


def test_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(spawn(SLEEP, environment={}, log=tmp_path / "log")))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert started[0].poll() is None
    stop(started[0])
    assert started[0].returncode == -signal.SIGTERM


def test_stop_kills_a_process_that_does_not_end(tmp_path: Path) -> None:
    process = spawn(STUBBORN, environment={}, log=tmp_path / "log")
    wait_until_ready(process, lambda: (tmp_path / "log").read_text() == "1\n", name="it", log=tmp_path / "log")
    stop(process, patience=0.2)
    assert process.returncode == -signal.SIGKILL


def test_wait_until_ready_shows_the_log_of_a_service_that_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = spawn([sys.executable, "-S", "-c", "import sys; sys.exit('no such luck')"], environment={}, log=log)
    with pytest.raises(ServiceError, match=r"(?s)It ended with status 1 .*no such luck"):
        wait_until_ready(process, lambda: False, name="It", log=log)


def test_wait_until_ready_gives_up_on_a_service_that_does_not_answer(tmp_path: Path) -> None:
    process = spawn(SLEEP, environment={}, log=tmp_path / "log")
    with pytest.raises(ServiceError, match="did not answer within 0 s"):
        wait_until_ready(process, lambda: False, name="It", log=tmp_path / "log", patience=0.1)
    stop(process)


def test_folder_stays_owned_until_the_last_child_has_ended(tmp_path: Path) -> None:
    with owned_folder(tmp_path) as descriptor:
        child = spawn(SLEEP, environment={}, log=tmp_path / "log", keep_open=(descriptor,))
        assert owner_of(tmp_path) == os.getpid()
    assert owner_of(tmp_path) == os.getpid()
    stop(child)
    assert owner_of(tmp_path) is None
    with owned_folder(tmp_path):
        pass


def test_folder_waits_for_the_services_of_a_dead_owner(tmp_path: Path) -> None:
    with owned_folder(tmp_path) as descriptor:
        child = spawn(SLEEP, environment={}, log=tmp_path / "log", keep_open=(descriptor,))
        dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
        dead.wait()
        (tmp_path / "owner").write_text(f"{dead.pid}\n")
    with (
        pytest.raises(ServiceError, match=f"process {dead.pid} or a service of it"),
        owned_folder(tmp_path, patience=0.1),
    ):
        pass
    ending = threading.Timer(0.2, stop, [child])
    ending.start()
    with owned_folder(tmp_path, patience=20):
        assert child.poll() is not None
    ending.join()


def test_free_port_prefers_the_one_asked_for_unless_taken() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", wanted))
        squatter.listen()
        assert free_port(wanted) != wanted


def test_free_port_is_none_that_linux_gives_to_clients_unless_told_otherwise() -> None:
    assert all(1024 < free_port() < 32_768 for _ in range(20))


def test_account_reaches_only_what_the_permission_bits_let_it(tmp_path: Path) -> None:
    stranger = Account(uid=54321, gid=54321)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not stranger.can_reach(closed / "file")
    assert Account(os.getuid(), 54321).can_reach(Path("/") / "file")
    assert stranger.can_reach(Path("/") / "file")
