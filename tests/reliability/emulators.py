"""The emulator that the soaks run against."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

from tests.support.emulator import RunningEmulator


@contextlib.contextmanager
def roomy_emulator(tmp_path: Path, *arguments: str, state_dir: Path | str = "none") -> Iterator[RunningEmulator]:
    """An emulator with as many connections as the hard limit allows; in its log there is no traceback at the end."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with RunningEmulator(*arguments, log=tmp_path / "log", state_dir=state_dir) as running:
        yield running
        log = (tmp_path / "log").read_text()
        assert "Traceback" not in log, log[-3000:]
