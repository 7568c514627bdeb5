"""A temporary folder that is full: a status that says so, for what is sent to the emulator and for what it answers.

The folder is full by a limit of the size of files, which any user may set.
"""

from __future__ import annotations

import resource
import subprocess
import textwrap

import pytest
import urllib3

from tests.support import parts
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH
from tests.support.wire import ask

pytestmark = [
    pytest.mark.slow,
    parts.only_where(hasattr(resource, "prlimit"), "only Linux can change another process's limits"),
]

APP = """
    import os

    def app(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/pid":
            return [b"%d" % os.getpid()]
        return [b"z" * int(environ["QUERY_STRING"] or len(body))]
"""
MIB = 1024 * 1024


@pytest.fixture
def emulator(tmp_path):
    (tmp_path / "main.py").write_text(textwrap.dedent(APP))
    with RunningEmulator("main:app", "--app-dir", str(tmp_path), log=tmp_path / "log") as running:
        yield running
        assert "Traceback" not in running.log.read_text()


def fill(pid):
    """From here on the process can write no file of more than 64 KiB."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))


def instance_of(emulator):
    """The process id of the app's."""
    return int(urllib3.request("GET", f"{emulator.url}/pid").data)


def post(emulator, path, body):
    return urllib3.request("POST", emulator.url + path, body=body, retries=False, timeout=LONG_ENOUGH)


def assert_goes_on(emulator):
    assert post(emulator, "/", b"x" * 100_000).data == b"z" * 100_000
    assert urllib3.request("GET", f"{emulator.url}/_emu/health").status == 200


@pytest.mark.parametrize("path", ["/", "/_emu/messages", "/rpc_http"])
def test_for_a_body_with_a_length(emulator, path):
    fill(emulator.pid)
    for _ in range(3):
        answer = post(emulator, path, b"z" * 3 * MIB)
        assert answer.status == 507
        assert "temporary folder has no room for the body" in answer.data.decode()
        assert "TMPDIR" in answer.data.decode()
    assert_goes_on(emulator)
    assert "no room for the body of a request in the temporary folder" in emulator.log.read_text()


def test_for_a_body_in_chunks(emulator):
    fill(emulator.pid)
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b"z" * MIB + b"\r\n"
    answer = ask(emulator.port, head + chunk * 3 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 507 Insufficient Storage\r\n")
    assert_goes_on(emulator)


def test_for_a_body_that_the_app_is_sent(emulator):
    instance = instance_of(emulator)
    fill(instance)
    answer = post(emulator, "/", b"z" * 3 * MIB)
    assert (answer.status, b"app's temporary folder" in answer.data) == (507, True)
    assert_goes_on(emulator)
    # It is none the worse for it.
    assert instance_of(emulator) == instance


def test_for_the_apps_answer(emulator):
    fill(emulator.pid)
    answer = urllib3.request("GET", f"{emulator.url}/?{5 * MIB}", retries=False, timeout=LONG_ENOUGH)
    assert answer.status == 507
    assert "temporary folder has no room for the app's answer" in answer.data.decode()
    assert_goes_on(emulator)


def test_for_the_answer_of_an_upstream_app(emulator, tmp_path):
    with RunningEmulator("--upstream", emulator.url, log=tmp_path / "front") as front:
        fill(front.pid)
        answer = urllib3.request("GET", f"{front.url}/?{5 * MIB}", retries=False, timeout=LONG_ENOUGH)
        assert answer.status == 507
        assert "no room for the app's answer" in answer.data.decode()
        assert_goes_on(front)


def test_a_folder_that_is_not_there(tmp_path):
    (tmp_path / "main.py").write_text(textwrap.dedent(APP))
    folder = tmp_path / "tmp"
    folder.mkdir()
    environ = {"TMPDIR": str(folder)}
    with RunningEmulator("main:app", "--app-dir", str(tmp_path), log=tmp_path / "log", environ=environ) as emulator:
        assert_goes_on(emulator)
        assert post(emulator, "/", b"z" * 3 * MIB).status == 200
        subprocess.run(["rm", "-r", str(folder)], check=True)
        assert post(emulator, "/", b"z" * 3 * MIB).status == 507
        assert emulator.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
