"""Run a command that ends when its parent ends, even if the parent is killed.

Usage: `python -I -S bound_process.py PARENT SIGNAL UID GID COMMAND ...`. The script drops privileges first and then
sets the parent-death signal, because the kernel clears that signal when a process changes its user. Callers run
threads, so this is a separate script and not code between fork and exec.

A command that a shell starts in the background ignores SIGINT and SIGQUIT, and its children inherit that. The script
therefore restores the signals that end a process. Prefect's worker stops on SIGTERM by sending itself SIGINT.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
ENDING = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def main(arguments: list[str]) -> None:
    """Drop privileges, restore and set signals, and replace this process with the command."""
    parent, signal_number, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before prctl set the signal
        sys.exit(f"{command[0]} was not started: its parent process {parent} has ended")
    os.execvp(command[0], command)  # noqa: S606 - no shell is needed


if __name__ == "__main__":
    main(sys.argv[1:])
