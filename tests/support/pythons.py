"""The unit tests on the oldest and on the newest Python of this machine: `python -m tests.support.pythons`.

Each has a virtual environment of its own, `.venv-3.x` in the source tree. What is in use here is left out: `make test`
has all tests on it. Arguments are pytest's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import parts
from tests.support.parts import ROOT

OLDEST = (3, 10)
"""The oldest that setup.cfg promises."""

UNIT_TESTS = ("broker", "in_process", "testing", "web", "test_settings.py")
"""Below tests/, what needs nothing but Python packages."""
WITHOUT = "web/test_openapi.py"
"""Needs schemathesis, which takes longer to install than all of them to run."""


def main(arguments: list[str]) -> int:
    """The exit status: 1 if a test fails on one of them, or if the oldest is missing where ``CI=true``."""
    found = parts.pythons()
    chosen = {_version(python): python for python in (found[0], found[-1])}
    status = 0
    if OLDEST not in chosen:
        print("No Python {}.{} found on PATH or in pyenv".format(*OLDEST))
        status = int(parts.on_ci())
    for version, python in chosen.items():
        if version != sys.version_info[:2]:
            print("The unit tests on Python {}.{}".format(*version), flush=True)
            status |= _run(_set_up(python, version), arguments)
    return status


def _version(python: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in python.name.removeprefix("python").split("."))


def _set_up(python: Path, version: tuple[int, ...]) -> Path:
    """The interpreter of its environment, which has what setup.cfg names."""
    folder = ROOT / ".venv-{}.{}".format(*version)
    inside, stamp = folder / "bin" / "python", folder / "unit.stamp"
    if not stamp.exists() or stamp.stat().st_mtime < (ROOT / "setup.cfg").stat().st_mtime:
        print(f"Setting up {folder.name}", flush=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--editable", ".[unit]"], cwd=ROOT, check=True)
        stamp.touch()
    return inside


def _run(python: Path, arguments: list[str]) -> int:
    command = [
        str(python),
        "-m",
        "pytest",
        "-n",
        "auto",
        "--dist",
        "worksteal",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
    ]
    command += [f"--ignore=tests/{WITHOUT}", *(f"tests/{name}" for name in UNIT_TESTS), *arguments]
    return int(subprocess.run(command, cwd=ROOT, check=False).returncode != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
