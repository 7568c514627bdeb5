"""For tests of every folder."""

from __future__ import annotations

import secrets

import pytest


@pytest.fixture
def mark() -> str:
    """The value of `MARK` in the environment of all that the test starts."""
    return secrets.token_hex(8)
