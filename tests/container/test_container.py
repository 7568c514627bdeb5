"""The image that our Dockerfile describes, run as its user.

No Docker is needed, and none is tried: `recipe.py` runs the Dockerfile's own lines in a root made by mmdebstrap, and
says what differs; `running.py` runs that root in namespaces of its own, behind a network as Docker's. The root takes
half a minute where the tests' cache has none yet.
"""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest
import urllib3
import yaml

from appengine_channel_emu.testing import ChannelClient
from tests.container import recipe
from tests.container.running import PORT, Container, need_namespaces
from tests.support import parts
from tests.support.legacy import APPS
from tests.support.waiting import LONG_ENOUGH, until

pytestmark = pytest.mark.slow

COMPOSE = yaml.safe_load((parts.ROOT / "compose.yaml").read_text())
FROM_HERE = {"Host": f"localhost:{PORT}"}
"""What a browser sends to the port that `docker run -p 127.0.0.1:8080:8080` publishes."""

PYTHON3_APP = """
from google.appengine.api import channel

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [channel.create_channel("ann").encode()]
"""


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """One for all workers of a run, with what the stage of compose.yaml's tests adds."""
    need_namespaces()
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "container-root"
    with parts.one_at_a_time("container"):
        return parts.need(lambda: recipe.build(root, then=["tests"]))


@pytest.fixture
def folder(tmp_path):
    """One that the image's user may enter, as a user's own would be."""
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    return tmp_path


@pytest.fixture
def app(folder):
    """The SDK's webapp2 app with ndb, deferred and presence."""
    made = folder / "app"
    shutil.copytree(APPS / "webapp2_ndb", made, ignore=shutil.ignore_patterns("*.pyc"))
    return made


@pytest.fixture
def http():
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(LONG_ENOUGH))
    yield pool
    pool.clear()


def a_page_of_the_app(container, http, client_id):
    page = http.request("GET", f"{container.url}/?as={client_id}", headers=FROM_HERE)
    assert page.status == 200, page.data
    return ChannelClient(container.url, re.search(rb"Channel\('([^']+)'\)", page.data)[1].decode())


def test_an_sdk_app_is_served_as_a_user_without_rights(image, app, folder, http):
    """A message, a presence post, the health check, the admin API's closed door, and an end in time."""
    before = {path: path.stat().st_mtime_ns for path in app.rglob("*")}
    with Container(image, folder / "log", mounts={"/app:ro": app}) as container:
        container.wait_until_healthy()
        with a_page_of_the_app(container, http, "ann") as page:
            assert json.loads(page.receive(timeout=LONG_ENOUGH))["here"] == ["ann"]
            told = http.request("POST", f"{container.url}/add", headers=FROM_HERE, fields={"text": "hello"})
            assert told.status == 200, told.data
            assert json.loads(page.receive(timeout=LONG_ENOUGH)) == {"text": "hello"}

        refused = http.request("GET", f"{container.url}/_emu/status", headers=FROM_HERE)
        assert (refused.status, b"--allow-remote-admin" in refused.data) == (403, True)
        status = container.exec(["channel-emu", "status"])
        assert "SDK app, Python 2.7" in status.stdout, status.stderr

        running = container.processes()
        assert {user for user, _ in running.values()} == {1000}
        assert running[1][1].endswith("channel-emu serve /app ")
        assert container.stop() == 0
    assert "stopping has taken" not in container.log.read_text()
    assert {path: path.stat().st_mtime_ns for path in app.rglob("*")} == before


def test_the_state_outlives_the_container_in_its_volume(image, folder, http):
    (folder / "main.py").write_text(PYTHON3_APP)
    state = folder / "state"
    state.mkdir(mode=0o700)
    shutil.chown(state, 1000, 1000)
    asked = {"mounts": {"/app:ro": folder, "/state": state}, "arguments": ["serve", "main:app"]}
    with Container(image, folder / "log", **asked) as container:
        container.wait_until_healthy()
        token = http.request("GET", container.url, headers=FROM_HERE).data.decode()
        assert container.stop() == 0
    with Container(image, folder / "log", **asked) as container:
        container.wait_until_healthy()
        with ChannelClient(container.url, token) as page:
            assert not page.closed
            assert container.exec(["channel-emu", "send", "ann", "welcome back"]).returncode == 0
            assert page.receive(timeout=LONG_ENOUGH) == "welcome back"


def test_a_user_of_another_number_has_everything_but_the_volume(image, app, folder, http):
    """As of `docker run --user "$(id -u)"`; the log says that nothing is kept, and what to do."""
    with Container(image, folder / "log", mounts={"/app:ro": app}, user="12345") as container:
        container.wait_until_healthy()
        with a_page_of_the_app(container, http, "ann") as page:
            assert json.loads(page.receive(timeout=LONG_ENOUGH))["here"] == ["ann"]
        assert container.stop() == 0
    log = container.log.read_text()
    assert "Nothing is kept over a restart: /state" in log
    assert "--state-dir" in log


def test_the_console_is_open_to_this_machine_where_it_is_asked_for(image, app, folder, http):
    environ = {"CHANNEL_EMU_ALLOW_REMOTE_ADMIN": "true"}
    with Container(image, folder / "log", mounts={"/app:ro": app}, environ=environ) as container:
        container.wait_until_healthy()
        assert http.request("GET", f"{container.url}/_emu/", headers=FROM_HERE).status == 200
        # Pages of other sites are kept out all the same.
        stranger = {**FROM_HERE, "Origin": "http://evil.example", "Content-Type": "application/json"}
        assert http.request("POST", f"{container.url}/_emu/reset", headers=stranger, body="{}").status == 403
        assert http.request("GET", f"{container.url}/_emu/", headers={"Host": "evil.example"}).status == 421


def test_a_folder_without_an_app_is_an_error_that_says_so(image, folder):
    container = Container(image, folder / "log", mounts={"/app:ro": folder})
    container.start()
    assert container.wait() == 2
    assert "/app" in container.log.read_text()
    assert "app.yaml" in container.log.read_text()


def test_compose_runs_the_sample_app_and_its_tests(image, folder):
    """Its three services, side by side in one network, each with the command and the folder that compose.yaml says."""
    emulator, app, tests = (COMPOSE["services"][name] for name in ("emulator", "app", "tests"))
    mounts = {}
    for service in (app, tests):
        for volume in service["volumes"]:
            source, target, mode = volume.split(":")
            mounts[f"{target}:{mode}"] = (parts.ROOT / source).resolve()
    with Container(image, folder / "log", mounts=mounts, arguments=emulator["command"]) as container:
        container.wait_until_healthy()
        with container.beside(service_command(app), app["environment"]) as other:
            health = app["healthcheck"]["test"][1:]
            until(lambda: container.exec(health, app["environment"]).returncode == 0)
            done = container.exec(service_command(tests), tests["environment"], tests["working_dir"])
            assert done.returncode == 0, done.stdout
            assert "1 passed" in done.stdout
            assert other.poll() is None


def service_command(service):
    """Its entrypoint and its arguments; `$$` is how compose.yaml writes a dollar sign."""
    return [part.replace("$$", "$") for part in [*service["entrypoint"], *service["command"]]]
