"""Projects of their own, with the plugins of this suite."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH

BY_WORKERS = ("-p", "xdist", "-n", "1", "--dist", "worksteal")
PLUGINS = ("tests.support.accounting", "tests.support.markers", "tests.support.run_folder", "pytest_rerunfailures")


@dataclass
class Project:
    """A folder of tests, and how pytest is told to run them."""

    folder: Path

    def write(self, **files: str) -> None:
        """Python files by name, without `.py`."""
        (self.folder / "pytest.ini").write_text("[pytest]\ntestpaths = .\naddopts = --strict-markers\n")
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(text)

    def command(self, *arguments: str) -> list[str]:
        """To be run in `folder` with `environ`."""
        plugins = [each for name in PLUGINS for each in ("-p", name)]
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugins, *arguments]

    def environ(self) -> dict[str, str]:
        """Without what this run has told pytest."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}

    def run(self, *arguments: str, **files: str) -> tuple[int, str]:
        """Exit status, and what was said."""
        self.write(**files)
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=LONG_ENOUGH,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(params=[(), BY_WORKERS], ids=["here", "by workers"])
def run(project: Project, request: pytest.FixtureRequest) -> Callable[..., tuple[int, str]]:
    """The project's `run`, in one process and by workers."""
    return lambda *arguments, **files: project.run(*request.param, *arguments, **files)
