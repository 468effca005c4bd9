"""Processes for a test to kill. They are forked from one process, which has imported all flows and made an S3 client.

A fork has its own process id, memory and connections, and needs no time for imports.
"""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import flows

PATIENCE = 120

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    ["sample_dataset", "warm_fork", *(f"flows.{module.stem}" for module in Path(flows.__path__[0]).glob("[!_]*.py"))]
)


class Fork:
    """A process that calls a function.

    Args:
        target: The function of a module. It gets a pipe to this process, and the arguments.
        arguments: The arguments.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        start_server()
        self.pipe, theirs = _forks.Pipe()
        self._process = _forks.Process(target=_call, args=(dict(os.environ), theirs, target, arguments))
        self._process.start()
        theirs.close()

    def receive(self) -> Any:
        """The next object that the process sends."""
        assert self.pipe.poll(PATIENCE), "the process sent nothing"
        try:
            received = self.pipe.recv()
        except EOFError:
            self._process.join(PATIENCE)
            raise AssertionError(f"the process sent nothing and ended with {self._process.exitcode}") from None
        assert not isinstance(received, _Failure), received.text
        return received

    def wait_until_dead(self) -> None:
        """Wait until the process has killed itself."""
        self._process.join(PATIENCE)
        if self._process.exitcode != -signal.SIGKILL:
            sent = self.receive() if self._process.exitcode != 0 else "its work"
            raise AssertionError(f"the process never came to the step. It ended with {sent}")

    def kill(self) -> None:
        """End the process if it still runs."""
        self._process.kill()
        self._process.join(PATIENCE)
        self.pipe.close()


class _Failure:
    def __init__(self, text: str) -> None:
        self.text = text


def start_server() -> None:
    """Start the process that forks, unless it runs."""
    # It does not inherit the path of this process, and ignores modules that it cannot import.
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path


def _call(
    environ: Mapping[str, str],
    pipe: Connection,
    target: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    os.environ.clear()
    os.environ.update(environ)
    try:
        target(pipe, *arguments)
    except BaseException:
        pipe.send(_Failure(traceback.format_exc()))
        raise


def read_prefect_settings() -> None:
    """Read the settings of Prefect again, which Prefect read from an earlier environment when it was imported.

    Only processes that use a Prefect server need it: it costs as much as most of their steps.
    """
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
