"""An app in the SDK, over HTTP: what it sees, what it is refused, and what is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError

from appengine_channel_emu.host import python27
from tests.legacy_apps.conftest import Watcher, snapshot
from tests.support import parts
from tests.support.emulator import EMU
from tests.support.legacy import APPS, emulated
from tests.support.processes import MARK, kill_emulator_and_supervisors, left_after, marked
from tests.support.waiting import LONG_ENOUGH, eventually


def test_the_app_sees_one_origin(notes, http):
    seen = http.request("GET", f"{notes.url}/environ", headers={"Host": f"localhost:{notes.port}"}).json()
    port = str(notes.port)
    assert seen["url"] == f"http://localhost:{port}/environ"
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"], seen["HTTP_HOST"]) == ("localhost", port, f"localhost:{port}")
    assert seen["DEFAULT_VERSION_HOSTNAME"] == f"localhost:{port}"
    assert (seen["REMOTE_ADDR"], seen["SERVER_SOFTWARE"]) == ("127.0.0.1", "Development/2.0")


def test_forged_headers_gain_nothing(notes, http):
    forged = {
        "X-AppEngine-Fake-Is-Admin": "1",
        "X-AppEngine-User-Is-Admin": "1",
        "X-AppEngine-Remote-Addr": "9.9.9.9",
        "X-Appengine-Dev-Request-Type": "interactive",
        "Channel-Emu-Request": '{"secret": "guessed", "environ": {"REMOTE_ADDR": "9.9.9.9"}}',
    }
    seen = http.request("GET", f"{notes.url}/environ", headers=forged).json()
    assert (seen["REMOTE_ADDR"], seen["USER_IS_ADMIN"], seen["headers"]) == ("127.0.0.1", "0", [])
    answer = http.request("GET", f"{notes.url}/admin", headers=forged)
    assert answer.status == 302
    assert answer.headers["Location"].startswith(f"http://127.0.0.1:{notes.port}/_ah/login?continue=")
    assert http.request("POST", f"{notes.url}/_ah/channel/connected/", fields={"from": "a"}).status == 403


def test_secure_always_is_served_over_http(notes, http):
    """Which is all there is here; presence posts come over http too."""
    seen = http.request("GET", f"{notes.url}/environ")
    assert (seen.status, seen.json()["wsgi.url_scheme"]) == (200, "http")
    assert http.request("GET", f"{notes.url}/admin").status == 302
    Watcher(notes, http).wait_for('"from": "0.1.0.10"')


def test_static_files_and_what_no_handler_takes(notes, http):
    style = http.request("GET", f"{notes.url}/static/style.css")
    assert (style.status, style.headers["Content-Type"]) == (200, "text/css")
    assert http.request("GET", f"{notes.url}/static/none").status == 404


@pytest.fixture
def copy_app(tmp_path, monkeypatch):
    """A copy of an app that a test may change; its modules are compiled, if anybody writes what comes of it."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)

    def copy(name):
        shutil.copytree(APPS / name, tmp_path / "app", ignore=shutil.ignore_patterns("*.pyc"))
        return tmp_path / "app"

    return copy


def test_nothing_is_written_into_the_apps_folder(notes, notes_app, http):
    """No index.yaml and no compiled file, though imports and queries ask for both."""
    for _ in range(2):
        assert http.request("GET", notes.url).status == 200
    assert snapshot(notes_app.folder) == notes_app.files


@pytest.mark.slow
def test_nothing_is_written_into_the_folder_of_a_django_app(copy_app, tmp_path, http):
    app = copy_app("django_board")
    before = snapshot(app)
    with emulated(app, tmp_path / "log") as emulator:
        for _ in range(2):
            assert http.request("GET", emulator.url).status == 200
    assert snapshot(app) == before


@pytest.mark.slow
def test_a_change_of_the_source_is_picked_up(copy_app, tmp_path, http):
    app = copy_app("python25_cgi")
    before = snapshot(app)
    with emulated(app, tmp_path / "log") as emulator:
        for _ in range(2):
            assert b"<title>Shouts" in http.request("GET", emulator.url).data
        assert snapshot(app) == before
        # A file that was not there at the start is part of the change.
        (app / "new.html").write_text((app / "page.html").read_text().replace("<title>Shouts", "<title>Whispers"))
        (app / "main.py").write_text((app / "main.py").read_text().replace("page.html", "new.html"))
        eventually(lambda: http.request("GET", emulator.url).data, lambda page: b"<title>Whispers" in page)


@pytest.mark.slow
def test_arguments_behind_the_dashes_are_dev_appservers(notes, http, tmp_path):
    assert http.request("GET", f"{notes.url}/environ").json()["mood"] == "fine"
    with pytest.raises(AssertionError, match="unrecognized arguments: --no_such_option"):
        emulated(APPS / "webapp2_ndb", tmp_path / "log", "--", "--no_such_option").start()


def test_several_modules_and_dispatch(notes, http):
    assert http.request("GET", f"{notes.url}/private").status == 302
    assert http.request("GET", f"{notes.url}/environ").json()["module"] == "default"
    seen = http.request("GET", f"{notes.url}/worker/environ").json()
    assert (seen["module"], seen["SERVER_PORT"]) == ("worker", str(notes.port))


