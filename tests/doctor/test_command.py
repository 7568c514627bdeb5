"""`channel-emu doctor`: how an app is to be run, what app.yaml says, the exit status, text and JSON."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat

import pytest

from appengine_channel_emu.cli.main import main
from appengine_channel_emu.doctor import machine
from appengine_channel_emu.host.app_yaml import read_app_yaml
from appengine_channel_emu.host.app_yaml.reader import _NOT_SERVED
from tests.doctor.app_folder import APP_YAML, findings, written
from tests.doctor.document import DOCUMENT

WITH_NDB = (
    "from google.appengine.api import channel\nfrom google.appengine.ext import ndb\nchannel.create_channel('a')\n"
)
PLAIN = "from google.appengine.api import channel\nchannel.create_channel('a')\n"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """A machine without an SDK, Python 2.7 or proxy, in a folder without an app."""
    for name in [each for each in os.environ if each.lower().endswith("_proxy") or each.startswith("CHANNEL_EMU")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("APPENGINE_SDK", raising=False)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "PYENV_ROOT", "XDG_RUNTIME_DIR", "PATH"):
        folder = tmp_path / "machine" / name
        folder.mkdir(parents=True, mode=0o700)
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(machine, "_refusal", lambda host, port: "")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def doctor(capsys):
    """Runs it with these arguments; the exit status and the JSON report."""

    def run(*arguments: str):
        status = main(["doctor", "--json", *arguments])
        return status, json.loads(capsys.readouterr().out)

    return run


def interpreter(path, lacking: str = "") -> str:
    """Something that says that it is Python 2.7, without these modules."""
    path.write_text(f'#!/bin/sh\ncase "$2" in *version_info*) echo 2.7;; *) echo "{lacking}";; esac\n')
    path.chmod(0o700)
    return str(path)


def sdk(folder) -> str:
    """An SDK in name."""
    from appengine_channel_emu.host.sdk import _NEEDED

    written(folder, dict.fromkeys(["dev_appserver.py", *_NEEDED], "") | {"VERSION": 'release: "1.9.88"\n'})
    return str(folder)


def test_a_legacy_app_with_all_that_it_needs(doctor, tmp_path):
    app = written(tmp_path / "my app", {"app.yaml": APP_YAML, "main.py": WITH_NDB})
    options = ["--sdk", sdk(tmp_path / "sdk"), "--python", interpreter(tmp_path / "python2.7")]
    status, report = doctor(str(app), *options)
    assert status == 0
    assert report["runs"] is True
    assert report["app"]["kind"] == "sdk"
    assert report["app"]["commands"] == [shlex.join(["channel-emu", "serve", str(app), *options])] or all(
        shlex.quote(each) in report["app"]["commands"][0] for each in [str(app), *options]
    )


def test_a_legacy_app_without(doctor, tmp_path):
    app = written(tmp_path / "app", {"app.yaml": APP_YAML, "main.py": WITH_NDB})
    status, report = doctor(str(app))
    assert status == 1
    assert report["runs"] is False
    *needed, serve = report["app"]["commands"]
    assert any("2.7" in each for each in needed)
    assert any("channel-emu sdk install" in each and "52.8 MB" in each for each in needed)
    assert serve == f"channel-emu serve {app}"


def test_a_legacy_app_that_needs_nothing_of_the_sdk(doctor, tmp_path):
    app = written(tmp_path / "app", {"app.yaml": APP_YAML, "main.py": PLAIN})
    status, report = doctor(str(app))
    assert status == 0
    assert report["app"]["kind"] == "python3"


@pytest.mark.parametrize("source", ["print 1\n" + PLAIN, "import time\n" + WITH_NDB])
def test_what_python3_cannot_run_needs_the_sdk(doctor, tmp_path, source):
    assert doctor(str(written(tmp_path / "app", {"app.yaml": APP_YAML, "main.py": source})))[0] == 1


def test_a_python27_without_what_the_sdk_needs_is_none(doctor, tmp_path):
    app = written(tmp_path / "app", {"app.yaml": APP_YAML, "main.py": WITH_NDB})
    python = interpreter(tmp_path / "python2.7", lacking="ssl zlib ")
    status, report = doctor(str(app), "--sdk", sdk(tmp_path / "sdk"), "--python", python)
    assert status == 1
    assert "ssl, zlib" in json.dumps(report["app"]["findings"])


PYTHON3 = "runtime: python312\n"


def test_a_python3_app(doctor, tmp_path):
    app = written(tmp_path / "app", {"app.yaml": PYTHON3, "main.py": PLAIN})
    status, report = doctor(str(app), "-p", "31002")
    assert status == 0
    assert report["app"]["kind"] == "python3"
    assert report["app"]["runtime"] == "python312"
    assert report["app"]["commands"] == [f"channel-emu serve {app} -p 31002"]


def test_a_python3_app_in_python2(doctor, tmp_path):
    app = written(tmp_path / "app", {"app.yaml": PYTHON3, "main.py": PLAIN + "print 1\n"})
    status, report = doctor(str(app))
    assert status == 1
    assert [each["topic"] for each in report["app"]["findings"] if each["level"] == "problem"] == ["python2_syntax"]


def test_nothing_of_the_app_is_run(doctor, tmp_path):
    trap = f"open({str(tmp_path / 'was run')!r}, 'w')\n"
    names = ["main", "json", "sys", "importlib/__init__", "google/__init__", "google/appengine/__init__", "webapp2"]
    names += ["sitecustomize", "appengine_config", "conftest", "encodings/__init__"]
    files = {f"{name}.py": trap + WITH_NDB for name in names}
    app = written(tmp_path / "app", files | {"app.yaml": APP_YAML + "libraries:\n- name: jinja2\n  version: latest\n"})
    os.chdir(app)
    doctor()
    doctor("main:app")
    (app / "app.yaml").write_text(PYTHON3 + "libraries:\n- name: jinja2\n  version: latest\n")
    doctor()
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize("runtime", ["go111", "java8", "php55"])
def test_other_runtimes_stand_behind_it(doctor, tmp_path, runtime):
    app = written(tmp_path / "app", {"app.yaml": f"runtime: {runtime}\n"})
    status, report = doctor(str(app))
    assert status == 0
    assert report["app"]["kind"] == "upstream"
    assert "--upstream" in report["app"]["commands"][0]
    assert ("multipart" in report["app"]["commands"][0]) is (runtime == "java8")


def test_java_without_an_app_yaml(doctor, tmp_path):
    source = "import com.google.appengine.api.channel.ChannelMessage;\nnew ChannelMessage(id, text);\n"
    app = written(tmp_path / "app", {"src/Push.java": source, "war/WEB-INF/appengine-web.xml": "<x/>"})
    status, report = doctor(str(app))
    assert status == 0
    assert report["app"]["kind"] == "upstream"


def test_a_folder_that_is_no_app(doctor, tmp_path):
    folder = written(tmp_path / "apps", {"shop/app.yaml": APP_YAML, "notes.txt": "x"})
    status, report = doctor(str(folder))
    assert status == 1
    assert report["app"]["kind"] == "none"
    (problem,) = [each for each in report["app"]["findings"] if each["level"] == "problem"]
    assert f"channel-emu doctor {folder}/shop/app.yaml" in problem["advice"]


def test_an_app_yaml_that_cannot_be_used(doctor, tmp_path):
    status, report = doctor(str(written(tmp_path / "app", {"app.yaml": "runtime: python312\nhandlrs: []\n"})))
    assert status == 1
    assert "handlers" in json.dumps(report["app"]["findings"])


@pytest.mark.parametrize("arguments", [["nosuch"], ["--no-such-option"], ["-p", "x"], ["~nobody-here/app"], ["a", "b"]])
def test_mistakes_in_the_command(arguments, capsys):
    assert main(["doctor", *arguments]) == 2
    assert "see channel-emu doctor --help" in capsys.readouterr().err


def test_a_module_that_is_not_there(doctor):
    assert doctor("no_such_module_here:app")[0] == 1


def test_without_an_app_it_is_about_the_machine(doctor):
    status, report = doctor()
    assert status == 0
    assert report["app"] is None
    topics = {each["topic"] for each in report["machine"]}
    assert {"python", "pythons", "python27", "sdk", "port", "state", "files", "proxy", "browser", "emulators"} == topics


@pytest.mark.parametrize(
    ("routes", "services", "expected"),
    [
        ("x = [('/_ah/channel/connected/', H)]\n", "", "presence_not_asked"),
        ("", "inbound_services:\n- channel_presence\n", "presence_unhandled"),
        ("x = [('/_ah/channel/connected/', H)]\n", "inbound_services:\n- channel_presence\n", None),
        ("", "", None),
    ],
)
def test_presence_is_asked_for_and_handled(doctor, tmp_path, routes, services, expected):
    app = written(tmp_path / "app", {"app.yaml": PYTHON3 + services, "main.py": PLAIN + routes})
    topics = {each["topic"] for each in doctor(str(app))[1]["app"]["findings"]}
    assert topics & {"presence_not_asked", "presence_unhandled"} == ({expected} if expected else set())


def test_a_handler_of_app_yaml_is_one_for_presence(doctor, tmp_path):
    yaml = PYTHON3 + "handlers:\n- url: /_ah/channel/.*\n  script: auto\n"
    found = doctor(str(written(tmp_path / "app", {"app.yaml": yaml, "main.py": PLAIN})))[1]["app"]["findings"]
    (handler,) = [each for each in found if each["topic"] == "presence_handler"]
    assert handler["places"] == [{"file": "app.yaml", "line": 3, "text": "url: /_ah/channel/.*"}]


@pytest.mark.parametrize(("source", "expected"), [(PLAIN.splitlines()[0], "only_imported"), ("x = 1", "no_use")])
def test_an_app_without_channels(doctor, tmp_path, source, expected):
    app = written(tmp_path / "app", {"app.yaml": PYTHON3, "main.py": source + "\n"})
    assert expected in {each["topic"] for each in doctor(str(app))[1]["app"]["findings"]}


@pytest.mark.parametrize(("script", "missing"), [("", True), ('<script src="/_ah/channel/jsapi"></script>', False)])
def test_pages_without_the_script(doctor, tmp_path, script, missing):
    page = f"{script}<script>new goog.appengine.Channel(t)</script>"
    app = written(tmp_path / "app", {"app.yaml": PYTHON3, "main.py": PLAIN, "page.html": page})
    assert ("no_script" in {each["topic"] for each in doctor(str(app))[1]["app"]["findings"]}) is missing


def test_fields_that_are_passed_over_are_the_readers_own(doctor, tmp_path, capsys):
    yaml = PYTHON3 + "".join(f"{field}: 1\n" for field in _NOT_SERVED)
    app = written(tmp_path / "app", {"app.yaml": yaml, "main.py": PLAIN})
    main(["doctor", "--json", str(app)])
    found = findings(capsys.readouterr().out)["app_yaml_passed_over"]["places"]
    warned = read_app_yaml(app / "app.yaml").warnings
    assert [f"{each['file']}, line {each['line']}: {each['text']}" for each in found] == list(warned)
    assert len(found) == len(_NOT_SERVED)


def test_what_the_sdk_is_given_instead_of_app_yaml(doctor, tmp_path):
    app = written(tmp_path / "app", {"app.yaml": APP_YAML + "pagespeed: {}\n", "main.py": WITH_NDB})
    options = ["--sdk", sdk(tmp_path / "sdk"), "--python", interpreter(tmp_path / "python2.7")]
    found = {each["topic"]: each for each in doctor(str(app), *options)[1]["app"]["findings"]}
    assert "pagespeed" in found["app_yaml_changed"]["places"][0]["text"]
    assert "app_yaml_passed_over" not in found


def test_services_are_judged_by_where_the_app_runs(doctor, tmp_path):
    app = written(
        tmp_path / "app", {"app.yaml": PYTHON3, "main.py": WITH_NDB + "from google.appengine.api import users\n"}
    )
    levels = {
        each["what"]: each["level"] for each in doctor(str(app))[1]["app"]["findings"] if each["topic"] == "service"
    }
    assert levels == {"uses datastore (ndb)": "warning", "uses users": "ok"}


def test_the_text_names_places_and_ends_with_the_command(tmp_path, capsys):
    app = written(tmp_path / "app", {"app.yaml": PYTHON3, "main.py": PLAIN})
    assert main(["doctor", str(app)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["main.py:2", "channel.create_channel('a')"] for line in lines)
    assert lines[-1].startswith(f"It runs: channel-emu serve {app} (0 problems, ")


def test_the_text_says_what_keeps_it_from_running(tmp_path, capsys):
    app = written(tmp_path / "app", {"app.yaml": APP_YAML, "main.py": WITH_NDB})
    assert main(["doctor", str(app)]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("It does not run here yet")


CHAT = """\
import webapp2
from google.appengine.api import channel


