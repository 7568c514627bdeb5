"""Which command for a Python 2.7 each system is told."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from appengine_channel_emu.host import python27
from tests.support import parts

UBUNTU = 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="{}"\nUBUNTU_CODENAME={}\n'


@pytest.mark.parametrize(
    ("os_release", "expected"),
    [
        (UBUNTU.format("22.04", "jammy"), python27.APT),
        (UBUNTU.format("24.04", "noble"), python27.PYENV),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="21.3"\nUBUNTU_CODENAME=jammy\n', python27.APT),
        ('NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n', python27.DEBIAN),
        ('VERSION_ID="11"\nID=debian\n', python27.APT),
        ("ID=debian\n", python27.DEBIAN),
        ("ID=fedora\nVERSION_ID=39\n", python27.DNF),
        ("ID=fedora\nVERSION_ID=43\n", python27.PYENV),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="8.10"\n', python27.RHEL),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', python27.PYENV),
        ("ID=arch\n", python27.PYENV),
        ("not a line of it\nVERSION_ID=twelve\n", python27.PYENV),
    ],
)
def test_linux_is_told_its_own_command(tmp_path, monkeypatch, os_release, expected):
    (tmp_path / "os-release").write_text(os_release)
    monkeypatch.setattr(python27, "OS_RELEASE", (tmp_path / "none", tmp_path / "os-release"))
    found = python27.sources_for(python27.read_os_release(), "x86_64")
    assert found[0] == expected
    assert {python27.PYENV, python27.CONDA} <= set(found)


@pytest.mark.parametrize("machine", ["aarch64", "armv7l", "riscv64", "i686"])
def test_on_linux_conda_has_one_for_x86_64_alone(machine):
    assert python27.CONDA in python27.sources_for({}, "x86_64")
    assert python27.CONDA not in python27.sources_for({}, machine)


def test_on_macos_conda_has_one_for_intel_and_rosetta():
    assert python27.sources_for({"ID": "macos"}, "arm64")[0] == python27.CONDA_ON_ARM
    assert python27.sources_for({"ID": "macos"}, "x86_64")[0] == python27.CONDA


def test_without_os_release_there_is_advice_too(tmp_path, monkeypatch):
    monkeypatch.setattr(python27, "OS_RELEASE", (tmp_path / "none",))
    assert python27.PYENV.command in python27.advice() or python27.CONDA.command in python27.advice()
    assert "--python" in python27.advice()


@pytest.mark.parametrize("source", python27.SOURCES)
def test_each_command_is_one_that_a_shell_reads(source):
    assert shlex.split(source.command)
    assert subprocess.run(["sh", "-n", "-c", source.command], check=False).returncode == 0


def test_the_document_has_each_command_and_says_whether_it_was_tried():
    table = (parts.ROOT / "docs" / "legacy-apps.md").read_text().partition("## Python 2.7\n")[2].partition("\n## ")[0]
    for source in python27.SOURCES:
        rows = [row for row in table.splitlines() if row.startswith(f"| {source.systems} | `{source.command}` |")]
        assert len(rows) == 1, source
        assert rows[0].rsplit("|", 2)[1].strip().startswith(("tried", "not tried")), rows[0]
