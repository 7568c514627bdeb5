"""For all tests: what this suite adds to pytest (tests/support)."""

import os
import sys

import pytest

pytest_plugins = [
    "tests.support.accounting",
    "tests.support.browsers",
    "tests.support.markers",
    "tests.support.run_folder",
]

# Compiled once, not by every worker of every run. Processes that tests start do as the environment says.
sys.dont_write_bytecode = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers where `-n auto` is asked for: two thirds of a test's time are waiting, for browsers and deadlines."""
    return 3 * (os.cpu_count() or 1)