class Join(webapp2.RequestHandler):
    def post(self):
        token = channel.create_channel(self.request.get("name"))
        self.response.out.write(token)


app = webapp2.WSGIApplication([("/join", Join)])
"""


def test_the_example_of_the_document(tmp_path, capsys, monkeypatch):
    """docs/doctor.md: the command, and what it prints."""
    command, printed = re.findall(r"```\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)[:2]
    written(tmp_path / "here" / "path" / "to" / "app", {"app.yaml": APP_YAML, "chat.py": CHAT})
    monkeypatch.setenv("APPENGINE_SDK", sdk(tmp_path / "sdk"))
    interpreter(tmp_path / "machine" / "PATH" / "python2.7")
    assert main(shlex.split(command)[2:]) == 0
    out = capsys.readouterr().out.replace(f"{tmp_path}/here/", "")
    # The lines are as wide as the terminal.
    assert " ".join(printed.split()) in " ".join(out.split())
    # docs/command-line.md has it with and without an app.
    block = re.search(
        r"```sh\n(channel-emu doctor.*?)```", (DOCUMENT.parent / "command-line.md").read_text("utf-8"), re.DOTALL
    )
    assert [main(shlex.split(line, comments=True)[1:]) for line in block[1].splitlines()] == [0, 0]


def test_a_port_that_is_taken_is_not_in_the_command(doctor, tmp_path, monkeypatch):
    app = written(tmp_path / "app", {"app.yaml": PYTHON3, "main.py": PLAIN})
    refusal = "Port 8080 on 127.0.0.1 is in use by nginx (process 7). Stop that program."
    monkeypatch.setattr(machine, "_refusal", lambda host, port: refusal if port < 8082 else "")
    status, report = doctor(str(app))
    (port,) = [each for each in report["machine"] if each["topic"] == "port"]
    assert port["level"] == "warning"
    assert "nginx (process 7)" in port["what"]
    assert report["app"]["commands"] == [f"channel-emu serve {app} -p 8082"]
    assert status == 0


def test_what_proxies_are_is_not_said(doctor, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy.example:3128")
    report = doctor()[1]
    assert "https_proxy" in json.dumps(report)
    assert "secret" not in json.dumps(report)


def test_a_state_folder_that_is_everybodys_is_not_used_and_none_is_made(doctor, tmp_path):
    state = tmp_path / "machine" / "XDG_STATE_HOME"
    doctor()
    assert not list(state.iterdir())
    state.chmod(0o777)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (found,) = [each for each in doctor("--state-dir", str(shared))[1]["machine"] if each["topic"] == "state"]
    assert found["level"] == "warning"
    shared.chmod(stat.S_IRWXU | stat.S_IRWXG)
    doctor("--state-dir", str(shared))
    assert not list(shared.iterdir())
