import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deployments.local.child_process import (
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
IGNORES_SIGTERM = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)",
]
PROJECT = Path(__file__).parents[2]
IN_THE_BACKGROUND = """
import signal, sys
from pathlib import Path
from deployments.local.child_process import spawn
ends = [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM]
for number in ends:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, ends)
shown = "import signal as s; print([int(s.getsignal(n) == s.SIG_IGN) for n in (2, 3, 15)], s.pthread_sigmask(0, []))"
sys.exit(spawn([sys.executable, "-S", "-c", shown], environment={}, log=Path(sys.argv[1])).wait())
"""


def test_child_survives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(spawn(SLEEP, environment={}, log=tmp_path / "log")))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert started[0].poll() is None
    stop(started[0])
    assert started[0].returncode == -signal.SIGTERM


def test_child_of_a_process_in_the_background_obeys_the_signals_that_end_a_process(tmp_path: Path) -> None:
    """A shell without job control starts `make up &` with SIGINT and SIGQUIT ignored, and children inherit that."""
    done = subprocess.run([sys.executable, "-c", IN_THE_BACKGROUND, tmp_path / "log"], cwd=PROJECT, check=False)
    assert done.returncode == 0
    assert (tmp_path / "log").read_text() == "[0, 0, 0] set()\n"


def test_stop_kills_a_process_that_ignores_sigterm(tmp_path: Path) -> None:
    process = spawn(IGNORES_SIGTERM, environment={}, log=tmp_path / "log")
    wait_until_ready(process, lambda: (tmp_path / "log").read_text() == "1\n", name="child", log=tmp_path / "log")
    stop(process, timeout=0.2)
    assert process.returncode == -signal.SIGKILL


def test_wait_until_ready_shows_the_log_of_a_service_that_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = spawn([sys.executable, "-S", "-c", "import sys; sys.exit('no disk')"], environment={}, log=log)
    with pytest.raises(ServiceError, match=r"(?s)Service ended with status 1 .*no disk"):
        wait_until_ready(process, lambda: False, name="Service", log=log)


def test_wait_until_ready_fails_for_a_service_that_does_not_respond(tmp_path: Path) -> None:
    process = spawn(SLEEP, environment={}, log=tmp_path / "log")
    with pytest.raises(ServiceError, match="did not respond within 0 s"):
        wait_until_ready(process, lambda: False, name="Service", log=tmp_path / "log", timeout=0.1)
    stop(process)


def test_folder_stays_locked_until_the_last_child_has_ended(tmp_path: Path) -> None:
    with owned_folder(tmp_path) as descriptor:
        child = spawn(SLEEP, environment={}, log=tmp_path / "log", keep_open=(descriptor,))
        assert owner_of(tmp_path) == os.getpid()
    assert owner_of(tmp_path) == os.getpid()
    stop(child)
    assert owner_of(tmp_path) is None
    with owned_folder(tmp_path):
        pass


def test_lock_waits_for_the_services_of_an_owner_that_has_ended(tmp_path: Path) -> None:
    with owned_folder(tmp_path) as descriptor:
        child = spawn(SLEEP, environment={}, log=tmp_path / "log", keep_open=(descriptor,))
        dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
        dead.wait()
        (tmp_path / "owner").write_text(f"{dead.pid}\n")
    with (
        pytest.raises(ServiceError, match=f"process {dead.pid} or one of its services"),
        owned_folder(tmp_path, timeout=0.1),
    ):
        pass
    ending = threading.Timer(0.2, stop, [child])
    ending.start()
    with owned_folder(tmp_path, timeout=20):
        assert child.poll() is not None
    ending.join()


def test_free_port_returns_the_preferred_port_unless_it_is_in_use() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.socket() as other_server:
        other_server.bind(("127.0.0.1", wanted))
        other_server.listen()
        assert free_port(wanted) != wanted


def test_free_port_is_outside_the_default_range_of_client_ports() -> None:
    assert all(1024 < free_port() < 32_768 for _ in range(20))


def test_account_can_reach_only_folders_that_its_permission_bits_allow(tmp_path: Path) -> None:
    other_user = Account(uid=54321, gid=54321)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not other_user.can_reach(closed / "file")
    assert Account(os.getuid(), 54321).can_reach(Path("/") / "file")
    assert other_user.can_reach(Path("/") / "file")
