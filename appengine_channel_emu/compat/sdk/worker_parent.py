"""The process that the dev server started: it forks workers, and replaces those that overran or died.

Python 2.7, inside the SDK's runtime. The parent listens and never serves; workers accept on its socket. Requests wait
in that socket's queue while a worker is replaced.
"""

import errno
import os
import random
import select
import signal
import socket
import struct
import sys
import thread
import time

from google.appengine.tools.devappserver2 import wsgi_server

# The sandbox, once closed, has replaced them by others.
_write, _read, _exit = os.write, os.read, os._exit
_now, _sleep = time.time, time.sleep
_start_thread = thread.start_new_thread

BEGIN, END, LEAVE = "b", "e", "l"
RECORD = struct.Struct("=cId")
"""What a worker reports: the kind, the request's number, and the seconds until it is overdue."""

LONGEST_PAUSE = 8.0
STEADY_SECONDS = 10.0
BACKLOG = 128
EMPTY_SECONDS = 5.0


class Worker(object):
    """A forked process, as its parent sees it. `due` has the time by which each running request must have ended."""

    def __init__(self, pid):
        self.pid = pid
        self.started = time.time()
        self.due = {}
        self.leaving = False


class Reporter(object):
    """A worker's reports to its parent."""

    def __init__(self, pipe, listeners):
        self._pipe = pipe
        self._listeners = listeners
        self.leaving = False

    def begin(self, number, seconds):
        """Request `number` runs. A worker that says nothing more of it for `seconds` hangs, and is killed."""
        self._write(BEGIN, number, seconds)

    def end(self, number):
        """Request `number` has ended."""
        self._write(END, number, 0.0)

    def leave(self, busy):
        """Accept nothing more, let the parent fork another, and end once `busy()` is false."""
        if self.leaving:
            return
        self.leaving = True
        for listener in self._listeners:
            wsgi_server._SELECT_THREAD.remove_socket(listener)
        self._write(LEAVE, 0, 0.0)
        _start_thread(self._end_when_idle, (busy,))

    def _write(self, kind, number, seconds):
        _write(self._pipe, RECORD.pack(kind, number, seconds))

    @staticmethod
    def _end_when_idle(busy):
        while busy():
            _sleep(0.05)
        # The last answers are on their way to the dev server.
        give_up = _now() + EMPTY_SECONDS
        while _now() < give_up and any(server.requests._connections for server in SERVERS):
            _sleep(0.02)
        _exit(0)


SERVERS = []


def fork_worker(port):
    """Returns in workers only, with their `Reporter`; the process that called stays their parent until it is killed."""
    listeners = _listen(port)
    lifeline, held = os.pipe()
    workers = {}
    crashes = 0
    reporter = _fork(workers, listeners, lifeline, held)
    while reporter is None:
        for worker in _attend(workers):
            if worker.started + STEADY_SECONDS < time.time() or worker.leaving:
                crashes = 0
            else:
                time.sleep(min(LONGEST_PAUSE, 0.25 * 2**crashes))
                crashes += 1
            reporter = _fork(workers, listeners, lifeline, held)
            if reporter:
                break
    return reporter


def _listen(port):
    """Where the runtime's own server would listen: every address of localhost."""
    listeners = []
    found = socket.getaddrinfo("localhost", port, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        if any(listener.getsockname()[0] == address[0] for listener in listeners):
            continue
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except socket.error as error:
            failure = error
            listener.close()
            continue
        listener.listen(BACKLOG)
        listeners.append(listener)
    if not listeners:
        raise failure
    return listeners


def _fork(workers, listeners, lifeline, held):
    """None in the parent; in the worker its `Reporter`."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(writing)
        workers[reading] = Worker(pid)
        return None
    for fd in [reading, held] + list(workers):
        os.close(fd)
    # Or every worker would take the same "random" numbers: the sandbox's os.urandom is made of them.
    random.seed()
    _start_thread(_end_with_parent, (lifeline,))
    reporter = Reporter(writing, listeners)
    _adopt(listeners, reporter)
    return reporter


def _end_with_parent(lifeline):
    """The parent alone holds the other end: at end of file it is gone."""
    while True:
        try:
            if not _read(lifeline, 1):
                _exit(0)
        except EnvironmentError:
            pass


def _adopt(listeners, reporter):
    """Has the runtime's server take over our sockets instead of binding its own."""
    free = list(listeners)

    def start(server):
        for listener in free:
            if listener.getsockname()[0] == server.bind_addr[0]:
                free.remove(listener)
                break
        else:
            raise wsgi_server.BindError("Unable to bind %s:%s" % server.bind_addr)
        server.socket = listener
        server.socket.settimeout(1)
        server.ready = True
        server._start_time = time.time()
        SERVERS.append(server)
        wsgi_server._SELECT_THREAD.add_socket(listener, lambda: accept(server))

    def accept(server):
        # The thread that calls this may have begun to wait before the socket was taken from it.
        if not reporter.leaving:
            server.tick()

    wsgi_server._SingleAddressWsgiServer.start = start
    # A thread does not survive a fork.
    wsgi_server._SELECT_THREAD = wsgi_server.SelectThread()
    wsgi_server._SELECT_THREAD.start()


def _attend(workers):
    """Waits for news of the workers; returns those that a new one is to replace."""
    wanted = []
    dues = [due for worker in workers.values() for due in worker.due.values()]
    timeout = max(0.0, min(dues) - time.time()) if dues else None
    for fd in _readable(workers, timeout):
        worker = workers[fd]
        data = os.read(fd, RECORD.size * 128)
        while data and len(data) % RECORD.size:
            data += os.read(fd, RECORD.size - len(data) % RECORD.size)
        has_left = worker.leaving
        for offset in range(0, len(data), RECORD.size):
            _note(worker, *RECORD.unpack_from(data, offset))
        if worker.leaving and not has_left:
            wanted.append(worker)
        if not data:
            os.close(fd)
            del workers[fd]
            os.waitpid(worker.pid, 0)
            if not worker.leaving:
                wanted.append(worker)
    for worker in workers.values():
        if worker.due and min(worker.due.values()) <= time.time():
            # It hangs in C code that holds the interpreter's lock, so it cannot help itself.
            worker.due.clear()
            if not worker.leaving:
                worker.leaving = True
                wanted.append(worker)
            os.kill(worker.pid, signal.SIGKILL)
    return wanted


def _readable(fds, timeout):
    """Those of `fds` that have something to read after at most `timeout` seconds; None waits for ever."""
    try:
        return select.select(list(fds), [], [], timeout)[0]
    except select.error as error:
        if error.args[0] != errno.EINTR:
            raise
        return []


def _note(worker, kind, number, seconds):
    if kind == BEGIN:
        worker.due[number] = time.time() + seconds
    elif kind == END:
        worker.due.pop(number, None)
    elif kind == LEAVE:
        worker.leaving = True
