"""The deadline of a request in the SDK's runtime, and what the app sees of its visitor (Python 2.7; behaviour.md 6).

Each request runs in a thread of its own while the server's thread waits for it: so the visitor gets an answer in time
even from a handler that never ends.
"""

import ctypes
import itertools
import json
import sys
import thread
import time

import runtime_patches

REQUEST_HEADER = "HTTP_CHANNEL_EMU_REQUEST"
RESULT_HEADER = "Channel-Emu-Result"
ERROR_HEADER = "X-Appengine-Error-Code"
TICK_SECONDS = 0.05
CHECK_INTERVAL = sys.getcheckinterval()
HANG_SECONDS = 0.4
"""A worker that does nothing for so long when something is due cannot help itself: C code holds the interpreter."""

_start_thread = thread.start_new_thread
_allocate_lock = thread.allocate_lock
_thread_id = thread.get_ident
_now = time.time
_sleep = time.sleep

_ids = {}
"""What names each request to the emulator, by the thread that handles it."""


def request_id():
    """What names the request that this thread handles; None in a thread that the app has started, and in tasks."""
    return _ids.get(_thread_id())


class RunningRequest(object):
    """One request while it runs. `limit` is in seconds, None for none; `id` names it to the emulator, None for none."""

    def __init__(self, number, limit, id):
        self.number = number
        self.id = id
        self.limit = limit
        self.started = _now()
        self.thread = None
        self.answer = None
        self.raised = False
        self.overran = False
        self.cpu = None
        self.lock = _allocate_lock()
        self.done = _allocate_lock()
        self.done.acquire()

    def finish(self, answer):
        """The first of handler and deadline to come here decides what is answered."""
        with self.lock:
            if self.answer is None:
                self.answer = answer
                self.done.release()


class Deadline(object):
    """Runs requests, with one thread that watches them all."""

    def __init__(self, reporter, grace, error):
        self._reporter = reporter
        self._grace = grace
        self._error = error
        self._numbers = itertools.count(1)
        self._running = {}
        self._idle = _allocate_lock()
        self._idle.acquire()
        _start_thread(self._watch, ())

    def run(self, handle, limit, id=None):
        """What `handle()` returns, and the `RunningRequest`; None instead of the former if it did not end in time."""
        request = RunningRequest(next(self._numbers) & 0xFFFFFFFF, limit, id)
        if limit is not None:
            self._reporter.begin(request.number, limit + HANG_SECONDS)
        try:
            _start_thread(self._handle, (request, handle))
            request.done.acquire()
        finally:
            if limit is not None:
                self._reporter.end(request.number)
        if request.overran:
            self._reporter.leave(lambda: any(not each.overran for each in list(self._running.values())))
        kind, value = request.answer
        if kind == "raised":
            raise value[0], value[1], value[2]
        return value, request

    def _handle(self, request, handle):
        request.thread = _thread_id()
        if request.id is not None:
            _ids[request.thread] = request.id
        self._running[request.number] = request
        self._wake()
        before = cpu_of_this_thread()
        try:
            answer = ("answered", handle())
        except self._error:
            answer = ("answered", None)
        except:
            answer = ("raised", sys.exc_info())
        # The error may still be on its way into this thread: it may interrupt anything from here on but this loop.
        while True:
            try:
                self._running.pop(request.number, None)
                _ids.pop(request.thread, None)
                after = cpu_of_this_thread()
                request.cpu = None if after is None else after - before
                request.finish(answer)
                return
            except self._error:
                pass

    def _wake(self):
        try:
            self._idle.release()
        except thread.error:
            pass

    def _watch(self):
        while True:
            if not self._running:
                self._idle.acquire()
            for request in list(self._running.values()):
                if request.limit is not None:
                    self._check(request, _now() - request.started)
            _sleep(TICK_SECONDS)

    def _check(self, request, held):
        with request.lock:
            if request.answer is not None or held < request.limit:
                return
            if not request.raised:
                request.raised = True
                self._reporter.begin(request.number, self._grace + HANG_SECONDS)
                raise_in_thread(request.thread, self._error)
                return
            if held < request.limit + self._grace:
                return
            # Under the lock, since the thread takes it before it ends: of one that is no more nobody may ask.
            request.cpu = cpu_of_thread(request.thread)
        request.overran = True
        request.finish(("answered", None))


