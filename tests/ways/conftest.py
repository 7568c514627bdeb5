"""Each test has a stage of its own: an emulator in this process starts in milliseconds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appengine_channel_emu.testing import ChannelClient
from tests.ways.stage import Stage
from tests.ways.way import Way

Played = tuple[Stage, ChannelClient]


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Callable[[Way], Played]]:
    """Plays a way; its stage, on which nothing happens any more, and the page that waits in vain."""
    with contextlib.ExitStack() as stages:

        def play(way: Way) -> Played:
            stage = stages.enter_context(Stage(tmp_path, **way.settings))
            return stage, way.play(stage)

        yield play
