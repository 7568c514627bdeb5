"""Dockerfile, .dockerignore and compose.yaml as texts: what no container is needed for."""

from __future__ import annotations

import configparser
import re
import subprocess

import pytest
import yaml

from tests.container import recipe
from tests.support import parts

PACKAGE = "appengine_channel_emu"
COMPOSE = yaml.safe_load((parts.ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
STAGES = recipe.stages()


def values(instruction, stage="emulator"):
    return [line.value for line in STAGES[stage] if line.instruction == instruction]


def test_the_image_that_is_built_by_default_is_the_emulator_alone():
    assert list(STAGES)[-1] == ""
    assert [(line.instruction, line.value) for line in STAGES[""]] == [("FROM", "emulator")]


def test_the_image_starts_channel_emu_itself_so_that_it_gets_the_signals():
    assert values("ENTRYPOINT") == ['["channel-emu"]']
    assert values("CMD") == ['["serve", "/app"]']
    assert values("USER") == ["emulator"]
    assert "/_emu/health/live" in values("HEALTHCHECK")[0]


def test_pip_asks_for_what_the_package_consists_of_and_nothing_else_is_sent():
    sent = set(recipe.files_of_context())
    tracked = subprocess.run(["git", "ls-files"], cwd=parts.ROOT, capture_output=True, text=True, check=True)
    needed = {name for name in tracked.stdout.splitlines() if name.startswith((f"{PACKAGE}/", "build_backend/"))}
    needed |= {"setup.cfg", "setup.py", "pyproject.toml", "LICENSE", "README.md"}
    # Folders that the package has by a link: what of them it takes.
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(parts.ROOT / "setup.cfg", "utf-8")
    for pattern in setup["options.package_data"][PACKAGE].split():
        found = [path.resolve() for path in (parts.ROOT / PACKAGE).glob(pattern) if path.is_file()]
        assert found, pattern
        needed |= {str(path.relative_to(parts.ROOT)) for path in found}
    assert sorted(needed - sent) == []

    assert sum((parts.ROOT / name).lstat().st_size for name in sent) < 5_000_000
    assert not {name for name in sent if name.startswith((".", "tests/", "bench/", "docs/images/"))}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_of_compose_can_be_built_and_mounts_what_is_there(name):
    service = SERVICES[name]
    assert service["build"]["target"] in STAGES
    for volume in service["volumes"]:
        source = volume.partition(":")[0]
        assert (parts.ROOT / source).is_dir() or source in COMPOSE["volumes"]
    # A relative address would be the service's own, were it not in the emulator's network.
    assert service is SERVICES["emulator"] or service["network_mode"] == "service:emulator"


def test_compose_waits_only_for_what_has_a_health_check():
    waited = SERVICES["tests"]["depends_on"]
    assert {each["condition"] for each in waited.values()} == {"service_healthy"}
    assert set(waited) == {"emulator", "app"}
    # The emulator's is the image's. The app's is its own: the image's would ask for the emulator.
    assert "healthcheck" not in SERVICES["emulator"]
    assert SERVICES["app"]["healthcheck"]["test"][1] == "channel-emu"


def test_the_addresses_in_compose_agree():
    upstream = SERVICES["emulator"]["command"][-1].removeprefix("http://")
    assert f"--listen={upstream}" in SERVICES["app"]["command"][0]
    published, inside = SERVICES["emulator"]["ports"][0].rsplit(":", 1)
    assert published == "127.0.0.1:8080"
    for name in ("app", "tests"):
        assert SERVICES[name]["environment"]["CHANNEL_EMULATOR_HOST"] == f"127.0.0.1:{inside}"


@pytest.mark.parametrize("path", ["Dockerfile", "docs/container.md"])
def test_no_example_publishes_the_port_to_the_network(path):
    published = re.findall(r"docker run.*? -p (\S+)", (parts.ROOT / path).read_text())
    assert published
    assert {each.rpartition(":")[0] for each in published} == {"127.0.0.1:8080"}
