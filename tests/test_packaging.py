"""Wheel, sdist and editable install all carry what is not Python of ours, byte for byte."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import appengine_channel_emu
from tests.support.source import build_wheel, copy_source

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "js" / "goog_appengine_channel.js"
COMPAT = ROOT / "appengine_channel_emu" / "compat"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return copy_source(tmp_path_factory.mktemp("source"))


def run(*arguments, cwd):
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compat_files():
    return {str(path.relative_to(COMPAT.parent)): path.read_bytes() for path in COMPAT.rglob("*.py")}


def test_the_wheel(source, tmp_path):
    with zipfile.ZipFile(build_wheel(source, tmp_path)) as wheel:
        assert wheel.read("appengine_channel_emu/js/goog_appengine_channel.js") == SCRIPT.read_bytes()
        for name, data in compat_files().items():
            assert wheel.read(f"appengine_channel_emu/{name}") == data
        assert wheel.read("appengine_channel_emu/docs/console.md") == (ROOT / "docs" / "console.md").read_bytes()
        assert "appengine_channel_emu/console/main.js" in wheel.namelist()
        tops = {name.split("/")[0] for name in wheel.namelist()}
        assert tops == {"appengine_channel_emu", f"appengine_channel_emu-{appengine_channel_emu.__version__}.dist-info"}


def test_the_sdist(source, tmp_path):
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    run("-c", code, cwd=source)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as sdist:
        members = {member.name.partition("/")[2]: member for member in sdist.getmembers()}
        script = members["appengine_channel_emu/js/goog_appengine_channel.js"]
        assert sdist.extractfile(script).read() == SCRIPT.read_bytes()
        for name in compat_files():
            assert f"appengine_channel_emu/{name}" in members
        assert "appengine_channel_emu/docs/console.md" in members


def test_the_editable_install():
    """This very run uses one: `make test` installs it so."""
    code = (
        "from importlib import resources; "
        "print((resources.files('appengine_channel_emu') / 'js' / 'goog_appengine_channel.js').read_bytes().hex())"
    )
    assert bytes.fromhex(run("-c", code, cwd=ROOT)) == SCRIPT.read_bytes()


def test_the_public_names():
    assert appengine_channel_emu.__all__ == ["__version__"]
