"""Every start can be stopped at every moment, whatever hangs (behaviour.md 12)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import urllib3

from appengine_channel_emu.broker.store import SqliteStore
from appengine_channel_emu.server import service as service_module
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from tests.server.conftest import ENVIRONMENT
from tests.server.test_parking import Wire
from tests.support.backend import PlayedBackend
from tests.support.emulator import EMU
from tests.support.parts import ROOT
from tests.support.processes import MARK, default_signals, left_after, running_command
from tests.support.waiting import LONG_ENOUGH, until

FULL = bool(os.environ.get("SOAK"))
ROUNDS = 250 if FULL else 4

APP = """
    import time

    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"x"]
"""
HANGS_AT_IMPORT = "import time\ntime.sleep(600)\n"
HANGS_IN_PYTHON = "while True:\n    pass\n"
IGNORES_SIGTERM = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@pytest.fixture
def launch(tmp_path, mark):
    """Start the command, in `tmp_path`; all that it starts carries the mark."""
    started = []

    def start(*arguments):
        environ = ENVIRONMENT | {MARK: mark, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state")}
        process = subprocess.Popen(
            [*EMU, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            cwd=tmp_path,
            preexec_fn=default_signals,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def end(process, number=signal.SIGTERM, seconds=LONG_ENOUGH):
    """Exit code and standard error."""
    process.send_signal(number)
    _, err = process.communicate(timeout=seconds)
    return process.returncode, err


@contextlib.contextmanager
def busy_machine(processes):
    """`processes` others that use all the time there is."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for each in burning:
            each.kill()
            each.wait()


@pytest.mark.soak
@pytest.mark.parametrize("busy", [0, os.cpu_count() if FULL else 1], ids=["quiet", "busy"])
def test_a_sigterm_at_any_moment(launch, tmp_path, mark, busy):
    (tmp_path / "main.py").write_text(textwrap.dedent(APP))
    kinds = (
        ["serve", "--port", "0", "--state-dir", "none"],
        ["serve", "--port", "0", "main:app"],
        ["serve", "--port", "0", "main:app", "--api-port", "0"],
        ["exec", "--", "sleep", "60"],
    )
    rng = random.Random(7 + busy)
    slowest = 0.0
    with busy_machine(busy):
        began = time.monotonic()
        first = launch(*kinds[2])
        first.stdout.readline()
        # From before it has begun until it has been ready for a while, on this machine.
        horizon = 1.3 * (time.monotonic() - began)
        end(first)
        for number in range(ROUNDS):
            process = launch(*kinds[number % len(kinds)])
            moment = rng.uniform(0, horizon)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            asked = time.monotonic()
            code, err = end(process)
            slowest = max(slowest, time.monotonic() - asked)
            # -SIGTERM before Python has got as far as to handle it; 143 is the command's own of `exec`.
            assert code in (0, -signal.SIGTERM, 128 + signal.SIGTERM), (number, moment, err)
            assert "Traceback" not in err, (number, moment, err)
            assert "Stopping waits" not in err, (number, moment, err)
    assert not left_after(mark)
    print(f"the slowest of {ROUNDS} took {slowest:.2f} s")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "number"),
    [
        # Which signal it is, is nothing to the app; how it hangs, nothing to us who get the signal.
        (HANGS_AT_IMPORT, signal.SIGTERM),
        (HANGS_AT_IMPORT, signal.SIGINT),
        (HANGS_AT_IMPORT, signal.SIGHUP),
        (HANGS_IN_PYTHON, signal.SIGINT),
        (IGNORES_SIGTERM + HANGS_AT_IMPORT, signal.SIGTERM),
    ],
    ids=["hangs-term", "hangs-int", "hangs-hup", "spins", "ignores"],
)
def test_while_the_app_is_being_imported(launch, tmp_path, mark, source, number):
    begun = tmp_path / "begun"
    (tmp_path / "main.py").write_text(f"open({str(begun)!r}, 'w').close()\n{source}")
    process = launch("serve", "--port", "0", "main:app")
    until(begun.exists)
    code, err = end(process, number)
    assert code == 0, err
    assert "Stopped before the app could be served" in err
    assert "Traceback" not in err
    assert not left_after(mark)


