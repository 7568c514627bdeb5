"""`exec`, `env`, `shim`, `send` and `tail`, as a shell runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from appengine_channel_emu.testing import ChannelClient
from tests.support.emulator import EMU, RunningEmulator
from tests.support.parts import ROOT
from tests.support.processes import default_signals
from tests.support.service import running_service
from tests.support.waiting import LONG_ENOUGH, eventually

EXAMPLE = Path(__file__).with_name("example_project")
NOBODY = "127.0.0.1:9"


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHANNEL_EMU", "API_"))}
    return kept | {"PYTHONPATH": str(ROOT)} | more


def start(*arguments, **options):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*EMU, *arguments], **pipes | {"env": environment()} | options)


def run(*arguments, stdin=None, **options):
    options = {"env": environment(), "capture_output": True, "timeout": 60, "check": False} | options
    done = subprocess.run([*EMU, *arguments], input=stdin if stdin is not None else b"", **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def emulator():
    with running_service() as service:
        yield service


class TestExec:
    def test_the_example_project_passes(self):
        code, out, err = run("exec", "--", sys.executable, "-m", "pytest", "-q", cwd=EXAMPLE)
        assert code == 0, out + err
        assert "1 passed" in out

    def test_its_failure_is_ours(self):
        env = environment(EXPECTED_SCORE="0:1")
        code, out, _ = run("exec", "--", sys.executable, "-m", "pytest", "-q", cwd=EXAMPLE, env=env)
        assert code == 1
        assert "1 failed" in out

    def test_the_variables(self, tmp_path):
        env = environment(PYTHONPATH=f"{ROOT}{os.pathsep}/mine")
        (tmp_path / "channel-emu.yaml").write_text("port: 8080\nstate-dir: state\n")
        code, out, err = run("exec", "--", "env", cwd=tmp_path, env=env)
        assert code == 0, err
        variables = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        host, port = variables["CHANNEL_EMULATOR_HOST"].split(":")
        assert (variables["API_HOST"], variables["API_PORT"]) == (host, port)
        assert host == "127.0.0.1"
        assert port != "8080"
        assert variables["RUN_WITH_DEVAPPSERVER"] == "1"
        paths = variables["PYTHONPATH"].split(os.pathsep)
        assert Path(paths[0], "channel_emu_shim.py").is_file()
        assert paths[1:] == [str(ROOT), "/mine"]
        assert not (tmp_path / "state").exists()

    @pytest.mark.parametrize(
        ("command", "code"),
        [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137), (["sh", "-c", "kill $$"], 143)],
    )
    def test_the_exit_status_is_the_commands(self, command, code):
        assert run("exec", "--", *command)[0] == code

    def test_a_command_that_is_not_there(self):
        code, out, err = run("exec", "--", "no-such-command")
        assert (code, out) == (127, "")
        assert "there is no command 'no-such-command'" in err
        assert "Traceback" not in err

    def test_a_command_that_cannot_be_run(self, tmp_path):
        (tmp_path / "data").write_text("x")
        code, _, err = run("exec", "--", str(tmp_path / "data"))
        assert code == 126
        assert "cannot run" in err

    @pytest.mark.parametrize("arguments", [["pytest"], ["python", "app.py"], [], ["--"], ["main:app", "--", "true"]])
    def test_without_a_command_it_says_how(self, arguments):
        code, _, err = run("exec", *arguments)
        assert code == 2
        assert "channel-emu exec -- pytest" in err

    def test_its_help_lists_what_it_takes(self):
        help_text = run("exec", "--help")[1]
        assert "[APP]" not in help_text
        for flag in ("--app-dir", "--upstream", "--request-deadline", "--presence", "--instances"):
            assert flag not in help_text
        assert "--tabs" in help_text
        assert "--port PORT           port to listen on; 0 takes a free one (default: 0)\n" in help_text

    def test_an_option_of_serve_alone_is_refused_and_its_settings_are_not_looked_at(self, tmp_path):
        for flag in ("--app-dir=.", "--no-sdk", "--no-presence-from-visitors"):
            code, _, err = run("exec", flag, "--", "true")
            assert (code, f"{flag.partition('=')[0]} is an option of channel-emu serve" in err) == (2, True)
        (tmp_path / "channel-emu.yaml").write_text("app-dir: nowhere\nupstream: x\nport: x\n")
        env = environment(CHANNEL_EMU_PYTHON="nowhere")
        assert run("exec", "--", "true", cwd=tmp_path, env=env)[0] == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_signals_are_forwarded_and_the_command_decides(self, number):
        name = signal.Signals(number).name.removeprefix("SIG")
        script = f"trap 'echo got it; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
        process = start("exec", "--", "sh", "-c", script, start_new_session=True, preexec_fn=default_signals)
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=LONG_ENOUGH)
        assert (process.returncode, out) == (5, "got it\n"), err


def sockets(emulator, client_id):
    return urllib3.request("GET", f"{emulator.url}/_emu/channel?client_id={client_id}").json()["sockets_shown"]


class TestSendAndTail:
    def test_env_of_a_running_emulator_works_in_a_shell(self, emulator):
        code, out, err = run("env", "--emulator", emulator.address)
        assert code == 0, err
        script = (
            out + f'"{sys.executable}" -c "import google.appengine.api.channel as c; print(c.create_channel(\'x\'))"'
        )
        done = subprocess.run(
            ["sh", "-eu", "-c", script], env=environment(), capture_output=True, text=True, check=True
        )
        assert emulator.broker.connect(done.stdout.strip())

    def test_send_says_how_many_or_why_none(self, emulator):
        where = ("--emulator", emulator.address)
        assert run("send", "bob", "x", *where)[:2] == (
            1,
            "delivered to no socket: No channel of that name.\n",
        )
        token = emulator.broker.create_channel("bob").token
        with ChannelClient(emulator.url, token) as client:
            assert run("send", "bob", "argument", *where)[:2] == (0, "delivered to 1 socket\n")
            assert run("send", "bob", *where, stdin=b"two\nlines\n")[0] == 0
            assert run("send", token, *where, stdin="é\xff".encode("latin-1"))[0] == 0
            assert [client.receive() for _ in range(3)] == ["argument", "two\nlines", "��"]
        code, _, err = run("send", "bob", "", *where)
        assert code == 1
        assert "A message has 1 to 32767 bytes" in err

    def test_tail_prints_messages_and_the_reason_of_the_end(self, emulator):
        token = emulator.broker.create_channel("bob").token
        process = start("tail", token, "--json", "--emulator", emulator.address)
        assert process.stderr.readline() == "channel-emu tail: open\n"
        emulator.broker.send_message("bob", "a\n☃")
        assert json.loads(process.stdout.readline()) == "a\n☃"
        [socket] = emulator.broker._sockets.channel("bob").sockets
        emulator.broker.close(socket)
        _, err = process.communicate(timeout=LONG_ENOUGH)
        assert process.returncode == 1
        assert "410 Socket+gone." in err

    @pytest.mark.parametrize("transport", ["stream", pytest.param("poll", marks=pytest.mark.slow)])
    def test_tail_survives_a_restart_of_the_emulator(self, tmp_path, transport):
        """On the same socket, with nothing lost and nothing twice."""
        # Where the upgrade is refused, as by a proxy that knows none, it polls.
        fault = [] if transport == "stream" else ["--fault", "stream error error=400"]
        with RunningEmulator(*fault, log=tmp_path / "log", state_dir=tmp_path / "state") as emulator:
            where = ("--emulator", emulator.url.removeprefix("http://"))
            process = start("tail", "--client-id", "bob", "--count", "20", *where)
            assert process.stderr.readline() == "channel-emu tail: open\n"
            (before,) = eventually(lambda: sockets(emulator, "bob"), lambda all: all[0]["transport"] == transport)
            for number in range(20):
                if number == 10:
                    emulator.stop()
                    emulator.start()
                (after,) = sockets(emulator, "bob")
                assert emulator.send("bob", str(number)) == 1
            out, err = process.communicate(timeout=LONG_ENOUGH)
            assert (process.returncode, out.split(), err) == (0, [str(number) for number in range(20)], "")
            assert (after["id"], after["last_number"]) == (before["id"], 19)

    def test_tail_of_a_bad_token(self, emulator):
        code, out, err = run("tail", "not-a-token", "--emulator", emulator.address)
        assert (code, out) == (1, "")
        assert "401 Invalid+token." in err

    @pytest.mark.parametrize("verb", [["send", "a", "b"], ["tail", "x"], ["tail", "--client-id", "x"], ["env"]])
    def test_nobody_there_is_said_with_the_address(self, verb):
        code, out, err = run(*verb, env=environment(CHANNEL_EMULATOR_HOST=NOBODY))
        assert (code, out) == (1, "")
        assert NOBODY in err
        assert "Traceback" not in err

    @pytest.mark.parametrize("address", ["localhost", "http://x:1/y", "x:99999", "ftp://x:1"])
    def test_an_address_that_is_none(self, address):
        code, _, err = run("send", "a", "b", "--emulator", address)
        assert code == 2
        assert "is not HOST:PORT" in err

    def test_shim(self):
        code, out, _ = run("shim", "--path")
        assert code == 0
        assert Path(out.strip(), "sitecustomize.py").is_file()
        assert run("shim")[0] == 2
