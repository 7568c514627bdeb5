"""How this system gets a Python 2.7, which the SDK needs and few systems have.

The one place that names the commands: for the errors of `serve` and `sdk`, for `channel-emu doctor`, and for the table
in docs/legacy-apps.md, which a test holds to this file.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
"""What says which Linux this is; the first that can be read counts (os-release(5))."""


_UBUNTU_WITH_PYTHON27 = ("xenial", "bionic", "focal", "jammy")


class Source(NamedTuple):
    """A way to a Python 2.7: the systems that have it, its command for a shell, and what else is to be said."""

    systems: str
    command: str
    remark: str = ""


APT = Source("Ubuntu 22.04 and older, Debian 11", "sudo apt install python2.7")
DEBIAN = Source(
    "Debian 12, 13",
    "sudo sh -c 'echo deb http://deb.debian.org/debian bullseye main >/etc/apt/sources.list.d/bullseye.list && "
    "apt update && apt install python2.7'",
    "from the archive of Debian 11",
)
DNF = Source("Fedora 32 to 40", "sudo dnf install python2.7")
RHEL = Source("RHEL 8 and its relatives", "sudo dnf install python2")
PYENV = Source("any other, and macOS", "pyenv install 2.7.18", "it is found in pyenv without being selected")
CONDA = Source(
    "x86_64 Linux, macOS on Intel",
    "conda create --yes --name py27 --override-channels --channel defaults python=2.7",
    'then --python "$(conda run --name py27 which python2.7)"',
)
CONDA_ON_ARM = Source(
    "macOS on Apple silicon",
    "CONDA_SUBDIR=osx-64 conda create --yes --name py27 --override-channels --channel defaults python=2.7",
    f"it runs under Rosetta; {CONDA.remark}",
)

SOURCES = (APT, DEBIAN, DNF, RHEL, PYENV, CONDA, CONDA_ON_ARM)
"""All of them, in the order of the document."""


def sources_here() -> list[Source]:
    """Those for this system, the best first; never empty."""
    if platform.system() == "Darwin":
        return sources_for({"ID": "macos"}, platform.machine())
    return sources_for(read_os_release(), platform.machine())


def sources_for(os_release: Mapping[str, str], machine: str) -> list[Source]:
    """Those for the system that the fields of its os-release describe; `macos` is an `ID` of ours."""
    if os_release.get("ID") == "macos":
        return [CONDA_ON_ARM if machine == "arm64" else CONDA, PYENV]
    archive = _archive(os_release)
    return [*([archive] if archive else []), PYENV, *([CONDA] if machine == "x86_64" else [])]


def advice() -> str:
    """What to do without a Python 2.7, for the text of an error: the first of `sources_here`, on a line of its own."""
    best = sources_here()[0]
    remark = f" ({best.remark})" if best.remark else ""
    return f"To install one{remark}:\n    {best.command}\nTo name one that you have: --python /path/to/python2.7"


def read_os_release() -> dict[str, str]:
    """The fields of this system's os-release; none where there is no such file."""
    for path in OS_RELEASE:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        return dict(re.findall(r"""^([A-Z_]+)=["']?(.*?)["']?\s*$""", text, re.MULTILINE))
    return {}


def _archive(os_release: Mapping[str, str]) -> Source | None:
    """The system's own archive of packages, where that has a Python 2.7 or can be made to."""
    system = os_release.get("ID", "")
    version = _number(os_release.get("VERSION_ID", ""))
    relatives = {system, *os_release.get("ID_LIKE", "").split()}
    if system == "ubuntu" or "UBUNTU_CODENAME" in os_release:
        # Mint and others of Ubuntu's family have numbers of their own, and name Ubuntu's.
        return APT if os_release.get("UBUNTU_CODENAME") in _UBUNTU_WITH_PYTHON27 else None
    if system == "debian":
        return APT if version and version <= (11,) else DEBIAN
    if system == "fedora":
        return DNF if version and version <= (40,) else None
    return RHEL if "rhel" in relatives and version[:1] == (8,) else None


def _number(version: str) -> tuple[int, ...]:
    """`22.04` as (22, 4); empty for a system that has no number, such as Debian's testing."""
    return tuple(int(part) for part in version.split(".")) if re.fullmatch(r"\d+(\.\d+)*", version) else ()