@pytest.mark.slow
def test_while_a_request_of_the_app_runs_that_heeds_no_signal(launch, tmp_path, mark):
    begun = tmp_path / "begun"
    (tmp_path / "main.py").write_text(
        f"{IGNORES_SIGTERM}import time\ndef app(environ, start_response):\n"
        f"    open({str(begun)!r}, 'w').close()\n    time.sleep(600)\n"
    )
    process = launch("serve", "--port", "0", "main:app", "--request-deadline", "off")
    url = process.stdout.readline().split()[-1]
    visitor = threading.Thread(target=_visit, args=(url,), daemon=True)
    visitor.start()
    until(begun.exists)
    assert end(process)[0] == 0
    visitor.join(LONG_ENOUGH)
    assert not left_after(mark)


def test_nohup_goes_on_after_a_hangup(tmp_path):
    command = f"trap '' HUP; exec {' '.join(EMU)} serve --port 0 --state-dir none"
    with running_command(["sh", "-c", command], stdout=subprocess.PIPE, env=ENVIRONMENT, cwd=ROOT) as process:
        url = process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGHUP)
        assert urllib3.request("GET", f"{url}/_emu/health").status == 200
        process.terminate()
        assert process.wait(LONG_ENOUGH) == 0


@pytest.mark.slow
def test_a_log_that_nobody_reads_stops_nothing(launch):
    process = launch("serve", "--port", "0", "--state-dir", "none")
    url = process.stdout.readline().split()[-1]
    http = urllib3.PoolManager(retries=False)
    # More than any pipe takes.
    for number in range(1500):
        assert http.request("GET", f"{url}/{'x' * 200}/{number}").status == 404
    assert http.request("GET", f"{url}/_emu/health").status == 200
    process.send_signal(signal.SIGTERM)
    # Its reader is back, before anything is lost.
    _, err = process.communicate(timeout=LONG_ENOUGH)
    assert process.returncode == 0
    paths = [line.split()[4] for line in err.splitlines() if " GET /" in line]
    assert paths == [f"/{'x' * 200}/{number}" for number in range(1500)]


@pytest.mark.slow
def test_a_log_that_nobody_reads_keeps_no_process(launch):
    process = launch("serve", "--port", "0", "--state-dir", "none")
    url = process.stdout.readline().split()[-1]
    http = urllib3.PoolManager(retries=False)
    for number in range(600):
        http.request("GET", f"{url}/{'x' * 200}/{number}")
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG_ENOUGH) == 0


SLOW = """
    import sys, threading, time
    from appengine_channel_emu.server import run as module

    module.SLOW_STOP_SECONDS = 0.2
    module.SAME_SIGNAL_SECONDS = float(sys.argv[1])

    def a_stop_that_hangs():
        print("stopping", flush=True)
        sys.stdin.readline()

    with module.Signals(module_numbers) as signals:
        print("ready", flush=True)
        print(signals.wait(), flush=True)
        module.see_the_end(a_stop_that_hangs, signals)
"""


