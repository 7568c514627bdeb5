"""google.appengine.api.channel in the app's own interpreter, whichever it is, and beside whatever else is there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import appengine_channel_emu
from tests.support import parts
from tests.support.service import running_service
from tests.support.waiting import LONG_ENOUGH

COMPAT = Path(appengine_channel_emu.__file__).parent / "compat" / "path"
CASES = Path(__file__).with_name("library_cases.py")
MINORS = ["2.7", *(f"3.{minor}" for minor in range(6, 14))]


@pytest.fixture(scope="module")
def emulator():
    with running_service() as service:
        yield service


def interpreter(version):
    """One of this version. Raises `PartMissing`."""
    if version == "2.7":
        return parts.python27()
    for python in parts.pythons():
        if python.name == f"python{version}":
            return python
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for python in sorted(root.glob(f"versions/{version}.*/bin/python{version}")):
        return python
    raise parts.PartMissing(f"no Python {version} on PATH or in pyenv: pyenv install {version}")


@pytest.fixture(params=["2.7", f"3.{sys.version_info[1]}"])
def python(request):
    """Python 2.7, and the one that runs the tests."""
    if request.param == "2.7":
        return parts.need(parts.python27)
    return Path(sys.executable)


def run(python, *arguments, path=(), address="127.0.0.1:9"):
    """What it printed, with the library on its path and `path` behind it."""
    folders = os.pathsep.join(map(str, [COMPAT, *path]))
    environ = {**os.environ, "PYTHONPATH": folders, "CHANNEL_EMULATOR_HOST": address, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), *map(str, arguments)]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr if "unittest" in ended.stderr or "Ran " in ended.stderr else ended.stdout


@pytest.mark.parametrize("version", MINORS)
def test_the_library(version, emulator):
    python = parts.need(lambda: interpreter(version))
    assert "Ran 12 tests" in run(python, CASES, address=emulator.address)


def write(folder, files):
    """Files with these texts; returns the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


PKGUTIL = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
SHOW = """
from google.appengine.api import channel
from google.appengine.runtime import DeadlineExceededError, apiproxy_errors
import google.appengine.api.channel.channel
print(channel.MAXIMUM_MESSAGE_LENGTH)
"""


def test_beside_a_namespace_package_of_python_3(tmp_path):
    # google-cloud and protobuf are such packages: PEP 420, no __init__.py.
    folder = write(tmp_path, {"google/cloud/storage.py": "NAME = 'storage'"})
    code = SHOW + "import google.cloud.storage; print(google.cloud.storage.NAME)"
    assert run(sys.executable, "-c", code, path=[folder]).split() == ["32767", "storage"]


def test_beside_a_pkgutil_package(tmp_path, python):
    files = {"google/__init__.py": PKGUTIL, "google/protobuf/__init__.py": "NAME = 'protobuf'"}
    code = SHOW + "import google.protobuf; print(google.protobuf.NAME)"
    assert run(python, "-c", code, path=[write(tmp_path, files)]).split() == ["32767", "protobuf"]


def test_beside_two_pkgutil_packages_in_either_order(tmp_path, python):
    one = write(tmp_path / "1", {"google/__init__.py": PKGUTIL, "google/one/__init__.py": ""})
    two = write(tmp_path / "2", {"google/__init__.py": PKGUTIL, "google/two/__init__.py": ""})
    for code in ("import google.one, google.two" + SHOW, SHOW + "import google.one, google.two"):
        assert run(python, "-c", code, path=[one, two]).split() == ["32767"]


SDK_WITHOUT_CHANNEL = {
    "google/__init__.py": PKGUTIL,
    "google/appengine/__init__.py": "",
    "google/appengine/api/__init__.py": "",
    "google/appengine/api/users.py": "NAME = 'users'",
    "google/appengine/runtime/__init__.py": "class DeadlineExceededError(BaseException): name = 'of the SDK'",
    "google/appengine/runtime/apiproxy_errors.py": "class Error(Exception): pass\nclass RPCFailedError(Error): pass\n"
    "class ApplicationError(Error): pass\n",
}


def test_beside_an_sdk_that_has_dropped_channels(tmp_path, python):
    code = SHOW + "from google.appengine.api import users; print(users.NAME, DeadlineExceededError.name)"
    printed = run(python, "-c", code, path=[write(tmp_path, SDK_WITHOUT_CHANNEL)])
    assert "32767" in printed
    assert "users" in printed
    assert "of the SDK" in printed


def test_its_errors_are_the_sdks(tmp_path, python):
    code = """if True:
        from google.appengine.api import channel
        from google.appengine.runtime import apiproxy_errors
        try:
            channel.create_channel("x")
        except apiproxy_errors.RPCFailedError as error:
            print(apiproxy_errors.__file__)
    """
    folder = write(tmp_path, SDK_WITHOUT_CHANNEL)
    assert run(python, "-c", code, path=[folder]).startswith(str(folder))


def test_an_sdk_with_channels_of_its_own_goes_first(tmp_path, python):
    own = {
        "google/__init__.py": "",
        "google/appengine/api/channel/__init__.py": "from google.appengine.api.channel.channel import *",
        "google/appengine/api/channel/channel.py": "MAXIMUM_MESSAGE_LENGTH = 'its own'",
    }
    folder = write(tmp_path, {**SDK_WITHOUT_CHANNEL, **own})
    assert run(python, "-c", SHOW, path=[folder]).strip() == "its own"


def test_an_app_may_have_a_module_called_channel(tmp_path, python):
    folder = write(tmp_path, {"channel.py": "NAME = 'of the app'"})
    code = "import channel; print(channel.NAME)\n" + SHOW.replace("print", "#")
    assert run(python, "-c", code, path=[folder]).strip() == "of the app"


def test_another_sitecustomize_runs_as_well(tmp_path, python):
    files = {"sitecustomize.py": "import os\nos.environ['CUSTOMIZED'] = os.path.basename(__file__)"}
    code = "import os; print(os.environ['CUSTOMIZED'])\n" + SHOW
    assert run(python, "-c", code, path=[write(tmp_path, files)]).split() == ["sitecustomize.py", "32767"]


def test_a_broken_sitecustomize_says_so_and_harms_nothing_else(tmp_path, python):
    folder = write(tmp_path, {"sitecustomize.py": "raise ValueError('of the user')"})
    assert run(python, "-c", SHOW, path=[folder]).strip() == "32767"


def test_without_site_the_shim_can_be_installed_by_hand(python):
    code = (
        "import sys; sys.path.insert(0, %r); import channel_emu_shim as shim; shim.install(); shim.install()\n" + SHOW
    )
    assert run(python, "-S", "-c", code % str(COMPAT)).strip() == "32767"


def test_the_start_of_an_interpreter_imports_nothing_of_google(python):
    code = "import sys; print([name for name in sys.modules if name.startswith('google')])"
    assert run(python, "-c", code).strip() == "[]"
