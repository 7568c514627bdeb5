"""The deadline of Python 3 apps (behaviour.md 6), with a second instead of thirty."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from appengine_channel_emu.host.origins import instances
from tests.host.conftest import logged, visit
from tests.host.test_instance import foreign
from tests.support import parts
from tests.support.processes import left_after, marked
from tests.support.waiting import LONG_ENOUGH, eventually, until

DEADLINE = 1.0
"""Seconds. How soon after it the visitor has an answer is measured by bench/deadline.py; a handler that nobody cuts
takes ten minutes."""

APP = """
    import ctypes, os, socket, subprocess, sys, threading, time
    from time import sleep

    from google.appengine.runtime import DeadlineExceededError

    seen = []

    def spin():
        while True:
            pass

    def wait_for_lock():
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    def swallow():
        try:
            sleep(600)
        except DeadlineExceededError:
            pass
        while True:
            try:
                sleep(600)
            except BaseException:
                pass

    def call_c():
        ctypes.CDLL(None).sleep(600)

    def hold_interpreter():
        ctypes.PyDLL(None).sleep(600)

    def read_socket():
        one, other = socket.socketpair()
        one.recv(1)

    def run_child():
        subprocess.run(["sleep", "600"])

    def sleep_long():
        sleep(600)

    def time_sleep():
        time.sleep(600)

    def catch():
        try:
            time.sleep(600)
        except DeadlineExceededError as error:
            return ("caught: %s" % error).encode()

    def catch_too_broadly():
        try:
            time.sleep(600)
        except Exception:
            return b"an Exception"

    def catch_and_be_slow():
        try:
            time.sleep(600)
        except DeadlineExceededError:
            time.sleep(600)

    def nap():
        time.sleep(float(os.environ["NAP"]))
        return b"slept"

    def note(text):
        with open("notes", "a") as notes:
            notes.write(text)

    def stuck_from_halfway():
        time.sleep(float(os.environ["HALF"]))
        note("halfway")
        wait_for_lock()

    def wait_at_the_gate():
        note("begun")
        while not os.path.exists("gate"):
            sleep(0.01)
        return pid()

    def two_together():
        note("+")
        while len([each for each in open("notes").read() if each == "+"]) < 2:
            sleep(0.01)
        # A third, if it were let in, would come now.
        sleep(0.2)
        note("-")
        return pid()

    def pid():
        return str(os.getpid()).encode()

    def app(environ, start_response):
        body = globals()[environ["PATH_INFO"][1:]]()
        start_response("200 OK", [])
        return [body]
"""

BLOCKED_IN_C = ["wait_for_lock", "call_c", "hold_interpreter", "read_socket", "run_child"]
HEEDING = ["sleep_long", "time_sleep", "spin", "catch_too_broadly"]


@pytest.fixture
def notes(tmp_path):
    """What handlers have noted, in the app's folder."""
    return lambda: (tmp_path / "app" / "notes").read_text() if (tmp_path / "app" / "notes").exists() else ""


@pytest.fixture
def gate(tmp_path):
    """A file for which `wait_at_the_gate` waits."""
    return tmp_path / "app" / "gate"


def timed(backend, path, **fields):
    """The visit, and how long after the deadline it ended."""
    started = time.monotonic()
    page = visit(backend, path, **fields)
    return page, time.monotonic() - started - DEADLINE


def is_cut(page):
    return page.status == 500 and page.cut is True and "did not finish this request within 1 seconds" in page.text


@pytest.mark.parametrize("threadsafe", [True, False])
@pytest.mark.parametrize("handler", HEEDING)
def test_a_handler_that_heeds_the_exception_costs_no_instance(handler, threadsafe, make_backend, capfd, monkeypatch):
    # A busy machine may let it wait for longer than half a second before it can heed anything.
    monkeypatch.setattr(instances, "GRACE_SECONDS", LONG_ENOUGH)
    backend = make_backend(APP, DEADLINE, threadsafe=threadsafe)
    pid = visit(backend, "/pid").text
    page, late = timed(backend, f"/{handler}")
    assert is_cut(page)
    assert 0 <= late < LONG_ENOUGH
    assert visit(backend, "/pid").text == pid
    logged(capfd, "DeadlineExceededError: The overall deadline for responding to the HTTP request was exceeded.")


def test_cpu_tells_a_spin_from_a_sleep(make_backend):
    backend = make_backend(APP, DEADLINE)
    # A ratio: on a busy machine a spin gets only its share.
    spin = visit(backend, "/spin").cpu_seconds
    assert spin > 3 * visit(backend, "/sleep_long").cpu_seconds


