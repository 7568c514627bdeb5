"""`channel-emu check` against the real dev server and against ours, as docs/check.md shows them."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import ExitStack

import pytest

from appengine_channel_emu.cli import main
from appengine_channel_emu.cli.check import PROBE_APP
from appengine_channel_emu.conformance import checks, run, stream_checks
from appengine_channel_emu.host.origins.dev_server_process import free_ports
from tests.support import parts
from tests.support.emulator import EMU, RunningEmulator
from tests.support.legacy import PlainSdk
from tests.support.waiting import LONG_ENOUGH

MINUTES = 3
TEXT = (parts.ROOT / "docs" / "check.md").read_text("utf-8")

SHORTCOMINGS = {
    "tokens: at most 256 characters for a client id of 256 bytes": r"31\d characters",
    "tokens: one that somebody made up is refused": "accepted with 200",
    "client ids: not in ASCII": "connect answered 500",
    "limits: client ids of 0 and 257 bytes are refused with code 2": r"codes \[2, 0\]",
    "limits: durations of 0 and 1441 minutes are refused with code 4": r"codes \[0, 0\]",
    "limits: messages of 0 and 32,768 bytes are refused with code 3, one of 32,767 is not": r"codes \[3, 0, 0\]",
    "delivery: two pages of one client id get every message each": "they compete",
    "push: a message reaches a waiting page within 0.1 s": "pages ask every 0.5 s",
    "push: a lost answer is given again": "gone with the answer",
    "script: /_ah/channel/jsapi, small enough and with a validator for caches": "383044 bytes, validator: False",
    "presence: the client id arrives as the app gave it": "was told nothing",
    "deadline: the app's request is ended after 30 s": "held for 40 s and answered 200",
}
"""What the real dev server is known to get wrong, and what the run sees of it."""


def start(url, *arguments):
    command = [*EMU, "check", url, "--json", *arguments]
    return subprocess.Popen(command, cwd=parts.ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both at once, because each takes a minute when no clock is moved: exit status and report, by server."""
    folder = tmp_path_factory.mktemp("check")
    with ExitStack() as stack:
        ours = stack.enter_context(RunningEmulator("--no-sdk", str(PROBE_APP), log=folder / "ours.log"))
        running = {"ours": start(ours.url)}
        try:
            parts.sdk(), parts.python27()
        except parts.PartMissing:
            pass
        else:
            (port, *_) = free_ports()
            sdk = PlainSdk(PROBE_APP, folder, f"--api_port={port}", "--max_module_instances=1")
            running["theirs"] = start(stack.enter_context(sdk).url, "--api", f"http://localhost:{port}/")
        outputs = {name: (process.communicate(timeout=60 * MINUTES)[0], process) for name, process in running.items()}
        yield {name: (process.returncode, json.loads(output)) for name, (output, process) in outputs.items()}


def states(report):
    return [(each["state"], each["title"]) for each in report["checks"]]


def shown(command):
    """States and titles of the table that the document shows below `command`."""
    table = re.search(rf"^\$ {re.escape(command)}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"^(passed|failed|different|not checked)  +(.*?)(?:  \(.*\))?$", table, re.MULTILINE)


@pytest.mark.slow
def test_the_real_dev_server_has_the_shortcomings_that_are_known(runs):
    parts.need(parts.python27), parts.need(parts.sdk)
    status, report = runs["theirs"]
    failed = {each["title"]: each["seen"] for each in report["checks"] if each["state"] == "failed"}
    assert failed.keys() == SHORTCOMINGS.keys()
    others = {each["title"] for each in report["checks"] if each["state"] not in ("passed", "failed")}
    assert others == {title for title, _ in stream_checks.checks.quick + stream_checks.checks.slow}
    for title, seen in SHORTCOMINGS.items():
        assert re.search(seen, failed[title]), failed[title]
    assert status == 1
    assert states(report) == shown("channel-emu check http://localhost:8080 --api http://localhost:8081/")


@pytest.mark.slow
def test_ours_has_deliberate_differences_only(runs):
    assert_deliberate_differences_only(*runs["ours"])


def test_so_it_has_when_time_is_short(tmp_path, monkeypatch, capsys):
    """The deadline is a short one, and the emulator's clock is moved on for the token of one minute."""
    with RunningEmulator("--no-sdk", "--request-deadline", "5", str(PROBE_APP), log=tmp_path / "log") as emulator:
        run_checks = run.run

        def run_on(server, told):
            def told_and_on(title, result):
                told(title, result)
                if title == run.QUICK[-1][0]:
                    emulator.advance(61)

            return run_checks(server, told_and_on)

        monkeypatch.setattr(run, "run", run_on)
        monkeypatch.setattr(checks, "DEADLINE", 5.0)
        monkeypatch.setattr(checks, "DEADLINE_SLACK", LONG_ENOUGH)
        for module in (checks, stream_checks):
            monkeypatch.setattr(module, "PUSH_SECONDS", 5.0)
        status = main(["check", emulator.url, "--json"])
    assert_deliberate_differences_only(status, json.loads(capsys.readouterr().out))


def assert_deliberate_differences_only(status, report):
    different = [each for each in report["checks"] if each["state"] != "passed"]
    assert [(each["title"], each["state"]) for each in different] == [("dev wire: disconnect", "different")], different
    assert status == 0
    assert report["counts"] == {"passed": len(report["checks"]) - 1, "different": 1}
    assert states(report) == shown("channel-emu check http://localhost:8080")
