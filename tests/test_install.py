"""From the wheel alone, as somebody who has nothing else: installed, played, and run without an install."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import appengine_channel_emu
from tests.support import parts
from tests.support.emulator import READY
from tests.support.processes import default_signals
from tests.support.source import build_wheel, copy_source
from tests.support.waiting import LONG_ENOUGH
from tests.test_demo import play_the_first_move

pytestmark = pytest.mark.slow

OURS = ("PYTHON", "PIP_TARGET", "VIRTUAL_ENV", "CHANNEL_EMU", "UV_PYTHON", "UV_TOOL", "UV_CACHE", "PIPX_")
"""What would lead what is tried to this environment."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    parts.need(parts.package_index)
    source = copy_source(tmp_path_factory.mktemp("source"))
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def environ(tmp_path):
    """The environment of somebody new, without a home that was used."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def run(*command: str | Path, environ: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def snapshot(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_from_the_wheel_to_the_first_move(wheel, environ, tmp_path):
    folder = tmp_path / "mit Leerzeichen ä"
    run(sys.executable, "-m", "venv", folder, environ=environ, cwd=tmp_path)
    run(folder / "bin" / "pip", "install", "--quiet", wheel, environ=environ, cwd=tmp_path)
    # As uv and distributions leave it: nothing of the app is compiled, and it is to stay so.
    (site,) = folder.glob("lib/python3*/site-packages/appengine_channel_emu")
    shutil.rmtree(site / "sample_app" / "__pycache__")
    before = snapshot(folder)
    process = subprocess.Popen(
        [folder / "bin" / "channel-emu", "demo", "--port", "0"],
        env=environ,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )
    try:
        line = process.stdout.readline()
        ready = READY.fullmatch(line)
        assert ready, line + process.stderr.read()
        play_the_first_move(ready[1])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LONG_ENOUGH)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert snapshot(folder) - before == set()


@pytest.mark.parametrize(
    ("program", "arguments"),
    [("pipx", ["run", "--spec"]), ("uv", ["tool", "run", "--python", sys.executable, "--from"])],
)
def test_run_without_an_install(program, arguments, wheel, environ, tmp_path):
    found = shutil.which(program, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        parts.lacking(f"there is no {program} here: pip install '.[slow]'")
    said = run(found, *arguments, wheel, "channel-emu", "--version", environ=environ, cwd=tmp_path)
    assert said.splitlines()[-1] == f"channel-emu {appengine_channel_emu.__version__}"
