"""Small apps for doctor to look at, and what it said of them."""

from __future__ import annotations

import json
from pathlib import Path

from appengine_channel_emu.doctor.look import Look, look

APP_YAML = """\
runtime: python27
api_version: 1
threadsafe: true
handlers:
- url: /.*
  script: main.app
"""

DEADLINE = 30.0


def written(folder: Path, files: dict[str, str | bytes]) -> Path:
    """`folder`, with these files in it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def seen(folder: Path, files: dict[str, str | bytes]) -> Look:
    """What is found in a folder with these files."""
    return look(written(folder, files), DEADLINE)


def places(found: Look, *topics: str) -> set[str]:
    """Where those topics were seen, as FILE:LINE."""
    return {str(place) for place in found.places(*topics)}


def topics(found: Look) -> set[str]:
    """All that was seen, services apart."""
    return {each.topic for each in found.sightings if not each.topic.startswith("service ")}


def findings(output: str) -> dict[str, dict]:
    """The app's findings in a JSON report, by topic; of services the last."""
    return {each["topic"]: each for each in json.loads(output)["app"]["findings"]}
