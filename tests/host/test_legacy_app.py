"""What the emulator reads in a legacy app.yaml, and what it makes of one for Python 2.5."""

from __future__ import annotations

import textwrap

import pytest
import yaml

from appengine_channel_emu.host.app_checks import presence_hint
from appengine_channel_emu.host.app_yaml import BadAppYaml, read_app_yaml
from appengine_channel_emu.host.sdk import Overlay, overlay_of


@pytest.fixture
def write(tmp_path):
    """Write an app.yaml, and read it as the emulator does."""

    def write(text):
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        (folder / "app.yaml").write_text(textwrap.dedent(text))
        return read_app_yaml(folder / "app.yaml", sdk=True)

    return write


def overlaid(app, folder):
    folder.mkdir()
    made = Overlay(app)(folder)
    return yaml.load(made.read_text(), yaml.BaseLoader)


@pytest.mark.parametrize("runtime", ["python39", "go", "php55"])
def test_other_runtimes_are_not_for_the_sdk(write, runtime):
    assert not write(f"runtime: {runtime}").is_legacy_python
    with pytest.raises(BadAppYaml, match=r"app\.yaml, line 2: app\.yaml has no field 'handlrs'"):
        write(f"runtime: {runtime}\nhandlrs: []\n")


def test_without_a_runtime_it_is_not_for_the_sdk(write):
    with pytest.raises(BadAppYaml, match=r"app\.yaml, line 1: app\.yaml needs a field runtime"):
        write("runtime: ")


def test_no_yaml_is_an_error_that_names_the_file(write):
    with pytest.raises(BadAppYaml, match=r"app\.yaml, line 1: is not YAML"):
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
    assert app.timeout_page is None
    assert any("line 6: error_handlers: there is no file 'late.html'" in mistake for mistake in app.mistakes)
    (tmp_path / "app" / "late.html").write_text("late")
    assert write(text).timeout_page == (b"late", "text/x-late")


@pytest.mark.parametrize("text", ["runtime: python\nenv: flex\n", "runtime: python27\nvm: true\nthreadsafe: true\n"])
def test_the_flexible_environment_is_not_for_the_sdk(write, text):
    assert not write(text).is_legacy_python


def test_what_is_wrong_with_it_is_said_though_the_sdk_decides(write):
    app = write("runtime: python27\nthreadsafe: true\ninbound_services: [channel_presence]\nhandlrs: []\n")
    assert app.mistakes == ("app.yaml, line 4: app.yaml has no field 'handlrs'; did you mean handlers?",)
    assert app.takes_presence
    assert presence_hint(app) is None
    assert app.refusal == app.mistakes[0]
    assert app.timeout_page is None


def test_the_hint_counts_included_handlers(write, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "more.yaml").write_text("handlers: [{url: /_ah/channel/connected/, script: a.app}]\n")
    app = write("runtime: python27\nthreadsafe: true\nincludes: [more.yaml]\n")
    assert "more.yaml, line 1: a handler takes /_ah/channel/connected/" in presence_hint(app)


def test_the_folder_is_that_of_a_linked_app_yaml(write, tmp_path):
    write("runtime: python27\nthreadsafe: true\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "app.yaml").symlink_to(tmp_path / "app" / "app.yaml")
    assert read_app_yaml(tmp_path / "other" / "app.yaml", sdk=True).path == tmp_path / "other" / "app.yaml"


def test_what_deployed_apps_had_and_the_sdk_refuses_is_dropped(write, tmp_path):
    app = write(
        "runtime: python27\nthreadsafe: true\npagespeed: {enabled: true}\nversion: 010\napp_engine_apis: true\n"
    )
    overlay = overlay_of(app)
    assert [change.split(",")[0] for change in overlay.changes] == ["without app_engine_apis", "without pagespeed"]
    (tmp_path / "overlay").mkdir()
    made = overlay(tmp_path / "overlay")
    assert made.read_text() == "runtime: python27\nthreadsafe: true\nversion: 010\n"
    assert overlay_of(write("runtime: python27\nthreadsafe: true\n")) is None


def test_builtins_that_the_sdk_no_longer_has_are_dropped(write, tmp_path):
    builtins = "- deferred: on\n- datastore_admin: on\n- mapreduce: on\n- {remote_api: on, datastore_viewer: on}\n"
    overlay = overlay_of(write(f"runtime: python27\nthreadsafe: true\nbuiltins:\n{builtins}"))
    assert overlay.changes == [
        "without the builtins datastore_admin, mapreduce, datastore_viewer, which the SDK no longer has"
    ]
    (tmp_path / "overlay").mkdir()
    made = yaml.load(overlay(tmp_path / "overlay").read_text(), yaml.BaseLoader)
    assert made["builtins"] == [{"deferred": "on"}, {"remote_api": "on"}]


def test_python25_becomes_what_the_sdk_takes(write, tmp_path):
    text = """
        application: old
        version: 010
        runtime: python
        builtins:
        - deferred: on
        - datastore_viewer: on
        - datastore_admin: on
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
    assert any("datastore_viewer, datastore_admin" in change for change in Overlay(app).changes)
    assert "runtime: python\n" in (tmp_path / "app" / "app.yaml").read_text()


def test_a_django_of_the_apps_own_choice_stays(write, tmp_path):
    app = write("runtime: python\nlibraries:\n- {name: django, version: '1.4'}\n")
    assert overlaid(app, tmp_path / "overlay")["libraries"] == [{"name": "django", "version": "1.4"}]
