"""Which files of a folder are looked at; what cannot be is said, and nothing fails."""

from __future__ import annotations

import os
import socket

import pytest

from appengine_channel_emu.doctor import sources
from tests.doctor.app_folder import places, seen, topics, written

USE = "from google.appengine.api import channel\nchannel.create_channel('a')\n"


@pytest.mark.parametrize(
    "name",
    ["node_modules/x/a.js", ".git/a.py", "venv/a.py", "lib/site-packages/a.py", ".hidden/a.py"],
)
def test_what_is_not_the_apps_is_left_out(tmp_path, name):
    assert not seen(tmp_path, {name: USE}).sightings


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "bin/activate"])
def test_a_virtual_environment_of_any_name_is_left_out(tmp_path, mark):
    assert not seen(tmp_path, {f"py/{mark}": "", "py/lib/a.py": USE}).sightings


def test_an_sdk_in_the_folder_is_named_and_left_out(tmp_path):
    found = seen(tmp_path, {"google_appengine/dev_appserver.py": "", "google_appengine/a.py": USE, "main.py": USE})
    assert places(found, "sdk_in_folder") == {"google_appengine"}
    assert places(found, "create_channel") == {"main.py:2"}


def test_installed_libraries_are_searched_for_channels(tmp_path):
    found = seen(tmp_path, {"lib/pusher-1.0.dist-info/RECORD": "", "lib/pusher/__init__.py": USE})
    assert places(found, "create_channel") == {"lib/pusher/__init__.py:2"}


def test_links_are_not_followed(tmp_path):
    outside = written(tmp_path / "outside", {"a.py": USE, "b.html": '"/_ah/channel/jsapi"'})
    app = written(tmp_path / "app", {"main.py": USE})
    (app / "shared").symlink_to(outside)
    (app / "page.html").symlink_to(outside / "b.html")
    (app / "loop").symlink_to(app)
    (app / "again.py").symlink_to(app / "main.py")
    (app / "nowhere.py").symlink_to(app / "missing")
    found = seen(app, {})
    assert places(found, "create_channel") == {"main.py:2"}
    assert places(found, "link_elsewhere") == {"shared", "page.html"}
    assert topics(found) == {"create_channel", "link_elsewhere"}


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(tmp_path)
        try:
            listener.bind("socket.html")
        finally:
            os.chdir(here)
        assert places(seen(tmp_path, {}), "file_unreadable") == {"pipe.py", "socket.html"}


def test_a_file_that_is_too_large_is_said(tmp_path):
    assert places(seen(tmp_path, {"all.js": b" " * (sources.LARGEST_FILE + 1)}), "file_too_large") == {"all.js"}


def test_a_folder_without_end_has_one(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MOST_FILES", 3)
    found = seen(tmp_path, {f"{number}.py": USE for number in range(5)})
    assert places(found, "too_many_files") == {"3.py"}
    assert len(places(found, "create_channel")) == 3


@pytest.mark.parametrize(
    ("content", "topic"),
    [
        (b"# -*- coding: nonsense -*-\n" + USE.encode(), "file_encoding"),
        (USE.encode() + b"# caf\xe9\n", "file_encoding"),
        (b"\xef\xbb\xbf" + USE.encode(), None),
        (b"# -*- coding: latin-1 -*-\n" + USE.encode() + b"# caf\xe9\n", None),
    ],
)
def test_encodings(tmp_path, content, topic):
    found = seen(tmp_path, {"main.py": content})
    assert topics(found) == {"create_channel", *([topic] if topic else [])}


def test_pages_in_any_encoding(tmp_path):
    page = '<p>café</p><script src="/_ah/channel/jsapi"></script>'
    found = seen(tmp_path, {"a.html": page.encode("latin-1"), "b.html": page.encode("utf-16")})
    assert places(found, "jsapi") == {"a.html:1", "b.html:1"}
    assert topics(found) == {"jsapi"}


@pytest.mark.parametrize("name", ["a.bin", "image", "main.py"])
def test_binary_files(tmp_path, name):
    found = seen(tmp_path, {name: b"\x7fELF\0\0channel.create_channel(" + bytes(range(256))})
    assert topics(found) <= {"file_unreadable"}


def test_an_expression_without_end_is_no_traceback(tmp_path):
    found = seen(tmp_path, {"main.py": USE + "x = " + "+".join(["channel.create_channel(1)"] * 20_000)})
    assert found.has("create_channel")


def test_names_that_a_terminal_would_obey_are_shown_harmless(tmp_path):
    written(tmp_path, {"a\x1b[31m\n.py": USE})
    os.rename(tmp_path / "a\x1b[31m\n.py", os.fsencode(tmp_path) + b"/\xff\x1b.py")
    (place,) = places(seen(tmp_path, {}), "create_channel")
    assert place.isprintable()


def test_files_without_a_word_of_interest_are_not_parsed(tmp_path, monkeypatch):
    def refuse(text):
        raise AssertionError(text)

    monkeypatch.setattr("appengine_channel_emu.doctor.look.parse_python", refuse)
    assert not seen(tmp_path, {"models.py": "class Thing(object):\n    pass\n" * 100}).sightings
