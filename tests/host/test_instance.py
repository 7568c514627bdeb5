"""The app in its instance: broken, crashed, changed, replaced."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from appengine_channel_emu.host import process
from appengine_channel_emu.host.errors import Overrun
from appengine_channel_emu.host.proxy import ScriptCall
from tests.host.conftest import HELLO, logged, visit
from tests.support import parts
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH, eventually

# While it serves


@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_a_crash_costs_one_request(end, make_backend):
    backend = make_backend(
        HELLO.replace("start_response(", f"environ['PATH_INFO'] == '/die' and {end}\n        start_response(", 1)
    )
    before = visit(backend).text
    died = visit(backend, "/die")
    assert died.status == 502
    assert "closed the connection without an answer" in died.text
    after = eventually(lambda: visit(backend), lambda page: page.status == 200).text
    assert after != before


def test_a_process_that_takes_its_time_to_die_gets_no_further_request(make_backend):
    """It has closed the connection, and would still take others."""
    backend = make_backend(
        """
        import gc, os, socket, threading

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/dying":
                for each in gc.get_objects():
                    if isinstance(each, socket.socket) and not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        each.shutdown(socket.SHUT_RDWR)
                threading.Event().wait()
            start_response("200 OK", [])
            return [b"%d" % os.getpid()]
        """
    )
    before = visit(backend).text
    assert visit(backend, "/dying").status == 502
    assert visit(backend).text != before


@pytest.mark.slow
def test_ten_instances_that_crash_in_a_row_are_followed_by_one_that_serves(make_backend, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "LONGEST_PAUSE", 0.02)
    starts = tmp_path / "starts"
    backend = make_backend(
        f"""
        import os
        with open({str(starts)!r}, "a+") as file:
            file.write("x")
            file.seek(0)
            number = len(file.read())

        def app(environ, start_response):
            if number <= 10:
                os._exit(1)
            start_response("200 OK", [])
            return [b"at last"]
        """
    )
    page = eventually(lambda: visit(backend), lambda page: page.status not in (502, 503))
    assert (page.text, len(starts.read_text())) == ("at last", 11)


def test_an_app_that_crashes_again_and_again_is_not_started_in_a_hot_loop(make_backend, tmp_path):
    starts = tmp_path / "starts"
    backend = make_backend(
        f"""
        import os
        with open({str(starts)!r}, "a") as file:
            file.write("x")

        def app(environ, start_response):
            os._exit(1)
        """
    )
    give_up = time.monotonic() + 2.5
    seen = set()
    while time.monotonic() < give_up:
        page = visit(backend)
        seen.add(page.status)
        time.sleep(0.01)
    assert seen == {502, 503}
    # Pauses of 0, 0.5 and 1 s.
    assert len(starts.read_text()) <= 4
    assert "again and again" in eventually(lambda: visit(backend), lambda page: page.status == 503).text


def test_edited_source_serves_the_next_request_while_older_ones_end(make_backend, write_app, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    older = f"""
        def app(environ, start_response):
            if environ["PATH_INFO"] == "/slow":
                open({str(gate)!r}).read()
            start_response("200 OK", [])
            return [b"older"]
    """
    backend = make_backend(older)
    assert visit(backend).text == "older"
    slow = []
    thread = threading.Thread(target=lambda: slow.append(visit(backend, "/slow")))
    thread.start()
    with gate.open("w"):  # opens when the handler has
        write_app(older.replace('b"older"', 'b"the newer one"'))
        assert visit(backend).text == "the newer one"
        assert not slow
    thread.join(LONG_ENOUGH)
    assert slow[0].text == "older"


def test_every_edit_is_seen_by_the_very_next_request(make_backend, write_app):
    source = """
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"%s"]
    """
    backend = make_backend(source % "")
    for number in range(1, 6):
        write_app(source % ("x" * number))
        assert visit(backend).text == "x" * number


def test_a_module_read_later_is_watched_too(make_backend, write_app):
    write_app("TEXT = b'1'", "late.py")
    backend = make_backend(
        """
        def app(environ, start_response):
            import late
            start_response("200 OK", [])
            return [late.TEXT]
        """
    )
    assert visit(backend).text == "1"
    write_app("TEXT = b'two'", "late.py")
    eventually(lambda: visit(backend), lambda page: page.text == "two")


def test_a_socket_outlives_the_edit(tmp_path):
    app = tmp_path / "main.py"
    app.write_text("def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'1']\n")
    with RunningEmulator("main:app", "--app-dir", str(tmp_path), log=tmp_path / "log") as emulator:
        token = emulator.create_channel("visitor")
        socket = emulator.get_json(f"/_ah/channel/open?channel={token}")["socket"]
        app.write_text(app.read_text().replace("'1'", "'22'"))
        eventually(lambda: emulator.get_json("/"), lambda answer: answer == 22)
        assert emulator.send("visitor", "after the edit") == 1
        poll = emulator.get_json(f"/_ah/channel/poll?socket={socket}&after=0&wait=5")
        assert poll == {"messages": ["after the edit"], "next": 1}


# What a handler may do wrong


def test_a_handler_that_raises(make_backend, capfd):
    backend = make_backend(
        """
        def app(environ, start_response):
            start_response("200 OK", [])
            raise KeyError("a secret of the app's")
        """
    )
    page = visit(backend)
    assert page.status == 500
    assert "The app raised KeyError." in page.text
    # It is the developer's own; and nobody else's.
    assert "a secret of the app's" in page.text
    assert "secret" not in visit(backend, REMOTE_ADDR="192.168.1.7").text
    log = logged(capfd, 'KeyError: "a secret of the app\'s"')
    assert "main.py" in log
    assert "host/runner/" not in log


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        ("return [b'x']", "returned without having called start_response"),
        ("start_response('200 OK', []); return ['text']", "The body must be bytes, not str."),
        ("start_response('OK', []); return []", "is not a status such as"),
        ("start_response(200, []); return []", "is not a status such as"),
        ("start_response('<html>\\u2026' * 20000, []); return []", "is not a status such as"),
        ("start_response('200 OK', [('a b', 'c')]); return []", "is not a header name"),
        ("start_response('200 OK', [('A', 1)]); return []", "The value of the header A is not a string"),
        ("start_response('200 OK', [('A', 'x\\r\\nB: y')]); return []", "The value of the header A is not a string"),
        ("start_response('200 OK', {'A': 'b'}); return []", "is not a header: a pair of name and value"),
        ("start_response('200 OK', []); start_response('200 OK', []); return []", "a second time"),
        ("start_response('200 OK', []); return None", "raised TypeError"),
    ],
)
def test_a_broken_protocol_is_said_in_words(handler, text, make_backend):
    page = visit(make_backend(f"def app(environ, start_response):\n    {handler}\n"))
    assert page.status == 500
    assert text in page.text.replace("&#x27;", "'")
    assert page.header("B") == []


def test_write_and_a_late_start_response_are_the_protocol_too(make_backend):
    backend = make_backend(
        """
        def app(environ, start_response):
            try:
                write = start_response("200 OK", [])
                write(b"begun ")
                raise ValueError
            except ValueError:
                import sys
                start_response("404 Not Found", [("A", "b")], sys.exc_info())
            def body():
                yield b"and ended"
            return body()
        """
    )
    page = visit(backend)
    assert (page.status, page.reason, page.text) == (404, "Not Found", "begun and ended")
    assert page.header("a") == ["b"]


def test_an_answer_of_33_mib_is_refused_and_one_of_32_is_not(make_backend):
    backend = make_backend(
        """
        def app(environ, start_response):
            start_response("200 OK", [])
            return (b"x" * 2**20 for _ in range(int(environ["QUERY_STRING"])))
        """
    )
    page = visit(backend, "/?33")
    assert page.status == 500
    assert "larger than 32 MiB" in page.text
    assert len(visit(backend, "/?32").body) == 32 * 2**20


def test_what_the_app_prints_goes_to_standard_error(make_backend, capfd):
    backend = make_backend(
        """
        print("printed at import")

        def app(environ, start_response):
            print("printed by a handler")
            environ["wsgi.errors"].write("to wsgi.errors\\n")
            start_response("200 OK", [])
            return []
        """
    )
    visit(backend)
    said = ["", ""]

    def read():
        captured = capfd.readouterr()
        said[0] += captured.out
        said[1] += captured.err
        return said[1]

    eventually(read, lambda text: all(line in text for line in ("at import", "by a handler", "to wsgi.errors")))
    assert said[0] == ""


# Whose interpreter


@pytest.mark.parametrize("minor", range(9, 14))
def test_another_interpreter_that_has_nothing_of_ours(minor, make_backend):
    # waitress must be ours there, and nothing else of ours in reach.
    python = parts.need(lambda: foreign(minor))
    backend = make_backend(
        """
        import os, sys

        from google.appengine.api import channel

        def app(environ, start_response):
            start_response("200 OK", [])
            packages = os.path.dirname(os.path.dirname(sys.modules["waitress"].__file__))
            return [repr((sys.version_info[:2], packages in sys.path, channel.MAXIMUM_MESSAGE_LENGTH)).encode()]
        """,
        python=str(python),
    )
    assert visit(backend).text == f"((3, {minor}), False, 32767)"


def foreign(minor):
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for python in sorted(root.glob(f"versions/3.{minor}.*/bin/python3.{minor}")):
        return python
    raise parts.PartMissing(f"no Python 3.{minor} in pyenv: pyenv install 3.{minor}")


def test_an_interpreter_that_cannot_be_run(make_backend):
    page = visit(make_backend(HELLO, python="/no/such/python"))
    assert page.status == 500
    assert "exited with status 127" in page.text


def test_a_temporary_folder_with_a_long_path(make_backend, tmp_path, monkeypatch):
    folder = tmp_path / ("x" * 80)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert visit(make_backend(HELLO)).status == 200


def test_no_process_can_be_started(make_backend, monkeypatch):
    backend = make_backend(HELLO, start=False)

    def no_more(*unused, **also_unused):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr("subprocess.Popen", no_more)
        page = visit(backend)
        assert page.status == 503
        assert "No process can be started for the app: Resource temporarily unavailable." in page.text
    assert visit(backend).status == 200


def test_the_app_finds_its_folder_and_its_own_environment(make_backend, tmp_path):
    backend = make_backend(
        """
        import json, os, sys

        def app(environ, start_response):
            start_response("200 OK", [])
            seen = [os.getcwd(), sys.path[0], os.environ["GREETING"], environ["GREETING"], environ["SERVER_SOFTWARE"]]
            return [json.dumps(seen).encode()]
        """,
        environ={"GREETING": "hello"},
    )
    folder = str(tmp_path / "app")
    assert visit(backend).text == f'["{folder}", "{folder}", "hello", "hello", "Development/2.0"]'


# What the emulator itself posts


def test_a_post_given_up_before_the_deadline_costs_no_instance(make_backend, tmp_path):
    go_on, done = tmp_path / "go-on", tmp_path / "done"
    backend = make_backend(
        f"""
        import os, pathlib, time

        def app(environ, start_response):
            if environ["REQUEST_METHOD"] == "POST":
                while not os.path.exists({str(go_on)!r}):
                    time.sleep(0.01)
                pathlib.Path({str(done)!r}).touch()
            start_response("200 OK", [])
            return [b"%d" % os.getpid()]
        """,
        deadline=60,
    )
    before = visit(backend).text
    with pytest.raises(Overrun):
        backend.post("/_ah/channel/connected/", b"from=a", "application/x-www-form-urlencoded", 0.2)
    assert visit(backend).text == before
    go_on.touch()
    eventually(done.exists, bool)
    assert visit(backend).text == before


def test_a_script_that_is_not_there_is_named_and_harms_no_other(make_backend, write_app):
    """As a handler of app.yaml names it; the module of another has been imported at the start."""
    backend = make_backend(HELLO)
    for target, text in (("nowhere:app", "There is no module 'nowhere'."), ("main:nothing", "has no 'nothing'.")):
        page = visit(backend, script=ScriptCall(target))
        assert page.status == 500
        assert text in page.text.replace("&#x27;", "'")
    assert visit(backend).text.startswith("hello")
    write_app(HELLO, "nowhere.py")
    assert visit(backend, script=ScriptCall("nowhere:app")).text.startswith("hello")
