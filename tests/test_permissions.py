"""What the user who runs a command may not read is named, in words, and stops nothing that can go on without it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emulator import EMU
from tests.support.parts import ROOT, need, setpriv
from tests.support.waiting import LONG_ENOUGH

USE = "from google.appengine.api import channel\nchannel.create_channel('a')\n"
APP_YAML = "runtime: python39\nhandlers:\n- url: /.*\n  script: auto\n"


def as_an_ordinary_user() -> list[str]:
    """What a command begins with so that modes of files hold for it, though root may run the tests."""
    if os.geteuid() != 0:
        return []
    return [str(need(setpriv)), "--bounding-set=-dac_override,-dac_read_search"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An app, with a folder beside it that nobody may enter, and what is in that."""
    closed = tmp_path / "closed"
    closed.mkdir()
    for name, text in (("app.yaml", APP_YAML), ("a.py", USE), ("settings.yaml", "port: 0\n"), ("password", "x\n")):
        (closed / name).write_text(text)
    (tmp_path / "app").mkdir()
    for name, text in (("app.yaml", APP_YAML), ("main.py", USE), ("secret.py", USE)):
        (tmp_path / "app" / name).write_text(text)
    closed.chmod(0)
    yield tmp_path
    for path in (closed, *tmp_path.iterdir()):
        path.chmod(0o700)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`channel-emu` with these arguments, in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHANNEL_EMU", "API_"))}
    return subprocess.run(
        [*as_an_ordinary_user(), *EMU, *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONG_ENOUGH,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("serve closed", "channel-emu serve: this user may not use {folder}/closed/app.yaml: Permission denied"),
        ("serve closed/app.yaml", "this user may not use {folder}/closed/app.yaml: Permission denied"),
        ("doctor closed/app.yaml", "channel-emu doctor: this user may not use {folder}/closed/app.yaml"),
        ("init closed", "channel-emu init: this user may not use {folder}/closed/app.yaml: Permission denied"),
        ("serve --app-dir closed main:app", "--app-dir: 'closed' may not be entered by this user"),
        ("serve --app-dir closed/app main:app", "--app-dir: 'closed/app' cannot be looked at: Permission denied"),
        ("serve --state-dir closed/state", "--state-dir: 'closed/state' cannot be looked at: Permission denied"),
        ("serve --sdk closed/sdk app", "--sdk: 'closed/sdk' cannot be looked at: Permission denied"),
        ("serve --config closed/settings.yaml", "{folder}/closed/settings.yaml: cannot be read: Permission denied"),
        (
            "serve --redis redis://localhost:1 --redis-password-file closed/password",
            "--redis-password-file: 'closed/password' cannot be looked at: Permission denied",
        ),
        ("bench --url http://localhost:9 --chart closed/a.svg", "--chart: closed/a.svg cannot be written: Permission"),
    ],
)
def test_what_may_not_be_used_is_named(folder: Path, arguments: str, said: str) -> None:
    done = run(folder, *arguments.split())
    assert done.returncode in (1, 2), done.stderr
    assert said.format(folder=folder) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_current_folder_that_may_not_be_entered(folder: Path) -> None:
    folder.chmod(0o600)
    try:
        done = run(folder, "serve", "--port", "0")
    finally:
        folder.chmod(0o700)
    assert done.returncode == 1
    assert "this user may not use" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_goes_on_with_what_it_may_read(folder: Path) -> None:
    (folder / "app" / "secret.py").chmod(0)
    (folder / "app" / "shut").mkdir(mode=0)
    done = run(folder, "doctor", "--json", "app")
    assert done.stderr == ""
    found = {each["topic"]: each["places"] for each in json.loads(done.stdout)["app"]["findings"]}
    assert sorted(each["file"] for each in found["file_unreadable"]) == ["secret.py", "shut"]
    assert [each["file"] for each in found["create_channel"]] == ["main.py"]
