"""Google's own `google.appengine.api.channel`, unmodified, under Python 2.7."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import parts
from tests.support.service import running_service

DRIVER = Path(__file__).with_name("sdk_library.py")
CASES = Path(__file__).parents[1] / "compat"


@pytest.fixture(scope="module")
def service():
    with running_service(api_port=0) as service:
        yield service


@pytest.mark.parametrize("software", ["Development/2.0", "Google App Engine/1.9.88"])
@pytest.mark.parametrize("way", ["remote_api", "bridge", "api_port"])
def test_the_sdks_library(service, way, software):
    address = service.api_address if way == "api_port" else service.address
    command = [parts.need(parts.python27), DRIVER, parts.need(parts.sdk), way, address, CASES, software]
    environ = os.environ | {"CHANNEL_EMULATOR_HOST": service.address, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [str(word) for word in command], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "Ran 12 tests" in ended.stderr
