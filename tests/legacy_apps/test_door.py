"""The SDK's door over HTTP: what the app sees, what it is refused, and what is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError

from tests.legacy_apps.conftest import Watcher
from tests.support import parts
from tests.support.legacy import APPS, emulated
from tests.support.processes import MARK, kill_emulator_and_supervisors, left_after, marked
from tests.support.waiting import LONG_ENOUGH


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


def test_secure_always_is_served_over_http(tmp_path, http):
    """Which is all there is here; presence posts come over http too."""
    app = tmp_path / "app"
    shutil.copytree(APPS / "webapp2_ndb", app)
    text = (app / "app.yaml").read_text()
    (app / "app.yaml").write_text(text.replace("  script: main.app\n", "  script: main.app\n  secure: always\n"))
    with emulated(app, tmp_path / "log") as emulator:
        seen = http.request("GET", f"{emulator.url}/environ")
        assert (seen.status, seen.json()["wsgi.url_scheme"]) == (200, "http")
        assert http.request("GET", f"{emulator.url}/admin").status == 302
        watcher = Watcher(emulator, http)
        watcher.wait_for('{"from": "0.1.0.10", "here": ["watcher"]}')


def test_static_files_and_what_no_handler_takes(notes, http):
    style = http.request("GET", f"{notes.url}/static/style.css")
    assert (style.status, style.headers["Content-Type"]) == (200, "text/css")
    assert http.request("GET", f"{notes.url}/static/none").status == 404


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("name", ["webapp2_ndb", "python25_cgi", "django_board", "own_channel"])
def test_nothing_is_written_into_the_apps_folder(name, tmp_path, http, monkeypatch):
    """No index.yaml and no compiled file, though imports and queries ask for both."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    app = tmp_path / "app"
    shutil.copytree(APPS / name, app, ignore=shutil.ignore_patterns("*.pyc"))
    before = snapshot(app)
    with emulated(app, tmp_path / "log") as emulator:
        for _ in range(2):
            assert http.request("GET", emulator.url).status == 200
    assert snapshot(app) == before


def test_a_change_of_the_source_is_picked_up(tmp_path, http):
    app = tmp_path / "app"
    shutil.copytree(APPS / "python25_cgi", app)
    with emulated(app, tmp_path / "log") as emulator:
        assert b"<title>Shouts" in http.request("GET", emulator.url).data
        # A file that was not there at the start is part of the change.
        (app / "new.html").write_text((app / "page.html").read_text().replace("<title>Shouts", "<title>Whispers"))
        (app / "main.py").write_text((app / "main.py").read_text().replace("page.html", "new.html"))
        give_up = time.monotonic() + 15
        while b"<title>Whispers" not in http.request("GET", emulator.url).data:
            assert time.monotonic() < give_up
            time.sleep(0.2)


def test_arguments_behind_the_dashes_are_dev_appservers(tmp_path, http):
    app = APPS / "webapp2_ndb"
    with emulated(app, tmp_path / "log", "--", "--env_var", "MOOD=fine", "--log_level=debug") as emulator:
        assert http.request("GET", emulator.url).status == 200
    with pytest.raises(AssertionError, match="unrecognized arguments: --no_such_option"):
        emulated(app, tmp_path / "log2", "--", "--no_such_option").start()


def test_several_modules_and_dispatch(tmp_path, http):
    app = tmp_path / "app"
    shutil.copytree(APPS / "webapp2_ndb", app)
    worker = (app / "app.yaml").read_text().replace("\nversion: 1", "\nmodule: worker\nversion: 1", 1)
    (app / "worker.yaml").write_text(worker)
    (app / "dispatch.yaml").write_text('dispatch:\n- url: "*/environ"\n  module: worker\n')
    more = [str(app / "worker.yaml"), str(app / "dispatch.yaml")]
    with emulated(app, tmp_path / "log", "--", *more) as emulator:
        assert http.request("GET", f"{emulator.url}/private").status == 302
        seen = http.request("GET", f"{emulator.url}/environ").json()
        assert (seen["module"], seen["SERVER_PORT"]) == ("worker", str(emulator.port))


