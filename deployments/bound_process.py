"""Become a command that ends when its parent ends, even where the parent was killed.

Run as a script, before the command itself: `python -I -S bound_process.py PARENT SIGNAL UID GID COMMAND ...`. The
order matters: the kernel forgets the wish of a signal at the parent's death when a process changes its user. A script
of its own, and not code between fork and exec, because callers run threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Give up the privileges, ask for the signal, become the command."""
    parent, signal_number, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:  # it died before the signal was asked for
        sys.exit(f"{command[0]} was not started: its parent, process {parent}, is gone")
    os.execvp(command[0], command)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
