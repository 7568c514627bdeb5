"""Whatever anybody sends: no status 500, no traceback, no hang, and the others' messages still arrive.

Half a minute in all, the corpus alone in make test; `make fuzz` (FUZZ=1) takes half an hour for each of the five.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import strategies, target
from tests.fuzz.rounds import FULL, fuzz
from tests.support import parts

SECONDS = 1800 if FULL else 15
CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture
def surface(monkeypatch):
    target.end_waits(monkeypatch.setattr)
    made = target.Surface()
    yield made
    made.stop()


@pytest.fixture
def wire(monkeypatch):
    target.end_waits(monkeypatch.setattr)
    made = target.Wire()
    yield made
    made.check_delivery()
    made.stop()


@pytest.mark.parametrize("path", sorted((CORPUS / "surface").iterdir()), ids=lambda path: path.name)
def test_the_front_with_the_corpus(surface, path):
    surface.feed(path.read_bytes())


def test_the_server_with_the_corpus(wire):
    for path in sorted((CORPUS / "wire").iterdir()):
        wire.feed(path.read_bytes())


@pytest.mark.slow
def test_the_front_with_generated_requests(surface):
    fuzz(surface.feed, strategies.for_front)


@pytest.mark.slow
def test_the_server_with_generated_requests(wire):
    fuzz(wire.feed, strategies.for_wire)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["surface", "wire", "twins"])
def test_guided_by_coverage(name, tmp_path):
    parts.need(parts.atheris)
    command = [sys.executable, "-m", "tests.fuzz.coverage_guided", name, "--seconds", str(SECONDS)]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(parts.ROOT)}, capture_output=True, check=False
    )
    log = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, log[-6000:]
    assert "Done " in log


def test_what_must_not_happen_is_noticed(surface, wire, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(surface._front, "_falcon", lambda environ, start_response: start_response("500 Oh", []) or [])
        with pytest.raises(target.Defect, match="answered 500"):
            surface.feed(b"GET /_emu/health\n\n")
        broken.setattr(wire.service.front, "_falcon", lambda environ, start_response: 1 / 0)
        with pytest.raises(target.Defect, match="500 Internal"):
            wire.feed(b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(target.Defect, match="ZeroDivisionError"):
            wire.feed(b"")
