"""A pytest plugin: every test that is collected reports, or the session fails and names those that did not.

It counts by node id at the end of the session, whoever ran the tests: this process, or the workers of pytest-xdist. It
is a failure too if two tests share an id (pytest-xdist runs one of them), if a test is left out that no option asked to
leave out, and if a file of tests has none. `-m slow` and `-m "not slow"` leave out one half (tests/support/markers.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any

import pytest

CHOICES = ("keyword", "deselect", "lf", "stepwise", "ignore", "ignore_glob")
"""Options with which somebody runs some of the tests; and so is any `-m` that is not one of `HALVES`."""

HALVES = {"slow": False, "not slow": True}
"""The two `-m` that make the whole suite between them; is it what is slow that each leaves out?"""

RUN_ELSEWHERE = {"tests/container/game/test_game.py", "tests/example_project/test_scores.py"}
"""Files that a test runs by a pytest of its own."""

_LEFT_OUT = "accounting.left_out"
_UNASKED = "accounting.unasked"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Accounting(config), "accounting-books")


class Accounting:
    """The books of one session; in a worker of pytest-xdist, what its controller needs for them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_worker = hasattr(config, "workerinput")
        self._collected: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._unasked: Counter[str] = Counter()
        """Of those left out, the ones that `-m` did not leave out."""
        self._reported: set[str] = set()
        self._lost: list[str] = []
        self._ended = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, None, None]:
        """What hooks take out, with a word (`pytest_deselected`) or without."""
        before = list(items)
        yield
        stays = Counter(item.nodeid for item in items)
        self._left_out = Counter(item.nodeid for item in before) - stays
        leaves_out = HALVES.get(self._config.option.markexpr)
        asked = Counter(item.nodeid for item in before if (item.get_closest_marker("slow") is not None) is leaves_out)
        self._unasked = self._left_out - asked

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected = Counter(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """All workers collect the same, or pytest-xdist gives up; one that replaces another collects it again."""
        self._collected |= Counter(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """One that crashed has no output."""
        output = getattr(node, "workeroutput", {})
        self._left_out |= Counter(output.get(_LEFT_OUT, {}))
        self._unasked |= Counter(output.get(_UNASKED, {}))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has reported once it was called, or did not get that far: skipped, broken, or with a dead worker."""
        if report.outcome != "rerun" and (report.when == "call" or not report.passed):
            self._reported.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._is_worker:
            output: dict[str, object] = self._config.workeroutput  # type: ignore[attr-defined]
            output[_LEFT_OUT], output[_UNASKED] = dict(self._left_out), dict(self._unasked)
            return
        # Stopped by hand, by -x, by a broken file: pytest says so, and the session has failed already.
        in_full = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if not in_full or session.shouldstop or session.shouldfail or self._config.option.collectonly:
            return
        self._ended = True
        self._lost = self._audit()
        if self._lost:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._ended:
            return
        terminalreporter.write_sep("=", "every test reports")
        left_out = f", left out {self._left_out.total()}" if self._left_out else ""
        terminalreporter.write_line(
            f"collected {self._collected.total()}, reported {len(self._reported)}{left_out}", bold=True
        )
        for line in self._lost:
            terminalreporter.write_line(f"ERROR {line}", red=True)

    def _audit(self) -> list[str]:
        """What is wrong, a line each."""
        lost = []
        for nodeid, count in sorted(self._collected.items()):
            if count > 1:
                lost.append(f"{nodeid}: {count} tests share this id; give them ids of their own")
            elif nodeid not in self._reported:
                lost.append(f"{nodeid}: was collected and never reported")
        option = self._config.option
        if option.markexpr in ("", *HALVES) and not any(getattr(option, name, None) for name in CHOICES):
            lost += [f"{nodeid}: was left out, and no option asks for it" for nodeid in sorted(self._unasked)]
            lost += [f"{name}: no test of this file was collected" for name in self._files_without_tests()]
        return lost

    def _files_without_tests(self) -> list[str]:
        """Where pytest was to find all tests by itself."""
        if self._config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
            return []
        root = self._config.rootpath
        there = {
            path.relative_to(root).as_posix()
            for folder in self._config.getini("testpaths")
            for path in (root / folder).rglob("test_*.py")
        }
        with_tests = {nodeid.partition("::")[0] for nodeid in (*self._collected, *self._left_out)}
        return sorted(there - RUN_ELSEWHERE - with_tests)
