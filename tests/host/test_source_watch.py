"""A change to what an app has read of its own folder is seen by the next request; what it writes costs no instance."""

from __future__ import annotations

import logging
import os
import sqlite3
import time

import pytest

from appengine_channel_emu.host import source_watch
from appengine_channel_emu.host.source_watch import AppFiles, SourceWatch, stamp_of
from tests.host.conftest import visit
from tests.host.test_instance import eventually
from tests.support import parts

READER = """
    import os
    from pathlib import Path

    HERE = Path(__file__).parent
    TEXT = HERE.joinpath({name!r}).read_text()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [("%d %s" % (os.getpid(), TEXT)).encode()]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app").mkdir()
    return tmp_path / "app"


@pytest.fixture
def reader(make_backend, folder):
    """A backend whose app has read the file of this name when it was imported."""

    def make(name, text="one", **fields):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        backend = make_backend(READER.format(name=name), **fields)
        assert visit(backend).text.split()[1] == text
        return backend, path

    return make


def pid(backend, target="/"):
    return visit(backend, target).text.split()[0]


@pytest.mark.parametrize(
    "name",
    ["words.txt", "data.json", "deep/in/views/base.tpl", "VERSION"],
)
def test_a_text_that_the_app_has_read_is_seen_by_the_very_next_request(reader, name):
    backend, path = reader(name)
    for text in ("two", "three"):
        path.write_text(text)
        assert visit(backend).text.endswith(text)


def save_by_rename(path):
    beside = path.with_name(".page.html.swp")
    beside.write_text("other")
    beside.replace(path)


def save_with_an_older_time(path):
    path.write_text("other")
    os.utime(path, (1_000_000_000, 1_000_000_000))


def save_with_the_same_time(path):
    found = path.stat()
    path.write_text("other")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def remove_and_write(path):
    path.unlink()
    path.write_text("other")


@pytest.mark.parametrize("save", [save_by_rename, save_with_an_older_time, save_with_the_same_time, remove_and_write])
def test_however_it_is_saved(reader, save):
    backend, path = reader("page.html")
    save(path)
    assert visit(backend).text.endswith("other")


def test_behind_a_symbolic_link(make_backend, folder, tmp_path):
    for number in (1, 2):
        (tmp_path / f"theme{number}").mkdir()
        (tmp_path / f"theme{number}" / "page.html").write_text("x" * number)
    (folder / "templates").symlink_to(tmp_path / "theme1")
    backend = make_backend(READER.format(name="templates/page.html"))
    assert visit(backend).text.endswith(" x")
    (tmp_path / "theme1" / "page.html").write_text("xxx")
    assert visit(backend).text.endswith(" xxx")
    (folder / "templates").unlink()
    (folder / "templates").symlink_to(tmp_path / "theme2")
    assert visit(backend).text.endswith(" xx")


def test_one_that_vanishes_for_a_moment(reader, monkeypatch):
    """As some editors save: the request that comes in between waits for it."""
    backend, path = reader("page.html")
    before = pid(backend)
    found = path.stat()
    path.unlink()

    def back_again(seconds):
        path.write_text("one")
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    with monkeypatch.context() as patch:
        patch.setattr(source_watch.time, "sleep", back_again)
        assert pid(backend) == before


def test_an_import_that_failed_by_a_text_is_tried_again_when_it_is_saved(make_backend, folder):
    (folder / "config.json").write_text("{")
    backend = make_backend(
        """
        import json
        CONFIG = json.load(open("config.json"))
        MISSING = open("greeting.txt").read()
        def app(environ, start_response):
            start_response("200 OK", [])
            return [MISSING.encode()]
        """
    )
    assert "JSONDecodeError" in visit(backend).text
    (folder / "config.json").write_text("{}")
    assert "greeting.txt" in visit(backend).text
    (folder / "greeting.txt").write_text("hello")
    assert visit(backend).text == "hello"


def test_one_that_was_read_by_a_request(make_backend, folder):
    backend = make_backend(
        """
        import functools, os
        @functools.cache
        def template():
            return open("page.html").read()
        def app(environ, start_response):
            start_response("200 OK", [])
            return [template().encode()]
        """
    )
    (folder / "page.html").write_text("one")
    assert visit(backend).text == "one"
    (folder / "page.html").write_text("three")
    assert visit(backend).text == "three"


WRITER = """
    import json, logging, os, pickle, sqlite3, subprocess, sys, tempfile, threading
    from pathlib import Path

    logging.basicConfig(filename="app.log", level=logging.INFO)
    PAGE = open("page.html").read()
    database = sqlite3.connect("app.db", check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE IF NOT EXISTS visits (number)")
    os.makedirs("cache", exist_ok=True)
    os.makedirs("uploads", exist_ok=True)
    lock = threading.Lock()

    def read_json(name):
        try:
            return json.load(open(name))
        except FileNotFoundError:
            return 0

    # What an earlier process has left.
    read_json("data.json"), read_json("state.json"), read_json("log.txt")

    def app(environ, start_response):
        with lock:
            number = read_json("data.json") + 1
            write(number)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [("%d %d %s" % (os.getpid(), number, PAGE)).encode()]

    def write(number):
        logging.info("visit %d", number)
        database.execute("INSERT INTO visits VALUES (?)", (number,))
        database.commit()
        with open("data.json", "w") as file:
            json.dump(number, file)
        # In one piece, by a rename.
        with tempfile.NamedTemporaryFile("w", dir=".", prefix="new", delete=False) as file:
            json.dump(read_json("state.json") + 1, file)
        os.replace(file.name, "state.json")
        Path("cache", "page%d.html" % (number % 3)).write_text("x" * number)
        Path("cache", "page%d.html" % (number % 3)).read_text()
        Path("cache/gone.html").write_text("x")
        Path("cache/gone.html").read_text()
        os.remove("cache/gone.html")
        Path("uploads", "%d.txt" % number).write_bytes(b"x" * number)
        Path("uploads", "%d.txt" % number).read_bytes()
        with open("session.pickle", "wb") as file:
            pickle.dump(number, file)
        pickle.load(open("session.pickle", "rb"))
        with open("log.txt", "a") as file:
            file.write("1")
        Path("generated%d.py" % (number % 2)).write_text("NUMBER = %d" % number)
        sys.modules.pop("generated%d" % (number % 2), None)
        __import__("generated%d" % (number % 2))
        if not number % 25:
            # Another program's work, on behalf of the app.
            subprocess.run(["sh", "-c", "echo body > style.css"], check=True)
            open("style.css").read()
"""


def test_what_the_app_writes_beside_its_sources_costs_no_instance(make_backend, folder):
    (folder / "page.html").write_text("one")
    backend = make_backend(WRITER)
    first = pid(backend)
    for number in range(2, 102):
        assert visit(backend).text == f"{first} {number} one"
    with sqlite3.connect(folder / "app.db") as database:
        assert database.execute("SELECT count(*) FROM visits").fetchone() == (101,)
    # And what the user saves is seen, whoever wrote it before.
    (folder / "page.html").write_text("the other")
    assert visit(backend).text.endswith("the other")
    second = pid(backend)
    assert second != first
    (folder / "data.json").write_text("500")
    later = time.time() + 60
    os.utime(folder / "data.json", (later, later))
    third, number, _ = visit(backend).text.split(maxsplit=2)
    assert third != second
    assert number == "501"


def test_nor_does_what_one_of_several_instances_writes(make_backend, folder):
    (folder / "data.json").write_text("0")
    backend = make_backend(
        """
        import os
        def app(environ, start_response):
            text = open("data.json").read()
            if environ["QUERY_STRING"]:
                open("data.json", "w").write(environ["QUERY_STRING"])
            start_response("200 OK", [])
            return [b"%d" % os.getpid()]
        """,
        threadsafe=False,
        instances=2,
    )
    instances = backend._origin._instances
    with instances.take() as busy:
        assert busy.failure is None
        second = pid(backend)
        assert len(instances._serving) == 2
    first = pid(backend)
    assert first != second
    for number in range(10):
        # The first is free; the second has read what it writes.
        assert pid(backend, f"/?{'x' * number}") == first
        with instances.take():
            assert pid(backend) == second


def test_a_log_that_the_app_keeps_open_and_shows(make_backend, folder):
    if not os.path.isdir("/proc/self/fd"):
        parts.lacking("only Linux tells what a process has open")
    backend = make_backend(
        """
        import os
        LOG = open("visits.txt", "a")
        def app(environ, start_response):
            text = open("visits.txt").read()
            LOG.write("x")
            LOG.flush()
            later = os.stat("visits.txt").st_mtime + 60
            os.utime(LOG.fileno(), (later, later))
            start_response("200 OK", [])
            return [b"%d %d" % (os.getpid(), len(text))]
        """
    )
    first = pid(backend)
    for number in range(1, 5):
        assert visit(backend).text == f"{first} {number}"


def test_data_that_another_program_writes_and_the_app_reads_each_time(make_backend, folder):
    """It costs a few instances, until it is known that no user saves it."""
    data = folder / "data.json"
    data.write_text("0")
    backend = make_backend(
        """
        import os
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"%d %s" % (os.getpid(), open("data.json", "rb").read())]
        """
    )
    processes = []
    for number in range(12):
        data.write_text("1" * number)
        process, *seen = visit(backend).text.split()
        assert "".join(seen) == "1" * number
        # Once more, so that it is known to be read each time.
        assert pid(backend) == process
        processes.append(process)
    assert len(set(processes)) <= 6
    assert len(set(processes[6:])) == 1


UNWATCHED = [".git/notes.txt", "lib/.cache/x.json", "node_modules/x/package.json", "venv/share/x.txt"]


@pytest.mark.parametrize("name", [*UNWATCHED, "lib/site-packages/x/x.html", "app.log", "logo.png", "old/page.html"])
def test_what_is_no_text_of_the_apps_own(reader, folder, name):
    (folder / "venv").mkdir()
    (folder / "venv" / "pyvenv.cfg").touch()
    backend, path = reader(name, skips=lambda file: file.startswith("old/"))
    before = pid(backend)
    path.write_text("something else")
    assert pid(backend) == before


@pytest.mark.slow
def test_of_very_many_texts_so_many_are_followed_and_that_is_said_once(make_backend, folder, caplog):
    for number in range(5001):
        (folder / f"{number}.txt").touch()
    with caplog.at_level(logging.WARNING):
        backend = make_backend(
            """
            import os
            TEXTS = [open("%d.txt" % number).read() for number in range(5001)]
            def app(environ, start_response):
                start_response("200 OK", [])
                return [b"%d" % os.getpid()]
            """
        )
        before = pid(backend)
        (folder / "5000.txt").write_text("x")
        assert pid(backend) == before
        (folder / "4999.txt").write_text("x")
        eventually(lambda: pid(backend), lambda now: now != before)
        eventually(lambda: caplog.text, lambda text: "more than 5000 files" in text)
    assert caplog.text.count("more than 5000 files") == 1


# In this process


@pytest.fixture
def watched(tmp_path):
    path = tmp_path / "main.py"
    path.write_text("1")
    return path


def watch(path, app=None):
    made = SourceWatch(app)
    made.add({str(path): stamp_of(str(path))}, ())
    return made


def test_looking_takes_a_small_share_of_the_time(watched, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(source_watch.time, "monotonic", lambda: now[0])
    used = iter([0.0, 0.001, 0.001, 0.002])
    monkeypatch.setattr(source_watch.time, "thread_time", lambda: next(used))
    sources = watch(watched)
    now[0] = 1.0
    assert not sources.changed()
    watched.write_text("22")
    now[0] = 1.006
    assert not sources.changed()
    monkeypatch.setattr(source_watch.time, "thread_time", lambda: 0.0)
    now[0] = 1.008
    assert sources.changed()
    assert sources.changed_file == str(watched)


def test_a_text_that_changes_again_and_again_starts_an_instance_now_and_then(tmp_path, monkeypatch, caplog):
    watched, now = tmp_path / "data.json", [1000.0]
    watched.write_text("")
    monkeypatch.setattr(source_watch.time, "monotonic", lambda: now[0])
    app, restarts = AppFiles(), 0
    for number in range(600):  # ten minutes
        sources = watch(watched, app)
        watched.write_text("x" * number)
        now[0] += 1
        restarts += sources.changed()
    assert 20 + 50 <= restarts <= 20 + 60
    assert caplog.text.count("changes again and again") == 1
    now[0] += 16
    sources = watch(watched, app)
    watched.write_text("a user's")
    assert sources.changed()


def test_each_change_of_a_module_counts_however_often_it_is_saved(watched, monkeypatch):
    now, app = [1000.0], AppFiles()
    monkeypatch.setattr(source_watch.time, "monotonic", lambda: now[0])
    app.read_again([str(watched)])
    for number in range(100):
        sources = watch(watched, app)
        watched.write_text("#" * number)
        now[0] += 1
        assert sources.changed()


@pytest.mark.parametrize("seconds", [16, 40])
def test_each_change_of_a_template_counts_as_often_as_people_save(tmp_path, monkeypatch, seconds):
    template, now, app = tmp_path / "page.html", [1000.0], AppFiles()
    template.write_text("")
    monkeypatch.setattr(source_watch.time, "monotonic", lambda: now[0])
    for number in range(1, 100):
        sources = watch(template, app)
        template.write_text("x" * number)
        now[0] += seconds
        assert sources.changed()


def test_a_report_that_nobody_has_read_yet_is_asked_for(watched):
    app = AppFiles()
    sources = watch(watched, app)
    app.report("instance", lambda: app.wrote([str(watched)], time.time()))
    watched.write_text("by the app")
    assert not sources.changed()
    app.report("instance", None)
    os.utime(watched, (time.time() + 9, time.time() + 9))
    assert sources.changed()
