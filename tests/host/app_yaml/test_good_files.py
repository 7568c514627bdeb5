"""What a good app.yaml says, and what it is warned of."""

from __future__ import annotations

import pytest

from appengine_channel_emu.host.app_yaml import Script, StaticDir, StaticFiles, read_app_yaml

LEGACY = """
application: guestbook
version: 1
runtime: python27
api_version: 1
threadsafe: yes
default_expiration: "1d 2h"

inbound_services:
- channel_presence

handlers:
- url: /favicon\\.ico
  static_files: static/favicon.ico
  upload: static/favicon\\.ico
- url: /(.*\\.(gif|png))
  static_files: static/\\1
  upload: static/.*\\.(gif|png)
  expiration: 10m
- url: /css
  static_dir: static/css
- url: /admin/.*
  script: admin.main.app
  login: admin
  auth_fail_action: unauthorized
  secure: always
- url: /(tasks|jobs)/.*
  script: \\1.app
- url: /.*
  script: main.app

env_variables:
  GREETING: 'hello'
  NUMBER: 010

error_handlers:
- file: default.html
- error_code: timeout
  file: timeout.json
  mime_type: application/json

manual_scaling:
  instances: 1
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="app.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def read(write):
    return lambda text: read_app_yaml(write(text))


@pytest.fixture
def legacy(write, tmp_path):
    write("<p>", "default.html")
    write("{}", "timeout.json")
    (tmp_path / "static" / "css").mkdir(parents=True)
    return read_app_yaml(write(LEGACY))


def first(config, path):
    """The handler that takes `path`, and its match."""
    return next((handler, match) for handler in config.handlers if (match := handler.match(path)))


def test_the_top_of_a_legacy_file(legacy, tmp_path):
    assert (legacy.application, legacy.version, legacy.runtime) == ("guestbook", "1", "python27")
    assert legacy.is_legacy_python
    assert legacy.threadsafe
    assert legacy.inbound_services == {"channel_presence"}
    assert legacy.env_variables == {"GREETING": "hello", "NUMBER": "8"}
    assert legacy.error_files["default"].mime_type == "text/html"
    assert legacy.error_files["timeout"].path == tmp_path / "timeout.json"
    assert legacy.error_files["timeout"].mime_type == "application/json"
    assert legacy.instances == 1
    assert legacy.warnings == ()


@pytest.mark.parametrize(
    ("path", "file", "expiration"),
    [
        ("/favicon.ico", "static/favicon.ico", 93600),
        ("/a/b.png", "static/a/b.png", 600),
        ("/css/site.css", "static/css/site.css", 93600),
        ("/css/", None, 93600),
        ("/css/../main.py", None, 93600),
        ("/css//etc/passwd", None, 93600),
    ],
)
def test_static_files_are_found_by_url(legacy, path, file, expiration):
    handler, match = first(legacy, path)
    assert isinstance(handler, (StaticDir, StaticFiles))
    assert handler.file(match) == file
    assert handler.expiration == expiration


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/", "main:app"),
        ("/css", "main:app"),
        ("/favicon.icon", "main:app"),
        ("/tasks/clean", "tasks:app"),
        ("/jobs/clean", "jobs:app"),
        ("/admin/users", "admin.main:app"),
    ],
)
def test_scripts_are_found_by_url_and_the_whole_path_must_match(legacy, path, target):
    handler, match = first(legacy, path)
    assert isinstance(handler, Script)
    assert handler.target(match) == target


def test_login_and_its_companions(legacy):
    handler, _ = first(legacy, "/admin/users")
    assert (handler.login, handler.redirects, handler.secure) == ("admin", False, "always")
    assert first(legacy, "/")[0].login == "optional"


def test_python3_without_handlers_sends_all_to_its_entrypoint(read):
    config = read("runtime: python312\nentrypoint: gunicorn -b :$PORT -w 2 web.wsgi:application\n")
    handler, match = first(config, "/any\nthing")
    assert handler.target(match) == "auto"
    assert config.default_target == "web.wsgi:application"


def test_python3_without_entrypoint_runs_main_app(read):
    config = read("runtime: python39\nhandlers:\n- url: /.*\n  script: auto\n")
    assert config.default_target == "main:app"
    assert len(config.handlers) == 1


def test_each_field_that_is_not_served_is_warned_of_once(read):
    config = read(
        "runtime: python312\nautomatic_scaling:\n  max_instances: 3\n  min_instances: 1\ninstance_class: F2\n"
        "inbound_services: [warmup, mail]\nmanual_scaling: {instances: 3}\n"
    )
    assert config.warnings == (
        "app.yaml, line 2: automatic_scaling is not served here, and has no effect",
        "app.yaml, line 5: instance_class is not served here, and has no effect",
        "app.yaml, line 7: 3 instances are asked for; a threadsafe app runs in one here",
        "app.yaml, line 6: the inbound service warmup is not served here",
        "app.yaml, line 6: the inbound service mail is not served here",
    )


def test_a_missing_static_folder_is_warned_of(read):
    config = read("runtime: python312\nhandlers:\n- url: /s\n  static_dir: sttic\n")
    assert config.warnings == ("app.yaml, line 3: static_dir: there is no folder 'sttic'",)


def test_the_emulators_own_variables_stay(read):
    config = read("runtime: python312\nenv_variables:\n  API_HOST: elsewhere\n  MINE: 'yes'\n")
    assert config.env_variables == {"MINE": "yes"}
    assert "API_HOST is set by the emulator" in config.warnings[0]


def test_included_handlers_go_behind_or_before(read, write):
    write(
        "handlers:\n- {url: /late, script: late.app, position: tail}\n- {url: /early, script: early.app}\n"
        "includes: [deeper]\nenv_variables: {A: included, B: included}\n",
        "lib/include.yaml",
    )
    write("handlers:\n- {url: /deep, script: deep.app}\nincludes: [include.yaml]\n", "lib/deeper/include.yaml")
    config = read(
        "runtime: python27\nthreadsafe: true\nincludes:\n- lib\nenv_variables: {A: own}\n"
        "handlers:\n- {url: /mine, script: main.app}\n"
    )
    assert [handler.script for handler in config.handlers] == ["early.app", "deep.app", "main.app", "late.app"]
    assert config.env_variables == {"A": "included", "B": "included"}
    assert [path.name for path in config.files] == ["app.yaml", "include.yaml", "include.yaml"]
    assert config.handlers[0].place == "lib/include.yaml, line 3"


@pytest.mark.parametrize("file", ["a.pyc", "lib/b.pyo", ".git/config", "x/.hidden", "notes~", "#notes#", "a/RCS/b"])
def test_files_skipped_by_default(read, file):
    assert read("runtime: python312\n").skips(file)


@pytest.mark.parametrize("file", ["a.py", "static/site.css", "a.pycx", "x.y/z"])
def test_files_not_skipped_by_default(read, file):
    assert not read("runtime: python312\n").skips(file)


@pytest.mark.parametrize(
    "written", ["\n- ^(.*/)?secret\\.txt$\n- ^tests/.*$", "|\n  ^(.*/)?(\n  (secret\\.txt)|\n  (tests/.*)\n  )$"]
)
def test_own_skip_files_replace_the_default_ones(read, written):
    config = read(f"runtime: python27\nthreadsafe: true\nskip_files: {written}\n")
    assert config.skips("a/secret.txt")
    assert config.skips("tests/a.html")
    assert not config.skips("a.pyc")


def test_a_cgi_script_is_read_where_requests_come_one_at_a_time(read):
    config = read("runtime: python27\nthreadsafe: false\nhandlers:\n- {url: /.*, script: main.py}\n")
    assert config.handlers[0].is_cgi
    assert not config.threadsafe


def test_python25_takes_one_request_at_a_time(read):
    assert not read("runtime: python\napi_version: 1\n").threadsafe


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_app_engine_read(tmp_path, encoding):
    path = tmp_path / "app.yaml"
    path.write_bytes("runtime: python312\nservice: a # é\n".encode(encoding))
    assert read_app_yaml(path).module == "a"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("yes", "True"), ("010", "8"), ("0x1F", "31"), ("1.10", "1.1"), ("1e3", "1000.0"), ("1_000", "1000"),
        ("12:30:45", "45045"), ("2014-01-01", "2014-01-01"), ("'010'", "010"), ("é", "é"),
    ],
)  # fmt: skip
def test_a_variable_is_typed_before_it_is_a_text(read, written, text):
    assert read(f"runtime: python312\nenv_variables:\n  A: {written}\n").env_variables == {"A": text}


def test_the_apps_folder_is_that_of_the_name_also_where_it_is_a_link(write, tmp_path):
    write("handlers: [{url: /x, script: x.app}]\n", "app/more.yaml")
    (tmp_path / "app" / "app.yaml").symlink_to(write("runtime: python312\nincludes: [more.yaml]\n", "config/dev.yaml"))
    config = read_app_yaml(tmp_path / "app" / "app.yaml")
    assert config.folder == tmp_path / "app"
    assert first(config, "/x")[0].script == "x.app"


def test_files_that_include_each_other_are_read_once(read, write):
    write("includes: [two.yaml]\nhandlers: [{url: /one, script: one.app}]\n", "inc/one.yaml")
    write("includes: [one.yaml]\nhandlers: [{url: /two, script: two.app}]\n", "inc/two.yaml")
    config = read("runtime: python312\nincludes: [inc/one.yaml, inc/two.yaml]\n")
    assert [handler.script for handler in config.handlers] == ["one.app", "two.app"]


def test_the_largest_number_of_instances_counts(read, write):
    write("manual_scaling: {instances: 3}\n", "more.yaml")
    assert read("runtime: python312\nmanual_scaling: {instances: 2}\nincludes: [more.yaml]\n").instances == 3


@pytest.mark.parametrize(
    ("url", "takes", "leaves"),
    [
        ("/(.*)$", "/x", "x"), ("/(?i)Foo", "/fOO", "/bar"), ("/(foo|\\Foo)", "/Foo", "/fOo"), ("/a|/b", "/abc", "/c"),
        ("/\\w+", "/abc", "/é"), ("/é", "/é", "/e"), ("'/(?x) a b # c'", "/ab", "/a b"),
    ],
)  # fmt: skip
def test_urls_are_expressions_of_python_2(read, url, takes, leaves):
    handler = read(f"runtime: python312\nhandlers:\n- url: {url}\n  script: main.app\n").handlers[0]
    assert handler.match(takes)
    assert not handler.match(leaves)


@pytest.mark.parametrize(
    ("template", "script"),
    [("\\1.app", "a"), ("\\g<1>.app", "a"), ("\\g<name>.app", "a"), ("\\10.app", "j"), ("my-pkg.\\1.app", "my-pkg.a")],
)
def test_a_script_refers_to_groups_of_the_url(read, template, script):
    text = f"runtime: python312\nhandlers:\n- url: /(?P<name>a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\n  script: {template}\n"
    handler, match = first(read(text), "/abcdefghij")
    assert handler.target(match) == f"{script}:app"


@pytest.mark.parametrize(
    "text", ["runtime: python\nenv: flex\n", "runtime: python27\nvm: true\n", "env: 2\n", "runtime: vm\n"]
)
def test_the_flexible_environment_is_no_runtime_of_ours(read, text):
    config = read(text)
    assert config.flexible
    assert not config.is_legacy_python
    assert not config.is_python3


@pytest.mark.parametrize("command", ["", "''", '"  "'])
def test_an_entrypoint_without_a_command_is_none(read, command):
    config = read(f"runtime: python312\nentrypoint: {command}\n")
    assert (config.entrypoint, config.warnings) == (None, ())
