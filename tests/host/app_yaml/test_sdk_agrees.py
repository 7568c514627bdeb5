"""What Google's SDK takes, we take, with the same effect (behaviour.md 8): both read the same app.yaml files.

`SOAK=1` generates 20,000 of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appengine_channel_emu.host.app_yaml import BadAppYaml, read_app_yaml
from appengine_channel_emu.host.app_yaml.document import LONGEST_DURATION
from tests.host.app_yaml.comparison import NAMES, URLS, our_reading, sdk_readings
from tests.host.app_yaml.odd_files import Generator, table, write

pytestmark = pytest.mark.slow

Reading = dict[str, Any]
SEED = 2013
GENERATED = 20_000 if os.environ.get("SOAK") else 150

REFUSED = {
    "set tag": "the SDK makes text of a Python object, with its address",
    "text document": "the SDK reads an app without a runtime, which nothing can start",
    "only a marker": "the same",
    "null document": "the same",
    "flow {url: /::, script: main.app}": "a colon before the comma: no other reader of YAML takes it",
    "flow {url: /a:, script: main.app}": "the same",
}
"""Files that the SDK takes and we do not."""

TAKEN_BEYOND = {
    'block url: "/\\\\u00e9"',
    "block url: |+\\n    /a\\n\\n",
    "directive 1.3",
    "non-specific tag",
    "static without url",
    "empty upload",
    "api endpoint without config",
    "variable 2014-13-01",
    "variable =",
    "url /\\xe9",
    "url /(?i)\\xc9",
    "url /\\u65e5\\u672c/.*",
    "url /[\\xe9]",
    "static_dir url /\\xe9",
    "static_dir url /(?i)\\xc9",
    "static_dir url /\\u65e5\\u672c/.*",
    "static_dir url /[\\xe9]",
    "static_files \\xe9/\\\\1",
    "static_dir \\xe9/\\\\1",
    "script main.cr\\xe9\\xe9",
    "static login:",
    "script with login:",
    "script with position: head",
    "top version: 1.0",
    "top version: on",
    "top version: 1e3",
    "top application: Foo",
    "top module: A",
    "top skip_files:",
    "top libraries: [{name: django, version: 1.10}]",
    "top libraries: [{name: webapp2}]",
    "top libraries: [{name: nothing, version: latest}]",
    "top builtins: [{deferred: maybe}]",
    "top builtins: [{deferred: true, appstats: true}]",
    "top beta_settings: {a: {b: c}}",
    "top pagespeed: {enabled: true}",
    "top app_engine_apis: true",
    "top service_account: a@b",
    "top build_env_variables: {A: b}",
    "top env_flex: true",
    "top env_variables: {A: \\xe9}",
    "top includes: [inc/runtime.yaml]",
    "runtime runtime: python27\\nthreadsafe:\\n",
    "runtime runtime: python27\\n",
    "runtime runtime: python\\nenv: flex\\n",
}
"""Files that the SDK refuses and we take: what newer or older App Engines had, and what does no harm."""


_COUNTS = re.compile(r"\(\?\w*u|\\[WDS]|\{|\.(?![*+])|\[\^[^]]*\](?![*+])|[*+?]\?")
"""What a url has that takes a character of several bytes for one or for several."""


@dataclass(frozen=True)
class Difference:
    """One that is meant: `forget` takes it out of what the SDK and we make of a file."""

    why: str
    forget: Callable[[Reading, Reading], None]


def _requests(theirs: Reading, ours: Reading) -> None:
    for index, (url, route) in enumerate(zip(URLS, theirs["routes"], strict=True)):
        if (route is not None and route[1] == "broken") or (
            not url.isascii() and any(_COUNTS.search(each or "") for each in theirs["urls"])
        ):
            theirs["routes"][index] = ours["routes"][index]


def _error_files(theirs: Reading, ours: Reading) -> None:
    found: dict[str, list[str]] = {}
    for code, path, mime_type in theirs["error_handlers"]:
        if Path(path).is_file():
            found.setdefault(code, [str(Path(path)), "text/html" if mime_type is None else mime_type])
    theirs["error_handlers"] = found


def _libraries(theirs: Reading, ours: Reading) -> None:
    latest = {name for name, version in ours["libraries"] if version == "latest"}
    theirs["libraries"] = [[name, "latest" if name in latest else version] for name, version in theirs["libraries"]]


def _expirations(theirs: Reading, ours: Reading) -> None:
    for handler in theirs["handlers"]:
        if handler["expiration"] is not None:
            handler["expiration"] = min(handler["expiration"], LONGEST_DURATION)


def _headers(theirs: Reading, ours: Reading) -> None:
    for handler in theirs["handlers"]:
        handler["http_headers"] = [header for header in handler["http_headers"] if header[0] != "Trailer"]


def _own_variables(theirs: Reading, ours: Reading) -> None:
    for name in ("API_HOST", "API_PORT", "CHANNEL_EMULATOR_HOST"):
        theirs["env_variables"].pop(name, None)


def _empty_skip_files(theirs: Reading, ours: Reading) -> None:
    if theirs["skipped"] == list(NAMES) and not ours["skipped"]:
        theirs["skipped"] = []


def _managed_vms(theirs: Reading, ours: Reading) -> None:
    if ours["runtime"] == "vm":
        theirs["runtime"] = "vm"
    if theirs["flexible"] and ours["version"] is None:
        theirs["version"] = None


def _not_given(theirs: Reading, ours: Reading) -> None:
    theirs["threadsafe"] = ours["threadsafe"] if theirs["threadsafe"] is None else theirs["threadsafe"]
    theirs["instances"] = theirs["instances"] or 1


DIFFERENCES = (
    Difference("a request that the SDK answers 500 has its own answer; a path has characters, not bytes", _requests),
    Difference(
        "a page that is not there is not sent, of two for one error the first is (here, also for timeout)", _error_files
    ),
    Difference("`latest` stays: Python 3 brings libraries of its own", _libraries),
    Difference("a duration of more than a hundred years would end in an error at every request", _expirations),
    Difference("Trailer belongs to one connection, and never reached a visitor", _headers),
    Difference("what leads the app to the emulator is not app.yaml's to say", _own_variables),
    Difference(
        "`skip_files: []` says to skip nothing; to the SDK it is an expression that fits every file", _empty_skip_files
    ),
    Difference(
        "neither of us serves `runtime: vm`, so we neither look what it stands for nor make a version up", _managed_vms
    ),
    Difference("what is not given has a default here", _not_given),
)
"""And one that sdk_reader.py has: the SDK's builtins are scripts of its own, and api_endpoint handlers not served."""


