"""Standard streams that are closed, full, or a pipe that nobody reads."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading

import pytest
import urllib3

from appengine_channel_emu import streams
from appengine_channel_emu.streams import LogStream
from tests.server.conftest import ENVIRONMENT
from tests.support import parts
from tests.support.emulator import EMU
from tests.support.parts import ROOT
from tests.support.processes import running_command
from tests.support.waiting import LONG_ENOUGH, until
from tests.support.wire import free_port

SHELL_EMU = " ".join(EMU)
SERVE = f"exec {SHELL_EMU} serve --port 0 --state-dir none"
full = parts.only_where(os.path.exists("/dev/full"), "this system has no /dev/full")


def run(script, **options):
    """A shell's script, to its end: its status, output, and standard error."""
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=LONG_ENOUGH,
        env=ENVIRONMENT,
        cwd=ROOT,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


class TestReadyLine:
    @full
    def test_to_a_full_disk(self):
        code, _, err = run(f"{SERVE} > /dev/full")
        assert code == 1
        assert "the ready line cannot be written to standard output: No space left on device" in err
        assert "Traceback" not in err
        assert "Exception ignored" not in err

    def test_to_a_pipe_that_is_closed(self):
        reading, writing = os.pipe()
        os.close(reading)
        with running_command(["sh", "-c", SERVE], stdout=writing, stderr=subprocess.PIPE, cwd=ROOT) as process:
            os.close(writing)
            _, err = process.communicate(timeout=LONG_ENOUGH)
        assert process.returncode == 1
        assert "Broken pipe" in err
        assert "Traceback" not in err

    @pytest.mark.parametrize("closed", [">&-", "<&-", ">&- <&-"])
    def test_to_an_output_that_is_closed_on_purpose_is_not_missed(self, closed, tmp_path):
        """Nor does anything else get the numbers of the standard streams, and what is meant for them."""
        (tmp_path / "main.py").write_text("print('from the app')\ndef app(environ, start_response): pass\n")
        port = free_port()
        command = f"{SERVE} main:app --app-dir {tmp_path} --port {port} {closed}"
        with running_command(["bash", "-c", command], stderr=subprocess.PIPE, cwd=ROOT) as process:
            until(lambda: ready(port))
            process.terminate()
            _, err = process.communicate(timeout=LONG_ENOUGH)
        assert process.returncode == 0
        assert "from the app" in err


def ready(port):
    """Whether an emulator and its app answer there."""
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        return urllib3.request("GET", f"http://127.0.0.1:{port}/_emu/health/ready", retries=False).status == 200
    return False


class TestOtherCommands:
    @full
    @pytest.mark.parametrize("command", ["--help", "--version", "shim --path"])
    def test_to_a_full_disk(self, command):
        code, _, err = run(f"{SHELL_EMU} {command} > /dev/full")
        assert (code, err) == (1, "channel-emu: cannot write: No space left on device\n")

    @pytest.mark.parametrize("command", ["--help", "serve --help"])
    def test_to_a_reader_that_has_enough(self, command):
        code, _, err = run(f"set -o pipefail; {SHELL_EMU} {command} | true")
        assert (code, err) == (0, "")


def test_a_current_folder_that_is_gone(tmp_path):
    code, _, err = run(f"cd {tmp_path} && mkdir gone && cd gone && rmdir ../gone && {SHELL_EMU} serve --port 0")
    assert (code, err) == (1, "channel-emu: the current folder is gone; change to one that exists\n")


class TestLog:
    @pytest.mark.parametrize("error", [pytest.param("2> /dev/full", marks=full), "2>&-"])
    def test_that_cannot_be_written_stops_nothing(self, error):
        command = ["bash", "-c", f"{SERVE} {error}"]
        with running_command(command, stdout=subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT) as process:
            url = process.stdout.readline().split()[-1]
            assert urllib3.request("GET", f"{url}/nobody-here").status == 404
            process.terminate()
            assert process.wait(LONG_ENOUGH) == 0


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, LogStream(writing)
    os.close(reading)
    os.close(writing)


class TestLogStream:
    def test_whoever_writes_never_waits_and_every_line_comes_in_order(self, pipe):
        reading, stream = pipe
        lines = [f"line {number} {'x' * 300}\n" for number in range(1000)]
        for line in lines:
            stream.write(line)  # Into a pipe of 64 KiB that nobody reads.
        with open(reading, closefd=False) as file:
            assert [file.readline() for _ in lines] == lines
        stream.write("later\n")
        assert os.read(reading, 100) == b"later\n"

    def test_from_many_threads(self, pipe):
        reading, stream = pipe
        threads = [
            threading.Thread(target=lambda n=n: [stream.write(f"{n} {i} {'y' * 200}\n") for i in range(200)])
            for n in range(5)
        ]
        for thread in threads:
            thread.start()
        with open(reading, closefd=False) as file:
            found = [file.readline().split() for _ in range(1000)]
        for thread in threads:
            thread.join()
        for n in range(5):
            assert [int(line[1]) for line in found if line[0] == str(n)] == list(range(200))

    def test_past_its_bound_lines_are_lost_and_it_is_said_how_many(self, pipe, monkeypatch):
        monkeypatch.setattr(streams, "HELD_BYTES", 10_000)
        reading, stream = pipe
        for number in range(1000):
            stream.write(f"{number:4} {'z' * 494}\n")
        with open(reading, closefd=False) as file:
            kept = []
            while not (line := file.readline()).startswith("channel-emu:"):
                kept.append(int(line.split()[0]))
        assert kept == list(range(len(kept)))
        assert line == f"channel-emu: {1000 - len(kept)} lines of the log have been lost.\n"

    def test_what_python_cannot_encode_is_shown_in_escapes(self, pipe):
        reading, stream = pipe
        stream.write("\ud800 ä\n")
        assert os.read(reading, 100).decode() == "\\ud800 ä\n"

    @full
    def test_a_full_disk_that_has_room_again(self, tmp_path):
        number = os.open("/dev/full", os.O_WRONLY)
        stream = LogStream(number)
        for _ in range(3):
            stream.write("lost\n")
        replacement = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
        os.dup2(replacement, number)
        stream.write("kept\n")
        os.close(number)
        os.close(replacement)
        assert (tmp_path / "log").read_text() == "kept\nchannel-emu: 3 lines of the log have been lost.\n"

    def test_it_is_a_stream_like_any(self, pipe):
        _, stream = pipe
        assert (stream.writable(), stream.isatty(), stream.encoding) == (True, False, "utf-8")
        print("x", file=stream, flush=True)
