"""A test for each operation of the admin API's OpenAPI document, by schemathesis. test_openapi.py runs them."""

from __future__ import annotations

import os
import re

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web import resources

EXAMPLES = 200 if os.environ.get("SOAK") else 10

emulator = Emulator(clock=SystemClock())
schema = schemathesis.openapi.from_wsgi("/_emu/openapi.json", emulator)


@pytest.fixture(scope="module", autouse=True)
def time_is_up_at_once():
    """A generated wait may be long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "LONGEST_WAIT", 0.01)
        yield


def answers_as_described(method, path):
    """A test of one operation. Those of a whole schema would share one id, and pytest-xdist run one of them alone."""

    @schema.include(method=method, path=path).parametrize()
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    def test(case):
        case.call_and_validate(headers={"Host": "localhost"})

    return test


for each in schema.get_all_operations():
    operation = each.ok()
    name = "_".join(["test", operation.method.lower(), *re.findall(r"\w+", operation.path), "answers_as_described"])
    assert name not in globals(), name
    globals()[name] = answers_as_described(operation.method, operation.path)
