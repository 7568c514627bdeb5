"""`channel-emu serve` as a process: the ready line, signals, ports and exit codes (behaviour.md 12)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request

import pytest

from tests.support.waiting import LONG_ENOUGH, until


def ask(url):
    with urllib.request.urlopen(url, timeout=LONG_ENOUGH) as answer:
        return json.load(answer)


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return ask(request)


def end(process):
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=LONG_ENOUGH)
    return process.returncode, out, err


def test_the_ready_line_is_the_only_one_and_names_the_real_port(serve):
    process, line = serve("--port", "0", "--state-dir", "none", "--quiet")
    url = re.fullmatch(r"channel-emu: ready at (http://127\.0\.0\.1:\d+)\n", line)[1]
    assert ask(f"{url}/_emu/health")["status"] == "ready"
    assert end(process) == (0, "", "")


def kept_messages(folder):
    with contextlib.closing(sqlite3.connect(folder / "state.sqlite3")) as database:
        return [text for (text,) in database.execute("SELECT text FROM messages")]


APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]
"""


@pytest.mark.parametrize("quiet", [False, True])
def test_the_log_has_the_apps_requests_and_in_the_end_what_they_cost(serve, tmp_path, quiet):
    (tmp_path / "small.py").write_text(APP)
    process, line = serve("--port", "0", "--state-dir", "none", "small:app", *["--quiet"] * quiet)
    url = line.split()[-1]
    for path in ("/a", "/a", "/b%0AINFO%20forged", "/_emu/health"):
        urllib.request.urlopen(url + path, timeout=LONG_ENOUGH).close()
    code, _, err = end(process)
    assert code == 0
    if quiet:
        assert err == ""
        return
    assert len(re.findall(r"INFO +GET /a 200 1 B \d\.\d{3} s \(cpu \d\.\d{3} s\)\n", err)) == 2
    assert re.search(r" 2 +\d\.\d\d s +\d\.\d\d s +0  /a\n", err)
    assert "/b\\nINFO forged" in err
    assert "health" not in err


def test_ctrl_c_is_a_clean_stop(serve):
    process, _ = serve("--port", "0", "--state-dir", "none", "--quiet")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LONG_ENOUGH)
    assert (process.returncode, err) == (0, "")


def test_localhost_is_both_addresses(serve):
    process, line = serve("--port", "0", "--state-dir", "none")
    port = int(line.rpartition(":")[2])
    for address in ("127.0.0.1", "::1"):
        socket.create_connection((address, port), timeout=LONG_ENOUGH).close()
    assert end(process)[0] == 0


