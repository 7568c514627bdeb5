"""Starting a node: whose channels it has, what is refused, and where its Redis's password is not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from appengine_channel_emu.cli.main import main
from appengine_channel_emu.host.app_kinds import AppYaml, with_service_name
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.web.later import waited
from tests.broker.redis.servers import RedisServer
from tests.cluster.service import APP, Cluster, ClusterNode
from tests.support import parts
from tests.support.emulator import EMU
from tests.support.nginx import make_certificate
from tests.support.service import running_service
from tests.support.waiting import LONG_ENOUGH, eventually
from tests.support.wire import free_port

PASSWORD = "a-secret-that-nobody-reads"

UNIX = "unix:///run/redis.sock"


def refusal(**settings: object) -> str:
    with pytest.raises(CannotStart) as refused:
        Service(Settings(port=0, state_dir="none", **settings), lambda address: None)
    return str(refused.value)


def test_a_service_is_named_after_the_application() -> None:
    named = with_service_name(Settings(redis=UNIX), AppYaml(APP / "app.yaml"))
    assert named.redis_name == "shared-app"
    chosen = with_service_name(Settings(redis=UNIX, redis_name="staging"), AppYaml(APP / "app.yaml"))
    assert chosen.redis_name == "staging"
    assert with_service_name(Settings(), None) == Settings()


@pytest.mark.parametrize("application", [None, "x" * 101])
def test_without_a_name_it_is_said_what_it_is_for(tmp_path: Path, application: str | None) -> None:
    line = "" if application is None else f"application: {application!r}\n"
    (tmp_path / "app.yaml").write_text(f"{line}runtime: python312\nhandlers:\n- url: /.*\n  script: main.app\n")
    with pytest.raises(CannotStart, match="--redis-name is missing"):
        with_service_name(Settings(redis=UNIX), AppYaml(tmp_path / "app.yaml"))
    with pytest.raises(CannotStart, match="the same at each emulator"):
        with_service_name(Settings(redis=UNIX), None)


def test_nobody_is_there(tmp_path: Path) -> None:
    parts.need(parts.redis_server)
    text = refusal(redis=f"unix://{tmp_path}/none", redis_name="app")
    assert text.startswith(f"The Redis at unix://{tmp_path}/none cannot be reached: No such file or directory.")
    text = refusal(redis=f"redis://127.0.0.1:{free_port()}", redis_name="app")
    assert "Connection refused" in text
    assert "redis-server" in text


def test_a_redis_that_never_answers() -> None:
    parts.need(parts.redis_server)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = refusal(redis=f"redis://127.0.0.1:{silent.getsockname()[1]}", redis_name="app")
    assert "cannot be reached: no answer" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("maxmemory-policy", "allkeys-lru"), "noeviction"),
        (("requirepass", PASSWORD), "--redis-password-file"),
    ],
)
def test_a_redis_that_cannot_be_used(own_redis, change: tuple[str, str], said: str) -> None:
    redis: RedisServer = own_redis()
    redis.client().config_set(*change)
    text = refusal(redis=f"unix://{redis.path}", redis_name="app")
    assert said in text
    assert PASSWORD not in text


def test_another_schema_is_left_as_it_is(shared_redis: RedisServer, shared: Cluster) -> None:
    client = shared_redis.client()
    client.set(f"emu:{shared.name}-old:schema", "0")
    text = refusal(redis=shared.url, redis_name=f"{shared.name}-old")
    assert "schema 0" in text
    assert client.keys(f"emu:{shared.name}-old:*") == [f"emu:{shared.name}-old:schema".encode()]


def test_no_service_has_keys_of_another(shared_redis: RedisServer, shared: Cluster) -> None:
    names = ["example.com", "example.com:c"]
    with contextlib.ExitStack() as running:
        for name in names:
            service = running.enter_context(running_service(redis=shared.url, redis_name=name))
            waited(partial(service.broker.create_channel, "schema"))
    client = shared_redis.client()
    first = {bytes(key) for key in client.scan_iter("emu:example.com:*")}
    assert b"emu:example.com:c:schema" not in first or client.type("emu:example.com:c:schema") == b"hash"
    assert b"emu:example.com%3Ac:schema" in set(client.scan_iter("emu:example.com%3A*"))


def test_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("appengine_channel_emu.broker.redis.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hiredis", None)
    assert refusal(redis=UNIX, redis_name="app").endswith("pip install 'appengine-channel-emu[redis]'")


def test_a_refusal_is_a_line_and_an_exit_status(own_redis) -> None:
    redis = own_redis(password=PASSWORD)
    command = [*EMU, "serve", "--redis", f"unix://{redis.path}", "--redis-name", "app", "--port", "0"]
    environ = os.environ | {"CHANNEL_EMU_REDIS_PASSWORD": PASSWORD[:-1]}
    done = subprocess.run(command, cwd=parts.ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"channel-emu: The Redis at unix://{redis.path} does not let us in.")
    assert PASSWORD[:-1] not in line


def test_the_password_is_shown_to_nobody(own_redis, tmp_path: Path) -> None:
    redis = own_redis(password=PASSWORD)
    with Cluster(redis, tmp_path) as cluster:
        node = cluster.node("first", CHANNEL_EMU_REDIS_PASSWORD=PASSWORD)
        assert PASSWORD not in json.dumps(node.get_json("/environment"))
        for path in ("settings", "status", "cluster", "metrics", "events", "explain?client_id=x"):
            assert PASSWORD.encode() not in node.request("GET", f"/_emu/{path}").data
        shown = subprocess.run(["ps", "axww", "-o", "args="], capture_output=True, text=True, check=True).stdout
        assert str(redis.path) in shown
        # Redis's own command line has it, as this test gives it; ours has not.
        assert [line for line in shown.splitlines() if PASSWORD in line and "redis-server" not in line] == []
        node.stop()
        assert f"state     in Redis, as first of {cluster.name}" in node.log.read_text("utf-8")
        assert PASSWORD not in node.log.read_text("utf-8")


@pytest.mark.slow
def test_tls_with_the_certificates_of_the_system(own_redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = make_certificate(tmp_path)
    port, plain = free_port(), free_port()
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no"]
    redis = own_redis("--tls-port", str(port), "--port", str(plain), "--bind", "127.0.0.1", *files, password=PASSWORD)
    url = f"rediss://localhost:{port}"
    monkeypatch.setenv("CHANNEL_EMU_REDIS_PASSWORD", PASSWORD)
    text = refusal(redis=url, redis_name="app")
    assert text.startswith(f"The Redis at {url} cannot be reached: ")
    assert "certificate" in text.lower()
    assert "SSL_CERT_FILE" in text
    assert "begins with redis://" in refusal(redis=f"rediss://localhost:{plain}", redis_name="app")
    with Cluster(redis, tmp_path, url) as cluster:
        environ = {"CHANNEL_EMU_REDIS_PASSWORD": PASSWORD, "SSL_CERT_FILE": str(certificate)}
        first, second = (cluster.node(name, app=None, **environ) for name in ("first", "second"))
        with first.page(second.create_channel("anna")) as page:
            assert second.send("anna", "hello") == 1
            assert page.receive(LONG_ENOUGH) == "hello"
        assert first.get_json("/_emu/cluster")["redis"]["url"] == url


@pytest.mark.parametrize(("host", "name"), [("0.0.0.0", socket.gethostname()), ("localhost", "127.0.0.1")])
def test_where_it_listens_for_all_it_has_the_machines_name(shared_redis: RedisServer, host: str, name: str) -> None:
    url = f"unix://{shared_redis.path}"
    with running_service(host=host, redis=url, redis_name=f"at-{host}") as service:
        cluster = service.about.cluster
        assert cluster is not None
        (node,) = eventually(lambda: cluster()["nodes"], bool)
        assert node["address"] == f"{name}:{service.port}"


def test_the_verb(nodes: list[ClusterNode], shared: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = nodes
    assert main(["cluster", "--emulator", first.address]) == 0
    shown = capsys.readouterr().out
    assert f"service  {shared.name}, 2 nodes" in shown
    assert [line.split()[0] for line in shown.splitlines()[-2:]] == ["first", "second"]
    assert second.address in shown
    assert main(["cluster", "--json", "--emulator", first.address]) == 0
    assert json.loads(capsys.readouterr().out)["redis"]["url"] == shared.url


def test_status_names_the_node(nodes: list[ClusterNode], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--emulator", nodes[0].address]) == 0
    assert "in Redis, as node first" in capsys.readouterr().out


def test_one_that_is_alone_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with running_service() as service:
        assert main(["cluster", "--emulator", service.address]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"channel-emu cluster: the emulator at {service.address} refuses this: 404 This emulator is alone" in err


def test_a_node_that_is_told_to_end_leaves_no_trace(cluster: Cluster) -> None:
    first, second = (cluster.node(name, app=None) for name in ("first", "second"))
    assert len(second.get_json("/_emu/cluster")["nodes"]) == 2
    first.kill(signal.SIGTERM)
    assert [node["name"] for node in second.get_json("/_emu/cluster")["nodes"]] == ["second"]
