"""Blocks of commands in README.md, CONTRIBUTING.md and docs/, run as they are printed: `blocks.py` says which."""

from __future__ import annotations

import http.server
import json
import re
import shlex
import shutil
import subprocess
import threading

import pytest
import urllib3
import yaml

from appengine_channel_emu.cli.main import load
from appengine_channel_emu.testing import ChannelClient
from tests.docs.documents import Block, block, blocks_of, documents
from tests.docs.terminal import DocumentTerminal
from tests.support import parts
from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH, eventually

APP = """
from google.appengine.api import channel

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/_ah/channel/connected/":
        channel.send_message("anna", "the app was told")
    return [channel.create_channel("anna").encode()]

application = app

def create_app(kind):
    return app
"""
"""An app by every name that the documents give one."""


@pytest.fixture
def terminal(tmp_path):
    with DocumentTerminal(tmp_path / "a folder") as terminal:
        yield terminal


def write(terminal, name, text):
    path = terminal.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def get(url):
    return urllib3.request("GET", url, timeout=LONG_ENOUGH, retries=False)


def asked(terminal):
    """What the app answers at `/`: a token."""
    answer = get(terminal.url)
    assert answer.status == 200, answer.data
    return answer.data.decode()


def commands(found: Block) -> list[str]:
    """Its lines, those that go on joined, without what is said beside them."""
    lines = found.code.replace("\\\n", " ").splitlines()
    typed = [line[2:] for line in lines if line.startswith("$ ")] or lines
    return [line for each in typed if (line := re.sub(r"\s+#.*$", "", each))]


SHOWN = sorted(
    {
        line
        for document in documents()
        for each in blocks_of(document)
        if each.language in ("", "sh", "console")
        for line in commands(each)
        if line.startswith("channel-emu ")
    }
)


@pytest.mark.parametrize("line", SHOWN)
def test_every_command_of_a_document_is_one(line):
    """Its verb and its options; what it does is for the tests below."""
    words = shlex.split(re.split(r" [|>&;]", line)[0])[1:]
    verb, *arguments = words
    if verb in ("serve", "exec") and "--" in arguments:
        arguments = arguments[: arguments.index("--")] + (["--", "true"] if verb == "exec" else [])
    arguments = [each.replace("$PROBE", "probe") for each in arguments]
    _, parser = load(verb)
    parser().parse_args(arguments)