def raise_in_thread(ident, error):
    """Reaches a loop of Python code; not what blocks in C."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_long(ident), ctypes.py_object(error))


class _TimeSpec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


_libc = ctypes.CDLL(None)
_THIS_THREAD = 16 if sys.platform == "darwin" else 3


def cpu_of_this_thread():
    """Seconds of CPU, None where the system does not tell."""
    return _read_clock(_THIS_THREAD)


def cpu_of_thread(ident):
    """The same of another thread that runs."""
    clock = ctypes.c_int()
    try:
        if _libc.pthread_getcpuclockid(ctypes.c_ulong(ident), ctypes.byref(clock)):
            return None
    except AttributeError:
        return None
    return _read_clock(clock.value)


def _read_clock(clock):
    spec = _TimeSpec()
    try:
        if _libc.clock_gettime(clock, ctypes.byref(spec)):
            return None
    except AttributeError:
        return None
    return spec.seconds + spec.nanoseconds * 1e-9


def sleep(seconds):
    """`time.sleep` that wakes often: the deadline's error reaches a thread only between two steps of Python."""
    until = _now() + seconds
    _sleep(min(seconds, TICK_SECONDS))
    while True:
        # The interpreter looks for the error once in a hundred steps.
        for _ in xrange(CHECK_INTERVAL):
            pass
        left = until - _now()
        if left <= 0:
            return
        _sleep(min(left, TICK_SECONDS))


def install(runtime_info, reporter):
    """Wrap the runtime's request handler. Called when the sandbox is closed."""
    import time as time_of_the_app

    from google.appengine.runtime import DeadlineExceededError
    from google.appengine.tools.devappserver2.python.runtime import request_handler

    time_of_the_app.sleep = sleep
    deadline = Deadline(reporter, runtime_info["grace"], DeadlineExceededError)
    call = request_handler.RequestHandler.__call__

    def answer(handler, environ, start_response):
        return _answer(runtime_info, deadline, lambda start: call(handler, environ, start), environ, start_response)

    request_handler.RequestHandler.__call__ = answer


def _answer(runtime_info, deadline, call, environ, start_response):
    front, id = _from_front(runtime_info, environ)
    if front is None:
        runtime_patches.lead_to_front(runtime_info["address"], runtime_info["port"], environ)
    else:
        environ.update(front)
    started = []

    def handle():
        def start(status, headers, exc_info=None):
            started[:] = [status, headers]

        return list(call(start))

    body, request = deadline.run(handle, _limit(runtime_info, environ, front), id)
    failed = body is None or any(name.lower() == ERROR_HEADER.lower() for name, _ in started[1])
    status, headers = started if body is not None else (None, None)
    result = {"cpu": request.cpu, "cut": request.raised}
    if request.raised and failed:
        # Without the runtime's own header, which would make the dev server send another page instead.
        status, headers, body = "500 Internal Server Error", [("Content-Type", "text/plain")], [""]
        result["failure"] = {"kind": "deadline"}
    start_response(status, headers + [(RESULT_HEADER, json.dumps(result))])
    return body


def _from_front(runtime_info, environ):
    """What the emulator says of the visitor, as the runtime's server would, and what names the request to it.

    Nobody else knows the secret: (None, None) for the dev server's own requests, and for what others made up.
    """
    header = environ.pop(REQUEST_HEADER, None)
    if header is None:
        return None, None
    try:
        request_info = json.loads(header)
        secret = request_info["secret"]
    except (ValueError, KeyError, TypeError):
        return None, None
    if not _same(secret.encode("utf-8"), runtime_info["secret"].encode("utf-8")):
        return None, None
    visitor = {"HTTP_X_APPENGINE_" + str(name): value.encode("utf-8") for name, value in request_info["environ"].items()}
    id = request_info.get("request_id")
    return visitor, id and id.encode("ascii")


def _same(one, other):
    """Whether two texts are equal, in a time that does not tell where they differ."""
    if len(one) != len(other):
        return False
    return not sum(ord(a) ^ ord(b) for a, b in zip(one, other))


def _limit(runtime_info, environ, front):
    """Seconds. Tasks and cron have longer; what starts, stops or goes on in the background has no limit."""
    if front is not None:
        return runtime_info["deadline"]
    if runtime_info["deadline"] is None or "HTTP_X_APPENGINE_DEV_REQUEST_TYPE" in environ:
        return None
    if environ.get("PATH_INFO") in ("/_ah/start", "/_ah/stop", "/_ah/warmup"):
        return None
    if "HTTP_X_APPENGINE_QUEUENAME" in environ or "HTTP_X_APPENGINE_CRON" in environ:
        return runtime_info["task_deadline"]
    return runtime_info["deadline"]