@pytest.fixture
def slow_stop():
    """A process that stops when it is told to on its standard input."""
    started = []

    def start(same_signal_seconds):
        source = textwrap.dedent(SLOW).replace("module_numbers", "[15, 2]")
        process = subprocess.Popen(
            [sys.executable, "-c", source, str(same_signal_seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "15\n"
        assert process.stdout.readline() == "stopping\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_stop_that_takes_long_shows_what_every_thread_does_once_and_goes_on(slow_stop):
    process = slow_stop(60)
    assert "stopping has taken" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)  # So soon after the first it is the same.
    process.send_signal(signal.SIGINT)
    process.stdin.write("now\n")
    process.stdin.flush()
    assert process.wait(LONG_ENOUGH) == 0
    err = process.stderr.read()
    assert "in a_stop_that_hangs" in err
    assert "Thread MainThread:" in err
    assert "\nchannel-emu: stopping" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(slow_stop, number):
    process = slow_stop(0)
    process.send_signal(number)
    assert process.wait(LONG_ENOUGH) == 128 + number
    err = process.stderr.read()
    assert f"ended at once, because {number.name} came while it was stopping" in err


def test_a_stop_takes_less_time_than_docker_gives():
    """It kills a container after ten seconds. What of it each part gets is tried below with less."""
    assert service_module.END_SECONDS < 10


class Hangs(PlayedBackend):
    """A backend whose start or stop hangs until the test lets it go."""

    def __init__(self, start=False, stop=False):
        self.release = threading.Event()
        self.starting = threading.Event()
        self._start, self._stop = start, stop

    def start(self):
        self.starting.set()
        if self._start:
            self.release.wait(LONG_ENOUGH)

    def stop(self):
        if self._stop:
            self.release.wait(LONG_ENOUGH)


@pytest.fixture
def short(monkeypatch):
    """No part of a stop may take long."""
    for name in ("APP_SECONDS", "LOOP_SECONDS", "REQUEST_SECONDS", "TIMER_SECONDS"):
        monkeypatch.setattr(service_module, name, 0.2)
    monkeypatch.setattr("appengine_channel_emu.server.service.LEAST_SECONDS", 0.0)


def running(tmp_path, backend):
    service = Service(Settings(port=0, state_dir=tmp_path / "state"), lambda address: backend)
    service.start()
    return service


def saved(tmp_path):
    """The messages in the store, and whether it was closed in order."""
    store = SqliteStore(tmp_path / "state")
    state = store.load()
    store.close()
    return [text for each in state.sockets for text in each.messages], state.clean


@pytest.mark.parametrize("part", ["app", "loop", "broker's timers", "timers", "request"])
def test_what_hangs_costs_no_message(tmp_path, short, caplog, part):
    backend = Hangs(stop=part == "app")
    service = running(tmp_path, backend)
    release = backend.release
    hung = threading.Event()

    def hang(*arguments):
        hung.set()
        release.wait(LONG_ENOUGH)

    token = service.broker.create_channel("bob").token
    service.broker.open(token)
    service.broker.send_message("bob", "kept")
    wire = Wire(service)
    if part == "loop":
        service._parked_polls.expire_due = hang
    elif part == "broker's timers":
        service.broker.run_due = hang
    elif part == "timers":
        service._timer.at(0, hang)
    elif part == "request":
        service.front._backend.serve = hang
        wire.send("/")
    assert part == "app" or hung.wait(LONG_ENOUGH)
    service.stop()
    release.set()
    wire.close()
    assert saved(tmp_path) == (["kept"], True)


def test_a_stop_while_it_starts(tmp_path):
    backend = Hangs(start=True)
    service = Service(Settings(port=0, state_dir=tmp_path / "state"), lambda address: backend)
    starting = threading.Thread(target=service.start)
    starting.start()
    assert backend.starting.wait(LONG_ENOUGH)
    service.stop()
    backend.release.set()
    starting.join(LONG_ENOUGH)
    assert not starting.is_alive()
    assert not service._ready
    service.stop()  # Again, which does nothing.


def test_a_start_after_the_stop_starts_nothing():
    backend = Hangs()
    service = Service(Settings(port=0, state_dir="none"), lambda address: backend)
    service.stop()
    service.start()
    assert not backend.starting.is_set()


def test_the_port_is_free_at_once_though_a_copy_of_its_descriptor_lives():
    """As one does in a process that is just being started."""
    service = Service(Settings(port=0, state_dir="none"), lambda address: None)
    copies = [os.dup(sock.fileno()) for sock in service._sockets]
    service.start()
    port = service.port
    service.stop()
    try:
        again = Service(Settings(port=port, state_dir="none"), lambda address: None)
        again.stop()
    finally:
        for copy in copies:
            os.close(copy)


@pytest.mark.parametrize("verb", [["wait", "--timeout", "60"], ["tail", "--client-id", "x"], ["send", "x", "y"]])
def test_ctrl_c_of_a_command_that_waits_is_no_traceback(verb):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [*EMU, *verb, "--emulator", address],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=ROOT,
            preexec_fn=default_signals,
        )  # fmt: skip
        with silent.accept()[0]:  # It waits for an answer that never comes.
            assert end(process, signal.SIGINT) == (130, "")


def _visit(url):
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        urllib3.request("GET", url, retries=False, timeout=LONG_ENOUGH)
