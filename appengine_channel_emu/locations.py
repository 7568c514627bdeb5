"""Where the package's own files are that other programs read."""

from __future__ import annotations

from pathlib import Path

COMPAT_PATH = Path(__file__).parent / "compat" / "path"
"""The folder that makes the Channel API importable in an app's Python, put on PYTHONPATH."""