@pytest.mark.parametrize("address", [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_port_in_use_names_its_holder_and_the_cure(serve, address):
    host, family = address
    with socket.socket(family) as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        process, line = serve("--port", str(port), "--state-dir", "none")
        _, err = process.communicate(timeout=LONG_ENOUGH)
    assert (process.returncode, line) == (1, "")
    assert f"Port {port} on {host} is in use" in err
    assert "--port" in err
    if sys.platform == "linux":
        assert f"(process {os.getpid()})" in err
    assert "Traceback" not in err


def test_who_has_the_same_port_of_another_address_is_not_its_holder(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = f"socket.create_server(('::1', {port}), family=socket.AF_INET6)"
        command = [sys.executable, "-c", f"import socket; server = {listen}; print(flush=True); input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout.readline()
            process, _ = serve("--port", str(port), "--state-dir", "none")
            _, err = process.communicate(timeout=LONG_ENOUGH)
            other.kill()
    assert f"Port {port} on 127.0.0.1 is in use" in err
    assert f"(process {other.pid})" not in err
    if sys.platform == "linux":
        assert f"(process {os.getpid()})" in err


def test_an_address_of_another_machine_is_refused(serve):
    process, _ = serve("--host", "192.0.2.1", "--port", "0", "--state-dir", "none")
    _, err = process.communicate(timeout=LONG_ENOUGH)
    assert process.returncode == 1
    assert "no address of this machine" in err


def test_a_wrong_flag_is_a_usage_error(serve):
    process, _ = serve("--prot", "1")
    _, err = process.communicate(timeout=LONG_ENOUGH)
    assert process.returncode == 2
    assert "--port" in err


def test_a_missing_module_could_not_start(serve):
    process, line = serve("--port", "0", "--state-dir", "none", "nothing_here:app")
    _, err = process.communicate(timeout=LONG_ENOUGH)
    assert (process.returncode, line) == (1, "")
    assert "'nothing_here'" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_tokens_and_sockets_outlive_the_process(serve, tmp_path, number):
    arguments = ("--port", "0", "--state-dir", str(tmp_path / "state"))
    process, line = serve(*arguments)
    url = line.split()[-1]
    token = post(f"{url}/_emu/channels", {"client_id": "bob"})["token"]
    opened = ask(f"{url}/_ah/channel/open?channel={token}")["socket"]
    post(f"{url}/_emu/messages", {"client_id": "bob", "message": "a message"})
    if number == signal.SIGKILL:
        until(lambda: kept_messages(tmp_path / "state") == ["a message"])
    process.send_signal(number)
    process.communicate(timeout=LONG_ENOUGH)

    process, line = serve(*arguments)
    url = line.split()[-1]
    poll = f"{url}/_ah/channel/poll?socket={opened}&wait=0&after="
    assert ask(poll + "0") == {"messages": ["a message"], "next": 1}
    assert post(f"{url}/_emu/messages", {"token": token, "message": "two"})["delivered_to"] == 1
    assert ask(poll + "1") == {"messages": ["two"], "next": 2}
    code, _, err = end(process)
    assert code == 0
    assert ("was killed" in err) == (number == signal.SIGKILL)


def test_a_second_emulator_of_the_same_app_keeps_nothing(serve, tmp_path):
    arguments = ("--port", "0", "--state-dir", str(tmp_path / "state"))
    first, _ = serve(*arguments)
    second, line = serve(*arguments)
    assert "ready" in line
    assert "keeps nothing" in end(second)[2]
    assert end(first)[0] == 0


def test_a_user_without_a_home_folder_is_served_and_told_that_nothing_is_kept():
    """As in a container that runs under a number of its own."""
    code = (
        "import os, sys; os.getuid = lambda: 2_000_000_001; "
        "from appengine_channel_emu.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    environ = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_STATE_HOME")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--port", "0"],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline().startswith("channel-emu: ready at")
    code, _, err = end(process)
    assert code == 0
    assert "Nothing is kept over a restart: there is no home folder." in err
    assert "Traceback" not in err


@pytest.mark.parametrize("app", ["mysite.wsgi", "mysite.wsgi:make('x')"])
def test_a_module_and_a_factory_are_served(serve, tmp_path, app):
    (tmp_path / "mysite").mkdir()
    source = APP.replace("def app", "def application") + "make = lambda x: application\n"
    (tmp_path / "mysite" / "wsgi.py").write_text(source)
    _, line = serve(app, "--app-dir", str(tmp_path), "--port", "0", "--state-dir", "none")
    with urllib.request.urlopen(line.split()[-1], timeout=LONG_ENOUGH) as answer:
        assert answer.read() == b"x"


def test_an_asgi_app_is_refused_at_the_start_and_told_what_to_do(serve, tmp_path):
    source = "class App:\n    async def __call__(self, scope, receive, send): pass\napp = App()\n"
    (tmp_path / "main.py").write_text(source)
    process, line = serve("main:app", "--app-dir", str(tmp_path), "--port", "0", "--state-dir", "none")
    assert (line, process.wait(LONG_ENOUGH)) == ("", 1)
    said = process.stderr.read()
    assert "channel-emu: 'app' of the module 'main' is an ASGI application." in said
    assert "channel-emu serve --upstream http://127.0.0.1:9000" in said
    assert "Traceback" not in said