@pytest.mark.parametrize("threadsafe", [True, False])
@pytest.mark.parametrize(
    "handler",
    ["swallow", *[pytest.param(each, marks=pytest.mark.slow) for each in ("catch_and_be_slow", *BLOCKED_IN_C)]],
)
def test_a_handler_that_goes_on_costs_the_instance(handler, threadsafe, make_backend, mark):
    backend = make_backend(APP, DEADLINE, threadsafe=threadsafe)
    pid = visit(backend, "/pid").text
    page, late = timed(backend, f"/{handler}")
    assert is_cut(page)
    assert 0 <= late < LONG_ENOUGH
    # On the main thread the signal gets through to all but what never lets go of the interpreter.
    survives = not threadsafe and handler in BLOCKED_IN_C and handler != "hold_interpreter"
    assert (visit(backend, "/pid").text == pid) == survives
    if not survives:
        eventually(lambda: int(pid) in marked(mark), lambda there: not there)
    backend.stop()
    assert not marked(mark)


@pytest.mark.parametrize("threadsafe", [True, False])
def test_a_handler_that_catches_it_has_its_answer_sent(threadsafe, make_backend):
    page, late = timed(make_backend(APP, DEADLINE, threadsafe=threadsafe), "/catch")
    assert (page.status, page.cut) == (200, True)
    assert page.text == "caught: The overall deadline for responding to the HTTP request was exceeded."
    assert 0 <= late < LONG_ENOUGH


def test_a_neighbour_keeps_its_time_and_new_requests_find_a_new_instance(make_backend, mark, notes, gate):
    # The neighbour begins when half of the other's time is over, and still runs when that one is cut.
    backend = make_backend(APP, 3.0, environ={"HALF": "1.5"})
    pid = visit(backend, "/pid").text
    with ThreadPoolExecutor() as pool:
        stuck = pool.submit(visit, backend, "/stuck_from_halfway")
        until(lambda: notes() == "halfway")
        neighbour = pool.submit(visit, backend, "/wait_at_the_gate")
        page = stuck.result()
        assert (page.status, notes()) == (500, "halfwaybegun")
        gate.touch()
        page = neighbour.result()
        assert (page.status, page.text) == (200, pid)
        assert visit(backend, "/pid").text != pid
    eventually(lambda: int(pid) in marked(mark), lambda there: not there)


def test_many_that_overrun_cost_one_instance(make_backend, tmp_path):
    starts = tmp_path / "starts"
    backend = make_backend(APP + f"\n    open({str(starts)!r}, 'a').write('x')\n", DEADLINE)
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda _: timed(backend, "/wait_for_lock"), range(8)))
    assert all(is_cut(page) and late < LONG_ENOUGH for page, late in pages)
    visit(backend, "/pid")
    assert starts.read_text() == "xx"


def test_the_start_of_an_instance_does_not_count(make_backend):
    slow_start = "import time; time.sleep(1.5)\n" + "\n".join(line[4:] for line in APP.splitlines())
    backend = make_backend(slow_start, DEADLINE, start=False)
    assert visit(backend, "/pid").status == 200


@pytest.mark.parametrize("threadsafe", [True, False])
def test_a_handler_that_raises_in_time_is_answered_at_once(threadsafe, make_backend):
    backend = make_backend("def app(environ, start_response):\n    raise ValueError\n", 30.0, threadsafe=threadsafe)
    for _ in range(20):
        page = visit(backend)
        assert "The app raised ValueError" in page.text
        assert page.cut is False


def test_no_deadline_is_no_deadline(make_backend):
    backend = make_backend(APP, None, environ={"NAP": "1.2"})
    assert visit(backend, "/nap").text == "slept"


def test_the_apps_own_page_for_it(make_backend):
    backend = make_backend(APP, DEADLINE, timeout_page=(b"<h1>Too slow</h1>", "text/x-html"))
    for path in ("/sleep_long", "/wait_for_lock"):
        page = visit(backend, path)
        assert (page.status, page.body) == (500, b"<h1>Too slow</h1>")
        assert page.header("Content-Type") == ["text/x-html"]
        assert page.cut is True


def test_an_answer_begun_is_never_sent_in_part(make_backend):
    backend = make_backend(
        """
        import time

        def app(environ, start_response):
            start_response("200 OK", [("X-Begun", "1")])
            yield b"begun"
            time.sleep(600)
        """,
        DEADLINE,
    )
    page = visit(backend)
    assert is_cut(page)
    assert page.header("X-Begun") == []


