"""The verbs, as a shell runs them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from appengine_channel_emu.running_here import Announcement, EmulatorHere
from appengine_channel_emu.testing import ChannelClient
from tests.support.emulator import EMU, RunningEmulator
from tests.support.parts import ROOT
from tests.support.processes import default_signals, running_command
from tests.support.service import running_service
from tests.support.waiting import LONG_ENOUGH, eventually, until

EXAMPLE = Path(__file__).with_name("example_project")
NOBODY = "127.0.0.1:9"


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHANNEL_EMU", "API_"))}
    return kept | {"PYTHONPATH": str(ROOT)} | more


def start(*arguments, **options):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options = {"env": environment(), "preexec_fn": default_signals} | options
    return subprocess.Popen([*EMU, *arguments], **pipes | options)


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
        assert "port to listen on; 0 takes a free one (default: 0)\n" in help_text

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
        process = start("exec", "--", "sh", "-c", script, start_new_session=True)
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

    @pytest.mark.parametrize(
        ("given", "said"), [("<&-", "standard input is closed; give the message"), ("0>/dev/null", "cannot be read")]
    )
    def test_send_without_a_message_that_can_be_read(self, emulator, given, said):
        script = f"{shlex.join(EMU)} send bob --emulator {emulator.address} {given}"
        done = subprocess.run(["sh", "-c", script], env=environment(), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr

    def test_tail_prints_messages_and_the_reason_of_the_end(self, emulator):
        token = emulator.broker.create_channel("bob").token
        process = start("tail", token, "--json", "--emulator", emulator.address)
        assert process.stderr.readline() == "channel-emu tail: open\n"
        emulator.broker.send_message("bob", "a\n☃")
        assert json.loads(process.stdout.readline()) == "a\n☃"
        [socket] = emulator.broker.control.sockets_of("bob")
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

    def test_a_socket_of_tail_says_so(self, emulator):
        process = start("tail", "--client-id", "bob", "--count", "1", "--emulator", emulator.address)
        assert process.stderr.readline() == "channel-emu tail: open\n"
        [socket] = sockets(emulator, "bob")
        assert socket["opened_by"] == "tail"
        emulator.broker.send_message("bob", "x")
        assert process.communicate(timeout=LONG_ENOUGH)[0] == "x\n"

    def test_tail_of_a_bad_token(self, emulator):
        code, out, err = run("tail", "not-a-token", "--emulator", emulator.address)
        assert (code, out) == (1, "")
        assert "401 Invalid+token." in err

    @pytest.mark.parametrize("verb", [["send", "a", "b"], ["tail", "x"], ["tail", "--client-id", "x"], ["env"]])
    def test_nobody_there_is_said_with_the_address(self, verb):
        code, out, err = run(*verb, env=environment(CHANNEL_EMULATOR_HOST=NOBODY))
        assert (code, out) == (1, "")
        assert f"no emulator answers at {NOBODY} (Connection refused); start one with: channel-emu serve" in err

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


@pytest.fixture
def runtime(tmp_path):
    """The environment of a user who has a runtime folder, and in it no emulator yet."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    environ = environment(XDG_RUNTIME_DIR=str(folder))
    environ.pop("CHANNEL_EMULATOR_HOST", None)
    return environ


