"""Packages for environments that tests make: fetched once by this machine's pip, then installed without a network."""

from __future__ import annotations

import configparser
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.support import parts

HERE = "{}.{}".format(*sys.version_info[:2])


def wheelhouse(wanted: Iterable[str], version: str = HERE) -> Path:
    """A folder for `pip --no-index --find-links`, kept: all of `wanted`, what our package needs, and to build it.

    `version` is that of the Python that will install them. Raises `PartMissing` where pip can fetch none.
    """
    settings = configparser.ConfigParser()
    settings.read(parts.ROOT / "setup.cfg")
    ours = settings["options"]["install_requires"] + settings["options.extras_require"]["redis"]
    everything = [*filter(None, ours.split("\n")), "setuptools>=68", "wheel", *wanted]
    folder = parts.cache() / "wheels" / version
    with parts.one_at_a_time("wheels"):
        folder.mkdir(parents=True, exist_ok=True)
        stamp = folder / "wanted"
        had = set(stamp.read_text().splitlines()) if stamp.exists() else set()
        if not had.issuperset(everything):
            _fetch(folder, version, everything)
            stamp.write_text("\n".join(sorted(had.union(everything))))
    return folder


def _fetch(folder: Path, version: str, wanted: list[str]) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # The SDK's wheel may be in the cache already; it is large.
    pip += ["--only-binary=:all:", f"--python-version={version}", "--find-links", str(parts.cache())]
    done = subprocess.run([*pip, "--dest", str(folder), *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        raise parts.PartMissing(f"pip cannot fetch what the test installs: {done.stderr[-500:]}")