def test_the_targets_of_make():
    """Each that README.md and CONTRIBUTING.md name is one; `make test` itself is what runs this."""
    found = [*commands(block("README.md", "make serve     # the sample app above, on http://localhost:8080"))]
    found += commands(block("CONTRIBUTING.md", "make serve         # the sample app"))
    assert len(found) >= 9
    for command in found:
        done = subprocess.run([*command.split(), "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert command != "make serve" or "channel-emu serve --no-sdk sample_app" in done.stdout


def test_the_demo(terminal):
    """The README's own line, and what docs/command-line.md shows of it; with no browser, and on a port that is free."""
    install, demo = commands(blocks_of("README.md")[0])
    assert install == "pip install ."
    shown = block("docs/command-line.md", "$ channel-emu demo")
    assert [demo] == commands(shown)
    said = [" ".join(line.split()) for line in terminal.run(f"{demo} --no-browser --port {terminal.port}").splitlines()]
    without_a_browser = terminal.here(shown.code).replace("opening in your browser", "open it in a browser")
    expected = [" ".join(line.split()) for line in without_a_browser.splitlines()[1:]]
    assert [line for line in expected if line not in said] == []
    (address,) = {word for line in said for word in line.split() if "/?game=" in word}
    assert get(address).status == 200


def test_settings_and_a_test_for_an_app(terminal):
    write(terminal, "main.py", APP)
    shown = block("docs/command-line.md", "$ channel-emu init").code
    terminal.session(shown)
    assert {path.name for path in terminal.folder.glob("c*")} == {"channel-emu.yaml", "conftest.py"}


def test_an_app_is_served_by_its_app_yaml(terminal):
    presence = block("docs/app-yaml.md", "inbound_services:").code
    write(terminal, "path/to/app/main.py", APP)
    write(terminal, "path/to/app/app.yaml", f"runtime: python312\n{presence}handlers:\n- url: /.*\n  script: auto\n")
    (command,) = commands(
        block("docs/app-yaml.md", "channel-emu serve path/to/app        # or the path of its app.yaml")
    )
    terminal.run(command)
    with ChannelClient(terminal.url, asked(terminal)) as page:
        assert page.receive(LONG_ENOUGH) == "the app was told"


def test_a_field_that_app_engine_did_not_know(terminal):
    said = next(
        each.code for each in blocks_of("docs/app-yaml.md") if each.first_line.startswith("channel-emu: app.yaml")
    )
    filler = "".join(f"- url: /{number}\n  script: auto\n" for number in range(7))
    write(
        terminal, "app.yaml", f"runtime: python312\nhandlers:\n{filler}- url: /.*\n  script: auto\n  logn: required\n"
    )
    assert terminal.run("true && channel-emu serve .", status=1) == said


def test_serving_behind_a_proxy(terminal):
    serve = next(each for each in blocks_of("docs/behind-a-proxy.md") if "--trusted-proxy" in each.first_line)
    ask = next(each for each in blocks_of("docs/behind-a-proxy.md") if each.first_line.startswith("curl -i"))
    write(terminal, "my_app/main.py", APP)
    write(terminal, "my_app/app.yaml", "runtime: python312\nhandlers:\n- url: /.*\n  script: auto\n")
    terminal.run(commands(serve)[0])
    headers = {"Host": "dev.example.org", "X-Forwarded-Proto": "https"}
    assert urllib3.request("GET", terminal.url, headers=headers, timeout=LONG_ENOUGH).status == 200
    (command,) = commands(ask)
    if not shutil.which("curl"):
        parts.lacking("curl is not installed")
    # Without curl's own progress, which goes to the terminal too.
    answer = terminal.run(command.replace("https://dev.example.org", terminal.url) + " 2>/dev/null")
    assert answer.startswith("HTTP/1.1 410 Socket+gone.\n")


def test_a_line_of_the_log_as_json(terminal):
    shown = next(json.loads(each.code) for each in blocks_of("docs/command-line.md") if each.code.startswith('{"time"'))
    write(terminal, "main.py", APP)
    terminal.run("channel-emu serve main:app --log-format json")
    asked(terminal)
    lines = eventually(lambda: [line for line in terminal.log.splitlines() if '"GET /' in line], len)
    logged = json.loads(lines[0])
    assert logged.keys() == shown.keys()
    assert logged["logger"] == shown["logger"]
    assert shape(logged["message"]) == shape(shown["message"])
    assert shape(logged["time"]) == shape(shown["time"])


def shape(text):
    """`text` with its numbers and letters of measure left out: what a reader of the log relies on."""
    return re.sub(r" \(cpu .*?\)", "", re.sub(r"\d+", "0", text))


@pytest.mark.slow
def test_asking_a_running_emulator(terminal):
    found = {shlex.split(line)[1]: line for line in commands(block_of_verbs()) if line.startswith("channel-emu")}
    (environment,) = [line for line in commands(block_of_verbs()) if line.startswith("eval")]
    assert list(found) == ["status", "cluster", "send", "tail", "events", "wait", "reset"]
    write(terminal, "main.py", APP)
    terminal.run("channel-emu serve main:app")
    assert "main:app" in terminal.run(found["status"])
    assert "This emulator is alone" in terminal.run(found["cluster"], status=1)
    with ChannelClient(terminal.url, asked(terminal)) as page:
        assert page.receive(LONG_ENOUGH) == "the app was told"
        with Following(terminal, found["tail"]) as tail, Following(terminal, found["events"]) as events:
            tail.wait_for("open")
            events.wait_for("socket_opened")
            assert "delivered to 2 sockets" in terminal.run(found["send"])
            tail.wait_for("It is your turn")
            events.wait_for("message_sent")
    terminal.run(found["wait"])
    address = f"127.0.0.1:{terminal.port}"
    assert terminal.run(f'{environment}; echo "$CHANNEL_EMULATOR_HOST"').splitlines()[-1] == address
    terminal.run(found["reset"])
    assert json.loads(get(f"{terminal.url}/_emu/channels").data)["channels"] == []


def block_of_verbs() -> Block:
    return next(each for each in blocks_of("docs/command-line.md") if each.first_line.startswith("channel-emu status"))


class Following:
    """A command that goes on: what it has said so far; ended by Ctrl-C, or at the end of the block."""

    def __init__(self, terminal, command):
        self._terminal, self._command, self._said = terminal, command, []

    def __enter__(self):
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {self._command}"],
            cwd=self._terminal.folder,
            env=self._terminal.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=lambda: self._said.extend(iter(self._process.stdout.readline, "")))
        self._reader.start()
        return self

    def wait_for(self, text):
        eventually(lambda: "".join(self._said), lambda said: text in said)

    def __exit__(self, *exc_info):
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()


@pytest.mark.slow
def test_completion(terminal):
    lines = commands(block("docs/command-line.md", 'eval "$(channel-emu completion bash)"        # ~/.bashrc'))
    assert len(lines) == 3
    ran = 0
    for line, shell, asks in zip(
        lines,
        ("bash", "zsh", "fish"),
        ("complete -p channel-emu", "whence -w _channel_emu", "complete -C 'channel-emu sen'"),
        strict=True,
    ):
        if shutil.which(shell):
            first = "autoload -U compinit; compinit -D\n" if shell == "zsh" else ""
            script = f"{first}{line}\n{asks}"
            done = subprocess.run(
                [shell, "-c", script],
                cwd=terminal.folder,
                env=terminal.environ,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (shell, done.stderr)
            assert "channel" in done.stdout or "send" in done.stdout, (shell, done.stdout)
            ran += 1
    assert ran


@pytest.mark.slow
def test_ways_to_start(terminal):
    write(terminal, "main.py", APP)
    write(terminal, "my_app/main.py", APP)
    write(terminal, "mysite/__init__.py", "")
    write(terminal, "mysite/wsgi.py", APP)
    lines = commands(next(each for each in blocks_of("docs/running.md") if "main:app" in each.first_line))
    lines += commands(block("docs/faq.md", "channel-emu serve --request-deadline off main:app"))
    assert len(lines) == 5
    for line in lines:
        terminal.run(line)
        assert len(asked(terminal)) >= 20
        terminal.stop()


@pytest.mark.slow
def test_measuring(terminal):
    """As printed, and then with few pages, for what comes last on a command line counts."""
    lines = commands(next(each for each in blocks_of("docs/benchmarks.md") if "--pages" in each.first_line))
    assert len(lines) >= 5
    terminal.run("channel-emu serve")
    for line in lines:
        command, writes, file = line.partition(" > ")
        printed = terminal.run(f"{command} --pages 20 --sends 30 --seconds 1{writes}{file}")
        assert writes or "delivery with 10 pages" in printed, printed
    assert (terminal.folder / "bench.svg").read_text("utf-8").startswith("<svg")
    assert json.loads((terminal.folder / "bench.json").read_text("utf-8"))["pages"] == 20


def test_an_app_that_speaks_json(terminal):
    if not shutil.which("curl"):
        parts.lacking("curl is not installed")
    serve, create, send = commands(block("docs/running.md", "channel-emu serve"))
    terminal.run(serve)
    token = json.loads(terminal.run(create))["token"]
    assert json.loads(terminal.run(send))["reason"]
    with ChannelClient(terminal.url, token) as page:
        assert json.loads(terminal.run(send)) == {"delivered_to": 1}
        assert page.receive(LONG_ENOUGH) == "It is your turn"


def test_being_the_app(terminal):
    (send,) = commands(block("docs/messages-do-not-arrive.md", "channel-emu send anna hello"))
    terminal.run("channel-emu serve")
    created = urllib3.request("POST", f"{terminal.url}/_emu/channels", json={"client_id": "anna"}, timeout=LONG_ENOUGH)
    with ChannelClient(terminal.url, created.json()["token"]) as page:
        terminal.run(send)
        assert page.receive(LONG_ENOUGH) == "hello"


def test_in_front_of_an_app_that_runs(terminal):
    class App(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from upstream")

        def log_message(self, *arguments):
            pass

    serve, environment = commands(next(each for each in blocks_of("docs/upstream.md")))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), App) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            terminal.run(serve.replace("9000", str(server.server_port)))
            assert asked(terminal) == "from upstream"
            printed = terminal.run(f"{environment}; env").splitlines()
        finally:
            server.shutdown()
    address = f"127.0.0.1:{terminal.port}"
    assert f"CHANNEL_EMULATOR_HOST={address}" in printed
    assert {"API_HOST", "API_PORT", "RUN_WITH_DEVAPPSERVER"} <= {line.partition("=")[0] for line in printed}


def test_what_prometheus_asks(terminal):
    (job,) = yaml.safe_load(block("docs/metrics.md", "scrape_configs:").code)["scrape_configs"]
    terminal.run("channel-emu serve")
    ((target,),) = [each["targets"] for each in job["static_configs"]]
    answer = get(f"http://{terminal.here(target)}{job['metrics_path']}")
    asks = next(each.code for each in blocks_of("docs/metrics.md") if "histogram_quantile" in each.code)
    assert f"# TYPE {re.search(r'channel_emu_[a-z_]+(?=_bucket)', asks)[0]} histogram" in answer.data.decode()
