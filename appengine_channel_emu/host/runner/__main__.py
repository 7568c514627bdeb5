"""Starts the runner: ``runner/__main__.py FD``, by whichever interpreter the app wants, Python 3.9 or newer.

FD is the number of an inherited pipe, from which the runner reads its `RunnerInfo` to the end.

This package and waitress are loaded from where they are, under names of their own: what an app can import must not
depend on what the emulator has installed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType


def load_package(name: str, folder: str) -> ModuleType:
    """Imports the package in `folder`, whose neighbours stay out of reach."""
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    load_package("channel_emu_runner", os.path.dirname(os.path.abspath(__file__)))
    main = importlib.import_module("channel_emu_runner.main")
    with open(int(sys.argv[1]), encoding="utf-8") as pipe:
        info = pipe.read()
    sys.exit(main.main(info, load_package))
