"""For all tests: what this suite adds to pytest (tests/support)."""

import os
import sys

import pytest

pytest_plugins = ["tests.support.accounting", "tests.support.markers", "tests.support.run_folder"]

# Compiled once, not by every worker of every run. Processes that tests start do as the environment says.
sys.dont_write_bytecode = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers where `-n auto` is asked for: the tests keep a core busy most of the time, not all of it."""
    return (os.cpu_count() or 1) + 1