@pytest.fixture
def announce(runtime, monkeypatch):
    """Have an emulator of that user's known, by its address and its app."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime["XDG_RUNTIME_DIR"])
    made = []
    yield lambda address, app="": made.append(Announcement(EmulatorHere(address, app, os.getpid())))
    for announcement in made:
        announcement.withdraw()


@pytest.fixture
def start_here(runtime, tmp_path):
    """Start `channel-emu serve` as that user."""
    with contextlib.ExitStack() as stack:

        def made(*arguments):
            emulator = RunningEmulator(*arguments, log=tmp_path / "log", environ=runtime)
            return stack.enter_context(emulator)

        yield made


ASKING = [["send", "bob", "x"], ["tail", "--client-id", "bob"], ["wait", "--timeout", "0"], ["events"], ["status"]]
ASKING += [["reset"], ["env"]]


class TestWhichEmulator:
    """One rule for all verbs."""

    @pytest.mark.parametrize("verb", ASKING, ids=lambda verb: verb[0])
    def test_of_several_that_run_here_one_must_be_named(self, announce, runtime, verb):
        announce("127.0.0.1:8080", "main:app")
        announce("127.0.0.1:8081")
        code, out, err = run(*verb, env=runtime)
        assert (code, out) == (2, "")
        assert err.splitlines() == [
            f"channel-emu {verb[0]}: error: 2 emulators run here; name one with -p PORT or $CHANNEL_EMULATOR_HOST:",
            f"  127.0.0.1:8080  main:app, process {os.getpid()}",
            f"  127.0.0.1:8081  without an app, process {os.getpid()}",
            f"see channel-emu {verb[0]} --help",
        ]

    @pytest.mark.parametrize("verb", [verb for verb in ASKING if verb[0] != "tail"], ids=lambda verb: verb[0])
    def test_the_only_one_that_runs_here_is_taken_and_said(self, announce, emulator, runtime, verb):
        announce(emulator.address)
        code, _, err = run(*verb, env=runtime)
        assert code == (verb[0] == "send"), err
        why = f"the only one that runs here, without an app, process {os.getpid()}"
        assert err == f"channel-emu {verb[0]}: the emulator at {emulator.address} ({why})\n"

    def test_one_that_is_named_is_taken(self, announce, emulator, runtime):
        """By the variable, which is said, or by an option, which is not."""
        announce(NOBODY)
        address = emulator.address
        code, _, err = run("reset", env=runtime | {"CHANNEL_EMULATOR_HOST": address})
        assert (code, err) == (0, f"channel-emu reset: the emulator at {address} ($CHANNEL_EMULATOR_HOST)\n")
        variable = runtime | {"CHANNEL_EMULATOR_HOST": NOBODY}
        for option in (["--emulator", address], ["-p", str(emulator.port)]):
            code, out, err = run("status", "--json", *option, env=variable)
            assert (code, err) == (0, "")
            assert json.loads(out)["url"] == emulator.url

    def test_one_that_was_killed_is_not_taken(self, start_here, runtime):
        one, other = start_here(), start_here()
        one.kill(signal.SIGKILL)
        code, out, _ = run("status", "--json", env=runtime)
        assert (code, json.loads(out)["url"]) == (0, other.url)

    def test_where_none_is_known_it_is_the_default(self, runtime):
        _, _, err = run("wait", "--timeout", "0", "--emulator", NOBODY, env=runtime)
        assert "the default" not in err
        _, _, err = run("reset", "--port", "eighty", env=runtime)
        assert "--port: 'eighty' is not a port" in err
        _, _, err = run("env", env=runtime)
        assert "the emulator at 127.0.0.1:8080 (the default, since none is known to run here)" in err

    def test_wait_finds_one_that_is_only_now_started(self, start_here, runtime):
        process = start("wait", env=runtime)
        emulator = start_here()
        _, err = process.communicate(timeout=LONG_ENOUGH)
        assert process.returncode == 0, err
        assert emulator.url.removeprefix("http://") in err

    def test_wait_waits_for_an_app_that_is_still_imported(self, runtime, tmp_path):
        (tmp_path / "slow.py").write_text(
            "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"
            "def app(environ, start_response): pass\n"
        )
        arguments = ("serve", "slow:app", "--port", "0", "--state-dir", "none", "--app-dir", str(tmp_path))
        with running_command([*EMU, *arguments], stdout=subprocess.PIPE, env=runtime) as serving:
            folder = tmp_path / "run" / "channel-emu"
            eventually(lambda: list(folder.glob("*.json")), len)
            code, _, err = run("wait", "--timeout", "0", env=runtime)
            assert (code, "The app is still being started." in err) == (1, True)
            (tmp_path / "go").touch()
            assert run("wait", env=runtime)[0] == 0
            serving.send_signal(signal.SIGTERM)
            assert serving.wait(LONG_ENOUGH) == 0
            assert list(folder.glob("*.json")) == []


class TestStatusEventsReset:
    def test_status_for_people(self, emulator):
        emulator.broker.create_channel("bob")
        code, out, err = run("status", "-p", str(emulator.port))
        assert (code, err) == (0, "")
        rows = dict(line.split(None, 1) for line in out.splitlines())
        assert (rows["app"], rows["address"], rows["channels"]) == ("none", emulator.url, "1")
        assert rows["messages"] == "0 sent, 0 dropped"

    def test_a_kind_of_which_there_is_no_event(self, emulator):
        emulator.broker.send_message("bob", "x")
        code, out, err = run("events", "--kind", "dropped", "--emulator", emulator.address)
        assert (code, out) == (0, "")
        said = "no event of the kind 'dropped' is kept; did you mean message_dropped?"
        assert err == f"channel-emu events: {said}\n"

    def test_events_of_the_past(self, emulator):
        where = ("--emulator", emulator.address)
        for number in range(30):
            emulator.broker.send_message(f"nobody-{number}", "a secret")
        code, out, _ = run("events", *where)
        lines = out.splitlines()
        assert (code, len(lines)) == (0, 20)
        assert lines[-1].endswith(" [nobody-29]")
        assert "message_dropped" in lines[-1]
        assert "a secret" not in out
        _, out, _ = run("events", "--json", "--last", "2", "--kind", "message_dropped", *where)
        assert [json.loads(line)["client_id"] for line in out.splitlines()] == ["nobody-28", "nobody-29"]
        _, out, _ = run("events", "--client-id", "nobody-7", "--json", *where)
        assert [json.loads(line)["client_id"] for line in out.splitlines()] == ["nobody-7"]
        assert run("events", "--last", "0", *where)[:2] == (0, "")
        for number in ("x", "-1", "1001"):
            assert run("events", f"--last={number}", *where)[0] == 2

    def test_events_are_followed_over_a_restart(self, tmp_path):
        with RunningEmulator(log=tmp_path / "log") as emulator:
            where = ("--emulator", emulator.url.removeprefix("http://"))
            process = start("events", "--follow", "--json", "--kind", "message_dropped", *where)
            for text in ("before", "after"):
                emulator.send(text, "x")
                event = json.loads(process.stdout.readline())
                assert (event["client_id"], event["kind"]) == (text, "message_dropped")
                if text == "before":
                    emulator.stop()
                    assert process.stderr.readline() == "channel-emu events: the emulator is away\n"
                    emulator.start()
                    assert process.stderr.readline() == "channel-emu events: it is there again\n"
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LONG_ENOUGH)
            assert process.returncode == 130

    def test_a_reader_that_has_enough_ends_it(self, emulator):
        emulator.broker.send_message("bob", "x")
        process = start("events", "--follow", "--emulator", emulator.address)
        assert "message_dropped" in process.stdout.readline()
        process.stdout.close()
        emulator.broker.send_message("bob", "x")
        emulator.broker.send_message("bob", "x")
        assert process.wait(LONG_ENOUGH) == 0
        assert process.stderr.read() == ""

    @pytest.mark.parametrize("verb", [["events", "--follow"], ["tail", "--client-id", "bob"]], ids=lambda verb: verb[0])
    def test_a_reader_that_has_gone_ends_it_though_nothing_more_comes(self, emulator, verb):
        process = start(*verb, "--emulator", emulator.address)
        until(lambda: verb[0] == "events" or emulator.broker.control.sockets_of("bob"))
        emulator.broker.send_message("bob", "x")
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(LONG_ENOUGH) == 0

    def test_reset(self, emulator):
        emulator.broker.create_channel("bob")
        assert run("reset", "--emulator", emulator.address)[:2] == (0, f"{emulator.address} is reset\n")
        assert emulator.broker.control.client_ids() == []
