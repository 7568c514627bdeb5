"""Apps for Python 2.5: what that runtime had and the SDK no longer has."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.support.legacy import APPS, emulated
from tests.support.waiting import eventually

APP = APPS / "python25_django"
CHOICE = "use_library('django', '1.2')"


def page(http, emulator, path="/", **headers):
    answer = http.request("GET", emulator.url + path, headers=headers)
    assert answer.status == 200, emulator.log.read_text()
    return answer.data.decode()


def app_that_asks_for(version, tmp_path):
    """A copy of the app."""
    app = tmp_path / "app"
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("*.pyc"))
    # In each script, as it had to be: any of them may be an instance's first.
    for name in ("main.py", "printed.py", "by_wsgiref.py"):
        script = (app / name).read_text()
        assert CHOICE in script
        (app / name).write_text(script.replace(CHOICE, f"use_library('django', '{version}')"))
    return app


@pytest.mark.slow
def test_an_app_that_chooses_django_1_2(tmp_path, http):
    with emulated(APP, tmp_path / "log") as emulator:
        for _ in range(2):
            found = page(http, emulator)
            assert "<title>GUESTS</title><p>&lt;b&gt;café&lt;/b&gt;</p>" in found
            assert "Django 1.2, google.appengine.ext.webapp._webapp25, python\n" in found
            token = re.search(r"Channel\('([\w-]+)'\)", found)[1]
            assert http.request("GET", f"{emulator.url}/_ah/channel/open?channel={token}").json()["client"] == "guest"
        assert page(http, emulator, "/wsgiref", Cookie="a=1") == "<p>café</p><p>café</p> a=1"
        assert page(http, emulator, "/wsgiref") == "<p>café</p><p>café</p>no cookie"
        assert page(http, emulator, "/print") == "<p>&lt;café&gt;</p> printed\n"
        assert "used instead" not in emulator.log.read_text()
        assert http.request("GET", f"{emulator.url}/errors").json() == [
            "Django 1.2",
            "UnacceptableVersionError: django 1.3 was requested, but 1.2.5.final.0 is already in use",
            "ValueError: pylons is not a supported package",
            "ValueError: 1.4 is not a supported version for django; "
            "supported versions are ['0.96', '1.0', '1.1', '1.2', '1.3']",
            # Once its modules had been forgotten, which apps did, another could be had.
            "Django 1.3",
            200,
            "zipimporter",
        ]


@pytest.mark.slow
def test_an_app_that_chooses_django_1_3(tmp_path, http):
    """In appengine_config.py, for scripts that call no `use_library`, and in one that does."""
    app = app_that_asks_for("1.3", tmp_path)
    (app / "appengine_config.py").write_text("webapp_django_version = '1.3'\n")
    with emulated(app, tmp_path / "log") as emulator:
        assert page(http, emulator, "/silent") == "<p>&lt;b&gt;café&lt;/b&gt;</p>Django 1.3\n\n"
        assert "<p>&lt;b&gt;café&lt;/b&gt;</p>Django 1.3, google" in page(http, emulator)
        assert "used instead" not in emulator.log.read_text()


@pytest.mark.slow
def test_an_app_that_chooses_django_0_96_or_nothing(tmp_path, http):
    """The SDK lacks it: the nearest serves, with a warning. As in 0.96, nothing is escaped by itself."""
    app = app_that_asks_for("0.96", tmp_path)
    # Which it also took: filters that lie in no package.
    (app / "common" / "filters.py").rename(app / "filters.py")
    (app / "main.py").write_text((app / "main.py").read_text().replace("common.filters", "filters"))
    with emulated(app, tmp_path / "log") as emulator:
        assert page(http, emulator, "/silent") == "<p><b>café</b></p>Django 1.2\n\n"
        eventually(emulator.log.read_text, lambda log: "App Engine gave it Django 0.96" in log)
        for _ in range(2):
            assert "<title>GUESTS</title><p><b>café</b></p>Django 1.2" in page(http, emulator)
        assert page(http, emulator, "/print") == "<p><café></p> printed\n"
        warning = "django 0.96 was requested, which this SDK lacks: 1.2.5.final.0 is used instead"
        eventually(emulator.log.read_text, lambda log: warning in log)
