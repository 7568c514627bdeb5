"""One app on the servers that are compared."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.emulator import RunningEmulator
from tests.support.legacy import PlainSdk, emulated

REAL = "dev_appserver.py"
AnyServer = RunningEmulator | PlainSdk
"""A context manager, with `url` and `pid`."""


def beside_the_real_one(app: Path, folder: Path) -> dict[str, AnyServer]:
    """The emulator with `app` in both kinds and the SDK's dev server, by name; not yet started.

    `folder` is for their files.
    """
    return {
        "channel-emu, Python 3 app": RunningEmulator("--no-sdk", str(app), log=folder / "first.log"),
        "channel-emu, SDK app": emulated(app, folder / "second.log"),
        REAL: PlainSdk(app, folder),
    }
