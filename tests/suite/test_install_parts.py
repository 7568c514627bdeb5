"""Before the system gets packages for the tests it is said which; and whoever is not root is asked at a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess

import pytest

from tests.support.parts import ROOT

SCRIPT = ROOT / "tests/support/install_parts.sh"
HERE = ("sh", "dirname", "cmp", "cp", "mkdir", "rm", "env")
"""What the script finds on PATH, beside what a test makes up."""


@pytest.fixture
def install(tmp_path):
    """Runs the script as a user, with an apt-get of its own, on a machine without any of the parts: what was said, and
    what apt-get was asked. `answer` is typed at a terminal; without one, there is none.
    """
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in HERE:
        (commands / name).symlink_to(next(p for p in (f"/bin/{name}", f"/usr/bin/{name}") if os.path.exists(p)))
    asked = tmp_path / "asked"

    def run(user, answer=None, sudo='test "$1" != -n || shift; "$@"'):
        for name, text in {"id": f"echo {user}", "apt-get": f'echo "$@" >> {asked}', "sudo": sudo}.items():
            (commands / name).write_text(f"#!/bin/sh\n{text}\n")
            (commands / name).chmod(0o755)
        ours, theirs = pty.openpty()
        with contextlib.ExitStack() as exits:
            exits.callback(os.close, ours)
            exits.callback(os.close, theirs)
            if answer is not None:
                os.write(ours, answer.encode() + b"\n")
            done = subprocess.run(
                ["/bin/sh", str(SCRIPT), str(tmp_path / "node")],
                env={"PATH": str(commands), "CHROMIUM": "here"},
                stdin=subprocess.DEVNULL if answer is None else theirs,
                capture_output=True,
                text=True,
                check=True,
            )
        return done.stdout, asked.read_text() if asked.exists() else ""

    return run


def test_root_is_told(install):
    said, asked = install(0)
    assert "Installing with apt-get: firefox-esr nodejs npm" in said
    assert {"webkit2gtk-driver", "xvfb"} <= set(said.split())
    assert "install -y -qq --no-install-recommends firefox-esr" in asked


@pytest.mark.parametrize("answer", ["", "n", "no"])
def test_a_user_at_a_terminal_is_asked(install, answer):
    said, asked = install(1000, answer)
    assert "need these packages of the system: firefox-esr nodejs npm" in said
    assert "[y/N]" in said
    assert "Not installed" in said
    assert asked == ""


def test_and_may_agree(install):
    said, asked = install(1000, "y")
    assert "Installing with apt-get: firefox-esr" in said
    assert "--no-install-recommends firefox-esr" in asked


def test_without_a_terminal_it_is_installed_where_that_asks_for_no_password(install):
    said, asked = install(1000)
    assert "Installing with apt-get: firefox-esr" in said
    assert "--no-install-recommends firefox-esr" in asked


def test_and_nowhere_else(install):
    said, asked = install(1000, sudo="exit 1")
    assert "only root may: apt-get install firefox-esr" in said
    assert asked == ""