def ours(path: Path) -> Reading:
    try:
        return our_reading(read_app_yaml(path))
    except BadAppYaml as error:
        return {"error": str(error)}


def disagreement(theirs: Reading, mine: Reading) -> str | None:
    """What differs between the SDK's reading of a file that it takes, and ours."""
    if "error" in mine:
        return f"refused: {mine['error']}"
    for difference in DIFFERENCES:
        difference.forget(theirs, mine)
    wrong = {key: (theirs[key], mine[key]) for key in mine if theirs[key] != mine[key]}
    if "routes" in wrong:
        routes = zip(URLS, theirs["routes"], mine["routes"], strict=True)
        wrong["routes"] = tuple(each for each in routes if each[1] != each[2])  # type: ignore[assignment]
    return f"(the SDK's, ours): {wrong}" if wrong else None


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    """Every file of the table: where it is, what the SDK makes of it, and what we do."""
    folder = tmp_path_factory.mktemp("table")
    written = write(folder, table())
    said = sdk_readings(folder, list(written.values()))
    return {name: (path, each, ours(path)) for (name, path), each in zip(written.items(), said, strict=True)}


def test_what_the_sdk_takes_has_the_same_effect_here(readings):
    fine = {name: each for name, each in readings.items() if "error" not in each[1]}
    assert len(fine) > 600
    assert_agreement({name: each for name, each in fine.items() if name not in REFUSED})
    assert all("error" in fine[name][2] for name in REFUSED)


def test_combinations_have_the_same_effect_here(readings, tmp_path):
    taken = {name for name, (_, theirs, _) in readings.items() if "error" not in theirs and name not in REFUSED}
    written = write(tmp_path, Generator(SEED, taken).files(GENERATED))
    said = sdk_readings(tmp_path, list(written.values()))
    pairs = zip(written.items(), said, strict=True)
    fine = {name: (path, theirs, ours(path)) for (name, path), theirs in pairs if "error" not in theirs}
    assert len(fine) > GENERATED / 3
    assert_agreement(fine)


def assert_agreement(fine: dict[str, tuple[Path, Reading, Reading]]) -> None:
    wrong = {name: text for name, (_, *both) in fine.items() if (text := disagreement(*both)) is not None}
    shown = [f"{name}:\n{fine[name][0].read_text()}\n{text}" for name, text in list(wrong.items())[:5]]
    assert not wrong, f"{len(wrong)} of {len(fine)}\n" + "\n\n".join(shown)


def test_what_the_sdk_refuses_is_refused_in_words(readings):
    for name, (path, theirs, mine) in readings.items():
        text = mine.get("error")
        if "error" in theirs and name not in TAKEN_BEYOND:
            assert text.startswith((path.name, "inc/")), name


def test_what_the_sdk_refuses_and_we_take(readings):
    """So that nothing is taken by accident."""
    taken = {name for name, (_, theirs, mine) in readings.items() if "error" in theirs and "error" not in mine}
    assert taken == TAKEN_BEYOND
