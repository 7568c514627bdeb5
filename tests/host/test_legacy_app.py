"""What the emulator reads in a legacy app.yaml, and what it makes of one for Python 2.5."""

from __future__ import annotations

import textwrap

import pytest
import yaml

from appengine_channel_emu.host.backend import CannotStart
from appengine_channel_emu.host.legacy_app import Python25Overlay, read_legacy_app


@pytest.fixture
def write(tmp_path):
    """Write an app.yaml, and read it as the emulator does."""

    def write(text):
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        (folder / "app.yaml").write_text(textwrap.dedent(text))
        return read_legacy_app(folder / "app.yaml")

    return write


def overlaid(app, folder):
    folder.mkdir()
    made = Python25Overlay(app)(folder)
    return yaml.load(made.read_text(), yaml.BaseLoader)


@pytest.mark.parametrize("runtime", ["python39", "go", "php55", ""])
def test_other_runtimes_are_not_for_the_sdk(write, runtime):
    assert write(f"runtime: {runtime}") is None


def test_no_yaml_is_an_error_that_names_the_file(write):
    with pytest.raises(CannotStart, match=r"app\.yaml cannot be read"):
        write("runtime: [")


def test_presence_and_the_page_for_a_cut_request(write, tmp_path):
    assert not write("runtime: python27").takes_presence
    text = """
        runtime: python27
        inbound_services: [channel_presence]
        error_handlers:
        - file: other.html
        - {error_code: timeout, file: late.html, mime_type: text/x-late}
        """
    app = write(text)
    assert app.takes_presence
    with pytest.raises(CannotStart, match=r"late\.html"):
        _ = app.timeout_page
    (tmp_path / "app" / "late.html").write_text("late")
    assert app.timeout_page == (b"late", "text/x-late")


def test_python25_becomes_what_the_sdk_takes(write, tmp_path):
    text = """
        application: old
        version: 010
        runtime: python
        builtins:
        - deferred: on
        - datastore_viewer: on
        handlers:
        - {url: /b, script: b.py}
        - {url: /a, script: a.py}
        """
    app = write(text)
    content = overlaid(app, tmp_path / "overlay")
    assert (content["runtime"], content["threadsafe"], content["version"]) == ("python27", "false", "010")
    assert "threadsafe: false\n" in (tmp_path / "overlay" / "app.yaml").read_text()
    assert content["libraries"] == [{"name": "django", "version": "1.2"}]
    assert content["builtins"] == [{"deferred": "on"}]
    assert [handler["url"] for handler in content["handlers"]] == ["/b", "/a"]
    assert any("datastore_viewer" in change for change in Python25Overlay(app).changes)
    assert "runtime: python\n" in (tmp_path / "app" / "app.yaml").read_text()


def test_a_django_of_the_apps_own_choice_stays(write, tmp_path):
    app = write("runtime: python\nlibraries:\n- {name: django, version: '1.4'}\n")
    assert overlaid(app, tmp_path / "overlay")["libraries"] == [{"name": "django", "version": "1.4"}]
