"""The emulator without an app, asked by hand."""

from __future__ import annotations

import pytest
from webtest import TestApp

from appengine_channel_emu.testing import Emulator


@pytest.fixture
def emulator():
    return Emulator()


@pytest.fixture
def http(emulator):
    return TestApp(emulator, extra_environ={"REMOTE_ADDR": "127.0.0.1"})
