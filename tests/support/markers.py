"""A pytest plugin: the suite's own markers.

`slow` tests are those of `make test-slow`; `make test` has the others. `soak` tests are slow too, and `make soak` runs
them in full. An `unsteady` test may run a second time if it fails, because of something that is not ours, which its
reason names: `@pytest.mark.unsteady("Firefox sometimes drops ...")`. There are few of them, and each run prints them.
"""

from __future__ import annotations

import pytest

MOST_UNSTEADY = 10

_UNSTEADY = "unsteady"
_MISTAKE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "slow: takes too long for make test; make test-slow runs it",
        "soak: slow, and runs longer where the environment has SOAK=1 (make soak)",
        f"{_UNSTEADY}(reason): may run twice, because of what is not ours; at most {MOST_UNSTEADY} tests",
    ):
        config.addinivalue_line("markers", line)
    config.pluginmanager.register(_Unsteady(), "unsteady-tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` looks at the markers."""
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker("slow")
    unsteady = [item for item in items if item.get_closest_marker(_UNSTEADY)]
    for item in unsteady:
        reason = "".join(next(item.iter_markers(_UNSTEADY)).args)
        if not reason:
            item.stash[_MISTAKE] = f'say why: @pytest.mark.{_UNSTEADY}("reason")'
        elif len(unsteady) > MOST_UNSTEADY:
            item.stash[_MISTAKE] = (
                f"{len(unsteady)} tests are marked {_UNSTEADY}, {MOST_UNSTEADY} may be: make one steady, with an "
                "event, a count or a ratio instead of a time limit, before you mark another"
            )
        else:
            # Reports carry it from the workers of pytest-xdist; pytest-rerunfailures repeats what is marked `flaky`.
            item.user_properties.append((_UNSTEADY, reason))
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marker that is used wrongly is a failure of its test."""
    if mistake := item.stash.get(_MISTAKE, None):
        pytest.fail(mistake, pytrace=False)


class _Unsteady:
    """Which unsteady tests have run, and which of them twice."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._twice: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, reason in report.user_properties:
            if name == _UNSTEADY:
                self._reasons[report.nodeid] = str(reason)
        if report.outcome == "rerun":
            self._twice.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._reasons:
            return
        terminalreporter.write_sep("=", "tests that may run twice")
        for nodeid, reason in sorted(self._reasons.items()):
            again = " HAS RUN TWICE" if nodeid in self._twice else ""
            terminalreporter.write_line(f"{nodeid}: {reason}{again}", yellow=bool(again))
