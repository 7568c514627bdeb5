"""Stands between the emulator and a child process, so that nothing the child started outlives the emulator.

Run as a script: ``python -I -S supervisor.py LIFELINE FDS FOLDER COMMAND...``

LIFELINE
    number of a socket whose other end only the emulator holds. The child's process id is written to it. At end of file,
    because the emulator closed it or died in any way, the child and its descendants are ended.
FDS
    comma-separated numbers of the files the child inherits, or ``-``.
FOLDER
    a folder to remove when all is over, or ``-``.

The child leads a process group of its own. It is ended by SIGTERM, and by SIGKILL 3 seconds later. On Linux the
supervisor is a "child subreaper": descendants that left the group, even as daemons, become its children and are ended
too. It exits with the child's status, or 128 + N when signal N ended the child, as shells do.

The child is started before the slower imports: it waits only for a bare interpreter.
"""

from __future__ import annotations

import os
import sys

GRACE_SECONDS = 3.0
PR_SET_CHILD_SUBREAPER = 36
SIGTERM, SIGKILL = 15, 9


def start(command: list[str], inherited: list[int]) -> int:
    """Starts the command as the leader of a process group and returns its process id."""
    pid = os.fork()
    if pid:
        for fd in inherited:
            os.close(fd)
        return pid
    try:
        os.setpgid(0, 0)
        os.execvp(command[0], command)  # noqa: S606 - it is what the emulator asked for
    except OSError as error:
        os.write(2, f"channel-emu: cannot run {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def become_subreaper() -> None:
    """Adopts orphaned descendants where the system can do that."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    try:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass


class Family:
    """The child and whatever it has started."""

    def __init__(self, child: int) -> None:
        self.child = child
        self.status: int | None = None
        self.any_left = True

    def reap(self) -> None:
        """Collects everything that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.any_left = False
                return
            if pid == 0:
                return
            if pid == self.child:
                code = os.waitstatus_to_exitcode(status)
                self.status = code if code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """Sends a signal to the child's group, and to our children outside it."""
        receivers = [(os.kill, pid) for pid in self._children()]
        for send, pid in [*receivers, (os.killpg, self.child)]:
            try:
                send(pid, number)
            except (ProcessLookupError, PermissionError):
                pass

    def group_is_empty(self) -> bool:
        try:
            os.killpg(self.child, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False

    def ended(self) -> bool:
        self.reap()
        return not self.any_left and self.group_is_empty()

    def _children(self) -> list[int]:
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
                return [int(pid) for pid in file.read().split()]
        except OSError:
            return [self.child] if self.status is None else []


def end(family: Family) -> None:
    """Returns when no process of the family is left."""
    import time

    family.signal(SIGTERM)
    kill_at = time.monotonic() + GRACE_SECONDS
    pause = 0.002
    while not family.ended():
        if time.monotonic() >= kill_at:
            # Again and again: what is killed may leave orphans, and a fork may have been under way.
            family.signal(SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def watch(lifeline: int, family: Family) -> None:
    """Returns when the child has ended, when the emulator has let go, or when we are asked to end."""
    import select
    import signal

    asked: list[int] = []
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    # Not select.select: the lifeline has the number it had in the emulator, which may hold thousands of connections.
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        family.reap()
        if asked or family.status is not None:
            return
        readable = {fd for fd, _ in poll.poll()}
        if woken in readable:
            os.read(woken, 4096)
        if lifeline in readable and emulator_is_gone(lifeline):
            return


def emulator_is_gone(lifeline: int) -> bool:
    try:
        return not os.read(lifeline, 4096)
    except OSError:
        return True


def remove(folder: str) -> None:
    """Removes a folder with all that is in it."""
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                remove(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(folder)
    except OSError:
        pass


def main(arguments: list[str]) -> int:
    lifeline, fds, folder, *command = arguments
    os.set_inheritable(int(lifeline), False)
    family = Family(start(command, [int(fd) for fd in fds.split(",") if fd != "-"]))
    try:
        os.write(int(lifeline), b"%d\n" % family.child)
    except OSError:
        pass  # The emulator is gone already: the first read says so too.
    try:
        become_subreaper()
        watch(int(lifeline), family)
    finally:
        end(family)
    if folder != "-":
        remove(folder)
    return family.status if family.status is not None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
