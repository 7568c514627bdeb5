"""The admin API keeps the word of its OpenAPI document, whatever it is asked."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from webtest import TestApp

from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.notes import Notes
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web import query
from appengine_channel_emu.web.accounts import Accounts
from appengine_channel_emu.web.admin_routes import About, admin_resources
from tests.support import parts

try:
    import schemathesis
except ImportError:
    if parts.on_ci():
        raise
    pytest.skip("schemathesis is not installed: pip install '.[test]'", allow_module_level=True)

EXAMPLES = 200 if os.environ.get("SOAK") else 25

# A generated wait may be long: time is up at once, whatever it is.
query.LONGEST_WAIT = 0.01

emulator = Emulator(clock=SystemClock())
schema = schemathesis.openapi.from_wsgi("/_emu/openapi.json", emulator)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_every_answer_is_as_described(case):
    case.call_and_validate(headers={"Host": "localhost"})


def test_every_path_is_described():
    document = TestApp(emulator).get("/_emu/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == set(
        admin_resources(emulator.broker, Accounts(), Notes(lambda client_id: 0), About(), lambda: None)
    )
