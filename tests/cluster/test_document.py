"""What docs/several-emulators.md and examples/cluster say is what is there, as far as no container runs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from appengine_channel_emu.cli.serve import parser
from appengine_channel_emu.settings import load
from tests.cluster.balancer import EXAMPLE
from tests.support import parts
from tests.support.processes import default_signals, left_after, marked, running_command
from tests.support.waiting import LONG_ENOUGH
from tests.support.wire import free_port, takes_connections

DOCUMENT = parts.ROOT / "docs" / "several-emulators.md"
FOLDER = EXAMPLE.parent
SERVE = FOLDER / "serve.py"


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
    return services


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_configuration_of_nginx_is_the_one_that_tests_run() -> None:
    assert block("nginx") == EXAMPLE.read_text("utf-8")


def test_what_caddy_is_told_names_the_same_paths() -> None:
    for path in ("/_emu/*", "/rpc_http", "/_ah/remote_api"):
        assert path in block("caddyfile")


@pytest.mark.parametrize("name", ["emulator-a", "emulator-b"])
def test_an_emulator_of_the_composition_has_good_settings(name: str, tmp_path: Path) -> None:
    service = compose()[name]
    verb, *arguments = service["command"]
    settings = load(vars(parser().parse(arguments)), service["environment"], tmp_path)
    assert verb == "serve"
    assert (settings.redis, settings.redis_name) == ("redis://redis", "sample")
    assert settings.node_name == name[-1]
    assert settings.upstream == "http://app:9000"
    # What the app calls, and what nginx calls the emulators towards it.
    assert {"nginx", "emulators"} <= set(settings.allow_host)


def test_the_composition_and_nginx_fit() -> None:
    services, servers = compose(), EXAMPLE.read_text("utf-8")
    for name in ("emulator-a", "emulator-b"):
        assert f"server {name}:8080 " in servers
    assert services["app"]["environment"]["CHANNEL_EMULATOR_HOST"] == "nginx:8090"
    assert "listen 8090;" in servers
    (volume,) = services["nginx"]["volumes"]
    assert volume.startswith("./nginx.conf:")
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert set(service.get("depends_on", ())) <= set(services)
    assert "noeviction" in services["redis"]["command"]


def test_redis_takes_the_options_of_the_composition(own_redis: Any) -> None:
    options = compose()["redis"]["command"][1:]
    assert own_redis(*options).client().config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_without_a_redis_the_demonstration_says_what_is_missing(tmp_path: Path) -> None:
    environ = os.environ | {"PATH": str(tmp_path), "PYTHONPATH": str(parts.ROOT)}
    done = subprocess.run([sys.executable, SERVE], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no redis-server on PATH" in done.stderr
    assert "apt install redis-server" in done.stderr


@pytest.mark.slow
def test_players_at_two_emulators_play_one_game(context: Any) -> None:
    from playwright.sync_api import expect

    parts.need(parts.redis_server)
    first = free_port()
    while any(takes_connections(port) for port in (first + 1, first + 2)):
        first = free_port()
    environ = os.environ | {"TEST_PROCESS_MARK": f"cluster-{first}", "PYTHONPATH": str(parts.ROOT)}
    command = [sys.executable, str(SERVE), "--port", str(first)]
    with running_command(command, env=environ, stdout=subprocess.PIPE, preexec_fn=default_signals) as process:
        assert process.stdout is not None
        shown = [process.stdout.readline() for _ in range(6)]
        addresses = re.findall(r"http://localhost:\d+/\?game=\w+", "".join(shown))
        assert len(addresses) == 2
        players = [context.new_page() for _ in addresses]
        for player, address in zip(players, addresses, strict=True):
            player.goto(address)
        for player in players:
            expect(player.locator("#board button")).to_have_count(9)
        for turn, mark in enumerate("XO"):
            mover, other = players if turn == 0 else players[::-1]
            mover.locator("#board .free").first.click()
            expect(other.locator(f"#board [data-mark={mark}]")).to_have_count(1)
        assert len(marked(f"cluster-{first}")) >= 4  # of a Redis nothing can be seen
        process.send_signal(signal.SIGINT)
        assert process.wait(LONG_ENOUGH) == 0
    assert left_after(f"cluster-{first}") == {}


def test_make_has_it() -> None:
    make = shutil.which("make")
    if make is None:
        parts.lacking("no make found")
    done = subprocess.run([make, "-n", "serve-cluster"], cwd=parts.ROOT, capture_output=True, text=True, check=True)
    assert f"{SERVE.relative_to(parts.ROOT)}" in done.stdout
    assert "make serve-cluster" in DOCUMENT.read_text("utf-8")
