"""For all tests: each that is collected reports."""

pytest_plugins = ["tests.support.accounting"]