def fails(*arguments, **environ):
    """What is said, when the emulator cannot start."""
    command = [*EMU, "serve", "--port", "0", "--state-dir", "none", *arguments]
    done = subprocess.run(
        command, cwd=parts.ROOT, capture_output=True, text=True, check=False, timeout=LONG_ENOUGH, env=environ
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


APP = str(APPS / "webapp2_ndb")


def test_without_the_sdk_it_says_what_to_run(tmp_path):
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    said = fails(APP, **environ)
    assert "channel-emu sdk install" in said
    assert "--no-sdk" in said
    assert "channel-emu sdk install" in fails(APP, "--sdk", str(tmp_path), **environ)


def test_without_python27_it_says_what_to_run(tmp_path):
    sdk = str(parts.need(parts.sdk))
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path)}
    assert python27.sources_here()[0].command in fails(APP, "--sdk", sdk, **environ)
    assert "needs Python 2.7" in fails(APP, "--sdk", sdk, "--python", sys.executable, **environ)


def test_a_broken_sdk_is_named(tmp_path):
    sdk = tmp_path / "sdk"
    sdk.mkdir()
    (sdk / "dev_appserver.py").write_text("")
    said = fails(APP, "--sdk", str(sdk), HOME=str(tmp_path), PATH="/usr/bin:/bin")
    assert "broken or too old" in said
    assert "_python_runtime.py is missing" in said


@pytest.mark.slow
def test_an_app_yaml_that_the_sdk_rejects(tmp_path, mark):
    (tmp_path / "app.yaml").write_text("runtime: python27\napi_version: 1\nthreadsafe: true\nhandlers: 7\n")
    with pytest.raises(AssertionError, match="exited with status 1 before it took a request") as failure:
        emulated(tmp_path, tmp_path / "log", environ={MARK: mark}).start()
    _, _, said = str(failure.value).rpartition("channel-emu: ")
    assert "handlers" in said
    assert "app.yaml" in said
    assert "  File " not in said
    assert not left_after(mark)


@pytest.mark.slow
def test_an_app_that_fails_at_import_says_so_and_can_be_fixed(tmp_path, http):
    app = tmp_path / "app"
    shutil.copytree(APPS / "webapp2_ndb", app)
    source = (app / "main.py").read_text()
    (app / "main.py").write_text("import nothing_of_this_name\n" + source)
    with emulated(app, tmp_path / "log") as emulator:
        assert http.request("GET", emulator.url).status == 500
        eventually(emulator.log.read_text, lambda log: "nothing_of_this_name" in log)
        (app / "main.py").write_text(source)
        eventually(lambda: http.request("GET", emulator.url).status, lambda status: status == 200)


def dev_server(mark):
    return [pid for pid, command in marked(mark).items() if "launcher.py" in command and "supervisor.py" not in command]


@pytest.mark.slow
def test_a_dev_server_that_dies_is_started_again(copy_app, tmp_path, http, mark):
    app = copy_app("own_channel")
    before = snapshot(app)
    with emulated(app, tmp_path / "log", environ={MARK: mark}) as emulator:
        assert http.request("GET", emulator.url).status == 200
        os.kill(dev_server(mark)[0], signal.SIGKILL)
        eventually(lambda: http.request("GET", emulator.url).status, lambda status: status == 200)
        assert "dev_appserver.py was killed by SIGKILL; it is started again" in emulator.log.read_text()
    assert not left_after(mark)
    assert snapshot(app) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_the_emulator(number, tmp_path, http, mark):
    """Neither the dev server, nor its instances, nor a handler that hangs; no temporary folder either."""
    temporary = Path(tmp_path / "tmp")
    temporary.mkdir()
    emulator = emulated(APPS / "webapp2_ndb", tmp_path / "log", environ={"TMPDIR": str(temporary), MARK: mark})
    emulator.start()
    assert http.request("GET", emulator.url).status == 200
    watcher = Watcher(emulator, http)
    url = f"{emulator.url}/slow/swallow?watcher={watcher.client_id}"
    stuck = threading.Thread(target=ignoring_errors, args=(http, url))
    stuck.start()
    watcher.wait_for("started")
    assert len(marked(mark)) >= 4
    emulator.kill(number)
    assert not left_after(mark)
    assert not list(temporary.glob("channel-emu-*"))
    stuck.join()


@pytest.mark.slow
def test_nothing_survives_the_emulator_and_its_supervisor(tmp_path, http, mark):
    """Each killed by SIGKILL: the dev server notices by itself."""
    temporary = Path(tmp_path / "tmp")
    temporary.mkdir()
    emulator = emulated(APPS / "own_channel", tmp_path / "log", environ={"TMPDIR": str(temporary), MARK: mark})
    emulator.start()
    assert http.request("GET", emulator.url).status == 200
    kill_emulator_and_supervisors(emulator, mark)
    assert not left_after(mark)
    assert not list(temporary.glob("channel-emu-*"))


def ignoring_errors(http, url):
    with contextlib.suppress(HTTPError):
        http.request("GET", url)
