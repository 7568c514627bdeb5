"""`channel-emu completion`: what shells complete, as they do it themselves."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from appengine_channel_emu.cli import main
from appengine_channel_emu.cli.main import VERBS
from appengine_channel_emu.settings.table import TABLE
from tests.support import parts
from tests.support.terminal import Terminal
from tests.support.waiting import LONG_ENOUGH

CASES = [
    ("sen", {"send"}),
    ("serve --ta", {"--tabs"}),
    ("serve --tabs ", {"fanout", "split", "single"}),
    ("serve --log-format j", {"json"}),
    ("events --fol", {"--follow"}),
    ("sdk ", {"install", "where"}),
    ("demo --no-", {"--no-browser"}),
    ("init --dr", {"--dry-run"}),
    ("help be", {"bench"}),
]


@pytest.fixture
def script(tmp_path, capsys):
    """The path of what the command prints for a shell; the test is skipped where there is no such shell."""

    def made(shell):
        if not shutil.which(shell):
            parts.lacking(f"there is no {shell} here: apt-get install {shell}")
        assert main(["completion", shell]) == 0
        path = tmp_path / f"completion.{shell}"
        path.write_text(capsys.readouterr().out)
        return path

    return made


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=LONG_ENOUGH, check=True).stdout


BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _channel_emu
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(script, *words):
    return set(run("bash", "-c", BASH, "bash", str(script), "channel-emu", *words).split())


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_bash(script, line, expected):
    assert bash(script("bash"), *line.split(" ")) == expected


def test_bash_knows_every_verb_and_every_setting(script):
    path = script("bash")
    assert bash(path, "") >= {*VERBS, "help"}
    flags = {f"--{name}" for name, field in TABLE.items() if not field.metadata["positional"]}
    assert bash(path, "serve", "-") >= flags | {"-p", "-q", "-v", "--help"}


def test_bash_takes_a_value_behind_an_equals_sign_and_leaves_another_commands_words_alone(script):
    path = script("bash")
    assert bash(path, "serve", "--tabs", "=", "sp") == {"split"}
    assert bash(path, "exec", "--", "--ta") == set()


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_fish(script, line, expected):
    found = run("fish", "--no-config", "-c", f"source {script('fish')}; complete -C 'channel-emu {line}'")
    assert {each.partition("\t")[0] for each in found.splitlines()} == expected


@pytest.mark.parametrize(("shell", "options"), [("bash", ["--norc", "-i"]), ("zsh", ["-f", "-i"])])
def test_the_tab_key(script, shell, options, tmp_path):
    path = script(shell)
    environ = os.environ | {"HOME": str(tmp_path), "TERM": "dumb"}
    with Terminal([shell, *options], environ) as terminal:
        terminal.type(f"source {path}; echo is''there\r")
        terminal.read_until("isthere")
        terminal.type("channel-emu sen\t")
        terminal.read_until("send ")
        terminal.type("bob --emu\t")
        terminal.read_until("--emulator ")
        terminal.type("\x15channel-emu serve --tab\t")
        terminal.read_until("--tabs ")
        terminal.type("sp\t")
        terminal.read_until("split ")


def test_another_shell_is_told_which_there_are(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "choose from" in capsys.readouterr().err
