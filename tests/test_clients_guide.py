"""The examples of docs/clients.md, each run under `channel-emu exec` by the tool of its language."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from tests.support import parts
from tests.support.emulator import EMU
from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH
from tests.support.wire import free_port, wait_for_port

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "clients.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", GUIDE, re.S | re.M)
EXEC = [*EMU, "exec", "--"]


def examples(language):
    return [code for kind, code in BLOCKS if kind == language]


def tool(name, language):
    """The program that runs the examples of `language`."""

    def find():
        found = shutil.which(name)
        if not found:
            raise parts.PartMissing(f"no {name} here to run the {language} example with")
        return found

    return parts.need(find)


def run(*command, cwd):
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [*EXEC, *map(str, command)]
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write(folder, name, code):
    path = folder / name
    path.write_text(code, "utf-8")
    return path


def test_no_language_is_left_out():
    assert {kind for kind, _ in BLOCKS} == {"python3", "python2", "go", "java", "php", "javascript", "sh"}


@pytest.mark.parametrize("number", range(len(examples("python3"))))
def test_python_3(tmp_path, number):
    run(sys.executable, write(tmp_path, "example.py", examples("python3")[number]), cwd=tmp_path)


def test_python_2(tmp_path):
    [code] = examples("python2")
    printed = run(parts.need(parts.python27), write(tmp_path, "example.py", code), cwd=tmp_path)
    assert "refused: Message must be no longer than 32767 chars\n" in printed
    assert "for the page: " in printed


def test_go(tmp_path):
    go, library = parts.need(parts.go_appengine)
    [code] = examples("go")
    write(tmp_path, "main.go", code)
    cache = str(parts.cache().absolute() / "go")
    environ = {"GO111MODULE": "off", "GOPATH": str(library), "GOFLAGS": "", "CGO_ENABLED": "0", "GOCACHE": cache}
    # Beside another build each would compile the same libraries.
    with parts.one_at_a_time("go_app"):
        subprocess.run([go, "build", "-o", "app", "."], cwd=tmp_path, env=os.environ | environ, check=True, timeout=600)
    port = str(free_port())
    process = subprocess.Popen([*EXEC, tmp_path / "app"], env=os.environ | {"PORT": port, "PYTHONPATH": str(ROOT)})
    try:
        wait_for_port(int(port))
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}/", timeout=LONG_ENOUGH)
        assert answer.status == 200, answer.data
        assert answer.data.startswith(b"for the page: ")
    finally:
        process.terminate()
        process.wait(LONG_ENOUGH)


@pytest.mark.parametrize(
    ("name", "language", "file"),
    [
        ("java", "java", "Example.java"),
        ("php", "php", "example.php"),
        ("node", "javascript", "example.js"),
    ],
)
def test_languages_without_a_library_of_ours(tmp_path, name, language, file):
    [code] = examples(language)
    program = tool(name, language)
    if name == "java" and not shutil.which("javac"):
        parts.lacking("a Java without its compiler cannot run a source file")
    assert "for the page: " in run(program, write(tmp_path, file, code), cwd=tmp_path)


def test_curl(tmp_path):
    tool("curl", "curl")
    printed = run("sh", "-eu", write(tmp_path, "example.sh", examples("sh")[0]), cwd=tmp_path)
    assert '"token": ' in printed
    assert '"reasons": {"ann": ' in printed


def test_the_verbs_by_hand(tmp_path):
    emu = write(tmp_path, "channel-emu", f'#!/bin/sh\nexec "{sys.executable}" -m appengine_channel_emu "$@"\n')
    emu.chmod(0o755)
    send, tail = [line.partition("#")[0].strip() for line in examples("sh")[1].splitlines()]
    script = f"{tail} --count 1 >got 2>open & until grep -q open open; do sleep 0.05; done; {send}; wait; cat got"
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert run("env", f"PATH={path}", "sh", "-eu", "-c", script, cwd=Path(tmp_path)) == (
        'delivered to 1 socket\n{"score": "1:0"}\n'
    )
