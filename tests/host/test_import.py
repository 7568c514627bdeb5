"""The import of the app: what is missing, what raises, what hangs, and that it can be fixed."""

from __future__ import annotations

import os
import subprocess
import textwrap

import pytest

from appengine_channel_emu.host.errors import CannotStart, NotImported
from appengine_channel_emu.host.origins import instances
from tests.host.conftest import HELLO, visit
from tests.support.emulator import EMU
from tests.support.parts import ROOT
from tests.support.processes import MARK, left_after, marked
from tests.support.waiting import LONG_ENOUGH, eventually


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere:app", "There is no module 'nowhere'."),
        ("main.inner:app", "There is no module 'main.inner'."),
        ("main:nothing", "The module 'main' has no 'nothing'."),
        ("main:number", "'number' of the module 'main' is not a WSGI application."),
    ],
)
def test_a_target_that_is_not_there(target, text, make_backend):
    with pytest.raises(CannotStart) as raised:
        make_backend("number = 1", target=target)
    assert str(raised.value).startswith(text)
    assert repr(target) in str(raised.value)


def test_the_command_ends_with_status_1_for_it(tmp_path):
    command = [*EMU, "serve", "nowhere:app", "--port", "0"]
    arguments = ["--app-dir", str(tmp_path), "--state-dir", "none"]
    ended = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "channel-emu: There is no module 'nowhere'." in ended.stderr
    assert f"in {tmp_path}; for another folder: --app-dir)" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_module_missing_inside_the_app_is_its_own_failure(make_backend):
    backend = make_backend("import not_installed")
    page = visit(backend)
    assert page.status == 500
    assert "ModuleNotFoundError: No module named 'not_installed'" in page.text


def test_an_app_that_raises_at_import_is_shown_escaped_until_it_is_fixed(make_backend, write_app):
    backend = make_backend("raise ValueError('<script>alert(1)</script>')")
    page = visit(backend, HTTP_ACCEPT="text/html")
    assert page.status == 500
    assert "could not be imported" in page.text
    assert "ValueError: &lt;script&gt;" in page.text
    assert "<script>" not in page.text
    assert "host/runner/" not in page.text, "the traceback begins with the app's own code"
    write_app(HELLO)
    assert visit(backend).text.startswith("hello")


def test_presence_is_told_why_in_one_line(make_backend):
    backend = make_backend("raise ValueError('no\\nsettings')")
    with pytest.raises(NotImported) as raised:
        backend.post("/_ah/channel/connected/", b"", "application/x-www-form-urlencoded", LONG_ENOUGH)
    assert str(raised.value) == "The app could not be imported: ValueError: no."


def test_a_syntax_error_too(make_backend, write_app):
    backend = make_backend("def app(")
    assert "SyntaxError" in visit(backend).text
    write_app(HELLO)
    assert visit(backend).status == 200


def test_a_missing_module_is_noticed_when_it_is_written(make_backend, write_app):
    backend = make_backend("from helper import app")
    assert "No module named" in visit(backend).text
    write_app(HELLO, "helper.py")
    assert visit(backend).status == 200


def test_what_failed_for_want_of_something_else_is_tried_again(make_backend, tmp_path, monkeypatch):
    monkeypatch.setattr(instances, "RETRY_SECONDS", 0.2)
    database = tmp_path / "database"
    backend = make_backend(f"import os\nassert os.path.exists({str(database)!r})\n" + textwrap.dedent(HELLO))
    assert "AssertionError" in visit(backend).text
    database.touch()
    eventually(lambda: visit(backend), lambda page: page.status == 200)


def test_a_failed_import_is_not_tried_again_by_every_request(make_backend, tmp_path):
    imports = tmp_path / "imports"
    backend = make_backend(f"open({str(imports)!r}, 'a').write('x')\nraise ValueError")
    for _ in range(5):
        assert visit(backend).status == 500
    assert imports.read_text() == "x"


def test_an_app_that_exits_at_import(make_backend):
    backend = make_backend("import os; os._exit(7)")
    page = visit(backend)
    assert page.status == 500
    assert "exited with status 7 while it was being imported" in page.text


def test_sys_exit_at_import_is_a_failure_like_others(make_backend):
    assert "SystemExit: 3" in visit(make_backend("import sys; sys.exit(3)")).text


def test_an_import_that_takes_too_long_is_waited_for_by_the_next_request(make_backend, monkeypatch, tmp_path):
    monkeypatch.setattr("appengine_channel_emu.host.origins.instance.START_SECONDS", 0.3)
    gate = tmp_path / "gate"
    waiting = f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n"
    backend = make_backend(waiting + textwrap.dedent(HELLO))
    page = visit(backend)
    assert page.status == 503
    assert "still being imported" in page.text
    gate.touch()
    eventually(lambda: visit(backend), lambda page: page.status == 200)


def test_an_import_that_hangs_can_be_fixed(make_backend, write_app, monkeypatch, mark):
    monkeypatch.setattr("appengine_channel_emu.host.origins.instance.START_SECONDS", 0.3)
    backend = make_backend("import threading; threading.Event().wait()")
    assert visit(backend).status == 503
    write_app(HELLO)
    eventually(lambda: visit(backend), lambda page: page.status == 200)
    # The supervisor and the app: what hung is gone.
    eventually(lambda: marked(mark), lambda found: len(found) == 2)


def test_the_command_can_be_stopped_while_an_import_hangs(tmp_path, mark):
    (tmp_path / "main.py").write_text("import threading\nprint('importing', flush=True)\nthreading.Event().wait()\n")
    command = [*EMU, "serve", "main:app", "--app-dir", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--state-dir", "none"],
        cwd=ROOT,
        env=os.environ | {MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "importing" in line:
            break
    process.terminate()
    out, err = process.communicate(timeout=LONG_ENOUGH)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err
    assert not left_after(mark)