def test_an_sdk_of_the_apps_own_provides_the_class(make_backend, write_app):
    for name in ("google", "google/appengine"):
        write_app("", "placeholder").parent.joinpath(name).mkdir()
        write_app("", f"{name}/__init__.py")
    runtime = write_app("", "placeholder").parent / "google/appengine/runtime"
    runtime.mkdir()
    write_app("class DeadlineExceededError(BaseException): sdk = 'its own'", "google/appengine/runtime/__init__.py")
    backend = make_backend(APP.replace('"caught: %s" % error', "error.sdk"), DEADLINE)
    assert visit(backend, "/catch").text == "its own"


@pytest.mark.slow
@pytest.mark.parametrize("minor", [minor for minor in range(9, 14) if minor != sys.version_info[1]])
def test_it_holds_under_other_interpreters(minor, make_backend):
    python = str(parts.need(lambda: foreign(minor)))
    threads = make_backend(APP, DEADLINE, python=python)
    main_thread = make_backend(APP, DEADLINE, python=python, threadsafe=False)
    visits = [(threads, "/spin"), (threads, "/catch"), (threads, "/time_sleep"), (main_thread, "/wait_for_lock")]
    pids = [visit(backend, "/pid").text for backend in (threads, main_thread)]
    with ThreadPoolExecutor() as pool:
        spin, catch, sleep, lock = pool.map(lambda pair: timed(*pair)[0], visits)
    assert is_cut(spin)
    assert is_cut(sleep)
    assert is_cut(lock)
    assert catch.text.startswith("caught: The overall deadline")
    assert [visit(backend, "/pid").text for backend in (threads, main_thread)] == pids


# One request at a time


def test_one_request_at_a_time_in_so_many_instances(make_backend, notes):
    backend = make_backend(APP, LONG_ENOUGH, threadsafe=False, instances=2)
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda _: visit(backend, "/two_together"), range(4)))
    assert {page.status for page in pages} == {200}
    assert len({page.text for page in pages}) == 2
    under_way = list(itertools.accumulate({"+": 1, "-": -1}[each] for each in notes()))
    assert (len(under_way), max(under_way)) == (8, 2)


def test_handlers_run_on_the_main_thread_and_one_instance_is_enough_for_one_visitor(make_backend, mark):
    backend = make_backend(
        """
        import os, threading

        def app(environ, start_response):
            start_response("200 OK", [])
            main = threading.current_thread() is threading.main_thread()
            return [repr((main, environ["wsgi.multithread"], os.getpid())).encode()]
        """,
        threadsafe=False,
    )
    answers = {visit(backend).text for _ in range(5)}
    assert len(answers) == 1
    assert answers.pop().startswith("(True, False, ")


def test_who_waits_too_long_for_an_instance_is_told(make_backend, monkeypatch, notes, gate):
    monkeypatch.setattr("appengine_channel_emu.host.origins.instances.QUEUE_SECONDS", 0.3)
    backend = make_backend(APP, LONG_ENOUGH, threadsafe=False, instances=1)
    with ThreadPoolExecutor() as pool:
        busy = pool.submit(visit, backend, "/wait_at_the_gate")
        until(lambda: notes() == "begun")
        page = visit(backend, "/pid")
        assert page.status == 503
        assert "became free within 0.3 seconds" in page.text
        gate.touch()
        assert busy.result().status == 200


# The race at the end of a handler


def enough(outcomes):
    return min(outcomes["ended"], outcomes["struck"]) > 20 and outcomes.total() > 150


def test_the_exception_never_strikes_after_the_handler():
    """Handlers that end at their very deadline: whatever strikes, strikes inside."""
    from appengine_channel_emu.host.runner.deadline import Deadlines

    class Up(BaseException):
        pass

    deadlines = Deadlines(0.004)
    deadlines.error = Up
    outcomes = Counter()
    escaped = []

    def spin(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def thread():
        try:
            while not enough(outcomes):
                try:
                    # Half of them end between the decision to send the exception and its sending.
                    deadlines.run(lambda: spin(0.0045), lambda: time.sleep(0.001))
                except Up:
                    outcomes["struck"] += 1
                else:
                    outcomes["ended"] += 1
                spin(0.003)
        except Up as error:
            escaped.append(error)

    threads = [threading.Thread(target=thread) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not escaped


def test_left_processes_are_seen_by_these_tests(make_backend, mark):
    # That `marked` finds what is there: the supervisor and the app.
    backend = make_backend(APP)
    assert len(marked(mark)) == 2
    assert os.getpid() not in marked(mark)
    backend.stop()
    assert not left_after(mark)
