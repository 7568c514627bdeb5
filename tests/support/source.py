"""A clean copy of the source tree, and what is built of it: a build leaves its own traces in the folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.parts import ROOT


def copy_source(folder: Path) -> Path:
    """Copies what git has, and what it would take, into `folder`."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, files):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def build_wheel(source: Path, folder: Path) -> Path:
    """The package's wheel, built in `source` as pip does it, and put into `folder`."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", str(folder), "."]
    _run(command, source)
    return next(folder.glob("*.whl"))


def build_sdist(source: Path, folder: Path) -> Path:
    """The package's sdist, built in `source` by its own build backend, and put into `folder`."""
    code = "import sys; sys.path.insert(0, 'build_backend'); import reproducible; reproducible.build_sdist(sys.argv[1])"
    _run([sys.executable, "-c", code, str(folder)], source)
    return next(folder.glob("*.tar.gz"))


def _run(command: list[str], source: Path) -> None:
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