def fails(*arguments, **environ):
    """What is said, when the emulator cannot start."""
    command = [sys.executable, "-m", "appengine_channel_emu", "serve", "--port", "0", "--state-dir", "none", *arguments]
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
    assert "pyenv install 2.7.18" in fails(APP, "--sdk", sdk, **environ)
    assert "needs Python 2.7" in fails(APP, "--sdk", sdk, "--python", sys.executable, **environ)


def test_a_broken_sdk_is_named(tmp_path):
    sdk = tmp_path / "sdk"
    sdk.mkdir()
    (sdk / "dev_appserver.py").write_text("")
    said = fails(APP, "--sdk", str(sdk), HOME=str(tmp_path), PATH="/usr/bin:/bin")
    assert "broken or too old" in said
    assert "_python_runtime.py is missing" in said


def test_an_app_yaml_that_the_sdk_rejects(tmp_path, mark):
    (tmp_path / "app.yaml").write_text("runtime: python27\napi_version: 1\nthreadsafe: true\nhandlers: 7\n")
    with pytest.raises(AssertionError, match="exited with status 1 before it took a request") as failure:
        emulated(tmp_path, tmp_path / "log", environ={MARK: mark}).start()
    _, _, said = str(failure.value).rpartition("channel-emu: ")
    assert "handlers" in said
    assert "app.yaml" in said
    assert "  File " not in said
    assert not left_after(mark, 5)


def test_an_app_that_fails_at_import_says_so_and_is_mended(tmp_path, http):
    app = tmp_path / "app"
    shutil.copytree(APPS / "webapp2_ndb", app)
    source = (app / "main.py").read_text()
    (app / "main.py").write_text("import nothing_of_this_name\n" + source)
    with emulated(app, tmp_path / "log") as emulator:
        assert http.request("GET", emulator.url).status == 500
        assert "nothing_of_this_name" in emulator.log.read_text()
        (app / "main.py").write_text(source)
        give_up = time.monotonic() + 15
        while http.request("GET", emulator.url).status != 200:
            assert time.monotonic() < give_up
            time.sleep(0.2)


def dev_server(mark):
    return [pid for pid, command in marked(mark).items() if "launcher.py" in command and "supervisor.py" not in command]


def test_a_dev_server_that_dies_is_started_again(tmp_path, http, mark):
    with emulated(APPS / "own_channel", tmp_path / "log", environ={MARK: mark}) as emulator:
        assert http.request("GET", emulator.url).status == 200
        os.kill(dev_server(mark)[0], signal.SIGKILL)
        give_up = time.monotonic() + 20
        while http.request("GET", emulator.url).status != 200:
            assert time.monotonic() < give_up
            time.sleep(0.2)
        assert "dev_appserver.py was killed by SIGKILL; it is started again" in emulator.log.read_text()
    assert not left_after(mark, 5)


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
    assert not left_after(mark, 5)
    assert not list(temporary.glob("channel-emu-*"))
    stuck.join()


def test_nothing_survives_the_emulator_and_its_supervisor(tmp_path, http, mark):
    """Each killed by SIGKILL: the dev server notices by itself."""
    temporary = Path(tmp_path / "tmp")
    temporary.mkdir()
    emulator = emulated(APPS / "own_channel", tmp_path / "log", environ={"TMPDIR": str(temporary), MARK: mark})
    emulator.start()
    assert http.request("GET", emulator.url).status == 200
    kill_emulator_and_supervisors(emulator, mark)
    assert not left_after(mark, 5)
    assert not list(temporary.glob("channel-emu-*"))


def ignoring_errors(http, url):
    with contextlib.suppress(HTTPError):
        http.request("GET", url)
