"""The admin API keeps the word of its OpenAPI document, whatever it is asked."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from webtest import TestApp

from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.notes import Notes
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.accounts import Accounts
from appengine_channel_emu.web.admin.routes import admin_resources
from appengine_channel_emu.web.admin.status import About
from appengine_channel_emu.web.refusals import Refusals
from tests.support import parts
from tests.support.parts import ROOT

DOCUMENT = "/_emu/openapi.json"


@pytest.mark.slow
def test_every_operation_answers_as_described():
    """In a pytest of its own: schemathesis takes seconds to load, and every worker would."""
    if importlib.util.find_spec("schemathesis") is None:
        parts.lacking("schemathesis is not installed: pip install '.[test]'")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "schemathesis.pytest.plugin", "-p", "no:cacheprovider"]
    command.append("tests/web/openapi_operations.py")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    paths = document(Emulator())["paths"]
    del paths[DOCUMENT]  # Schemathesis does not ask for what it was given as the document.
    assert f"{sum(map(len, paths.values()))} passed" in done.stdout, done.stdout


def document(emulator):
    return TestApp(emulator).get(DOCUMENT).json


def test_every_path_is_described():
    emulator = Emulator()
    described = document(emulator)
    assert described["openapi"].startswith("3.1")
    assert set(described["paths"]) == set(
        admin_resources(
            emulator.broker,
            FaultGate(emulator.broker),
            Accounts(),
            Notes(lambda client_id: None),
            About(),
            lambda: None,
            Refusals(emulator.broker, emulator.clock.now),
        )
    )
