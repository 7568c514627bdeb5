"""The command line: verbs, mistakes, and what `serve` takes its argument for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appengine_channel_emu import __version__
from appengine_channel_emu.cli import main, serve
from appengine_channel_emu.cli.main import VERBS
from appengine_channel_emu.host.app_kinds import AppYaml, WsgiApp, find_app
from appengine_channel_emu.settings import BadSetting, Settings, load
from appengine_channel_emu.settings.table import GROUPS
from tests.support.emulator import EMU
from tests.support.waiting import LONG_ENOUGH


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"channel-emu {__version__}\n"


def test_help_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "serve" in capsys.readouterr().out


def test_help_of_serve_lists_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    assert "--resume-window" in capsys.readouterr().out


def test_without_a_verb_the_usage_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "usage: channel-emu VERB" in printed.err


def test_help_of_a_verb_is_what_the_verb_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    expected = capsys.readouterr().out
    assert main(["help", "serve"]) == 0
    assert capsys.readouterr().out == expected
    assert main(["help"]) == 0
    assert capsys.readouterr().out.startswith("usage: channel-emu VERB")
    assert main(["help", "srve"]) == 2
    assert "did you mean serve?" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [*VERBS])
def test_every_verb_says_what_it_does_and_an_error_in_it_is_short(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: channel-emu {verb}")
    assert main([verb, "--no-such-option"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    first, last = printed.err.splitlines()
    assert first.startswith(f"channel-emu {verb}: error: ")
    assert last == f"see channel-emu {verb} --help"


def test_help_of_serve_begins_with_examples_and_has_its_settings_in_groups(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["serve", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: channel-emu serve [APP] [options] [-- OPTIONS OF dev_appserver.py]\n")
    examples = text.partition("\nexamples:\n")[2].partition("\n\n")[0].splitlines()
    assert len(examples) == 5
    assert all(line.startswith("  channel-emu serve") for line in examples)
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == ["examples", "options", *GROUPS]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("columns", [1, 60, 80])
@pytest.mark.parametrize("verb", ["bench", "events", "send"])
def test_help_fits_a_narrow_terminal(
    verb: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([verb, "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= max(columns, 60)


def test_p_q_and_v(tmp_path: Path) -> None:
    options = vars(serve.parser().parse(["-p", "8081", "-qv"]))
    settings = load(options, {}, tmp_path)
    assert (settings.port, settings.quiet, settings.log_level) == (8081, True, "debug")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["srve"], "there is no verb 'srve'; did you mean serve?"),
        (["main:app"], "did you mean channel-emu serve main:app?"),
        (["--port", "80"], "did you mean channel-emu serve --port 80?"),
        (["serve", "--prot", "80"], "there is no option --prot; did you mean --port?"),
        (["serve", "--prot=80"], "there is no option --prot; did you mean --port?"),
        (["serve", "--por", "80"], "there is no option --por; did you mean --port?"),
        (["serve", "main:app", "other:app"], "one argument too many: 'other:app'"),
        (["serve", "--port", "eighty"], "--port: 'eighty' is not a whole number"),
        (["serve", "-p"], "-p/--port: expected one argument"),
        (["serve", "--fault", "pol cut"], "; did you mean poll?"),
        (["serve", "--fault", "poll cutt"], "; did you mean cut?"),
        (["serve", "--fault", "poll cut cout=1"], "; did you mean count?"),
        (["tail", "--client-id", "bob", "--count", "0"], "--count: '0' is not a whole number from 1 to 1000000"),
        (["events", "--last", "x"], "--last: 'x' is not a whole number from 0 to 1000"),
        (["bench", "--pages", "0"], "--pages: '0' is not a whole number from 1 to 15000"),
        (["sdk"], "the following arguments are required: install|where"),
        (["completion"], "the following arguments are required: bash|zsh|fish"),
        (["check", "localhost:8080"], "did you mean http://localhost:8080?"),
        (["serve", "nothing-here"], "there is no 'nothing-here'; give module:callable"),
        (["serve", "main.app"], "did you mean main:app?"),
        (["serve", "mysite.wsgi"], "there is no module 'mysite.wsgi' in"),
        (["serve", "mysite.wsgi"], "such as mysite.wsgi:application"),
        (["serve", "main:create_app(x)"], "whose arguments are plain values"),
        (["serve", "~nobody-of-this-name/app"], "names the home folder of nobody here"),
    ],
)
def test_a_mistake_exits_2_and_says_what_to_do(
    argv: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_an_unknown_setting_in_the_file_exits_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "channel-emu.yaml").write_text("prot: 8081\n")
    assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert "channel-emu.yaml, line 1: there is no setting 'prot'; did you mean port?" in said


def test_python_m_runs_the_same_command() -> None:
    command = [*EMU, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_ENOUGH, check=True)
    assert done.stdout == f"channel-emu {__version__}\n"


def test_help_does_not_load_the_server() -> None:
    code = (
        "import sys; from appengine_channel_emu.cli import main; main(['serve', '--help']);"
        "print([m for m in ('falcon', 'waitress', 'urllib3') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_ENOUGH, check=True)
    assert done.stdout.endswith("[]\n")


def test_module_and_callable(tmp_path: Path) -> None:
    assert find_app(Settings(app="main:app", app_dir=tmp_path)) == WsgiApp("main", "app", tmp_path)
    dotted = find_app(Settings(app="web.wsgi:site.application", app_dir=tmp_path))
    assert dotted == WsgiApp("web.wsgi", "site.application", tmp_path)


@pytest.mark.parametrize(
    ("app", "target"),
    [
        ("main", "main"),
        ("mysite.wsgi", "mysite.wsgi"),
        ("mysite", "mysite"),
        ("main:create_app()", "main:create_app()"),
        ("main:create_app('x', debug=True)", "main:create_app('x', debug=True)"),
        ("main.py:app", "main:app"),
        ("mysite/wsgi.py:application", "mysite.wsgi:application"),
        ("my-app:app", "my-app:app"),
    ],
)
def test_modules_factories_and_files(tmp_path: Path, app: str, target: str) -> None:
    (tmp_path / "main.py").touch()
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "__init__.py").touch()
    (tmp_path / "mysite" / "wsgi.py").touch()
    found = find_app(Settings(app=app, app_dir=tmp_path))
    assert isinstance(found, WsgiApp)
    assert str(found) == target


def test_the_callable_of_a_module_that_is_there_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    with pytest.raises(BadSetting, match="did you mean main:handler"):
        find_app(Settings(app="main.handler", app_dir=tmp_path))


def test_without_an_app_and_without_app_yaml_the_emulator_is_alone(tmp_path: Path) -> None:
    assert find_app(Settings(app_dir=tmp_path)) is None


@pytest.mark.parametrize("app", [None, ".", "app.yaml"])
def test_app_yaml_is_found(tmp_path: Path, app: str | None) -> None:
    (tmp_path / "app.yaml").write_text("runtime: python27\n")
    assert find_app(Settings(app=app, app_dir=tmp_path)) == AppYaml(tmp_path / "app.yaml")


def test_app_yaml_of_another_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "guestbook").mkdir()
    (tmp_path / "guestbook" / "app.yml").write_text("runtime: python27\n")
    expected = AppYaml(tmp_path / "guestbook" / "app.yml")
    assert find_app(Settings(app="guestbook", app_dir=tmp_path)) == expected


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("empty", "there is no app.yaml in 'empty'"),
        ("main.py", "name the module and its WSGI callable, such as main:app"),
        ("notes.txt", "neither an app.yaml nor a folder"),
        ("a:b:c", "there is no 'a:b:c'"),
        ("1main:app", "there is no '1main:app'"),
    ],
)
def test_other_arguments_are_refused(tmp_path: Path, app: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "main.py").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BadSetting, match=said):
        find_app(Settings(app=app, app_dir=tmp_path))
