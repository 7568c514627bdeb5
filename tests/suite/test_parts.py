"""The rule for tests that need a part: skipped on a desk, failed on CI."""

from __future__ import annotations

import pytest

from tests.support import parts


def missing() -> str:
    raise parts.PartMissing("no abacus found: carve one")


def test_a_part_that_is_there_is_returned() -> None:
    assert parts.need(lambda: "abacus") == "abacus"


def test_a_missing_part_skips_the_test_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="carve one"):
        parts.need(missing)


def test_a_missing_part_fails_the_test_on_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="carve one"):
        parts.need(missing)
