"""`channel-emu bench`, with few pages and little time."""

from __future__ import annotations

import http.server
import io
import json
import os
import pty
import signal
import subprocess
import threading
import xml.etree.ElementTree as ElementTree

import pytest

from appengine_channel_emu.bench import measure
from appengine_channel_emu.bench.measure import Progress
from appengine_channel_emu.bench.pages import Pages
from appengine_channel_emu.host.visitors import ServerHints
from appengine_channel_emu.server import websocket
from appengine_channel_emu.testing import ChannelServer
from appengine_channel_emu.web.channel import stream
from tests.support.emulator import EMU
from tests.support.parts import ROOT
from tests.support.processes import MARK, left_after, marked
from tests.support.waiting import LONG_ENOUGH, eventually

pytestmark = pytest.mark.slow

SHORT = ["--pages", "20", "--sends", "30", "--seconds", "1"]
SVG = "{http://www.w3.org/2000/svg}"


def command(*arguments):
    return [*EMU, "bench", *arguments]


def run(*arguments, **options):
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("environ", {})
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=LONG_ENOUGH, env=environ, check=False, **options
    )
    return done.returncode, done.stdout, done.stderr


def test_the_figures_as_json_and_as_a_chart(tmp_path):
    chart = tmp_path / "chart.svg"
    code, out, err = run(*SHORT, "--json", "--chart", str(chart), cwd=tmp_path)
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert figures["pages"] == 20
    for name in ("few", "delivery"):
        assert 0 < figures[name]["p50_ms"] <= figures[name]["p99_ms"] <= figures[name]["max_ms"]
    for name in ("opened_per_second", "fan_out_per_second", "throughput_per_second"):
        assert figures[name] > 0
    # So few pages may fit into memory that the process has already.
    assert figures["page_kib"] >= 0
    assert 0 <= figures["idle_cpu"] < 100
    drawn = ElementTree.parse(chart).getroot()
    assert len(drawn.findall(f"{SVG}polyline")) == 2
    texts = [element.text for element in drawn.iter(f"{SVG}text")]
    assert "Delivery latency with 20 pages" in texts
    assert f"{figures['throughput_per_second']:,.0f}/s" in texts


def test_both_transports_beside_each_other(tmp_path):
    chart = tmp_path / "chart.svg"
    code, out, err = run(*SHORT, "--transport", "both", "--json", "--chart", str(chart), cwd=tmp_path)
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert list(figures) == ["poll", "websocket"]
    for transport, measured in figures.items():
        assert measured["transport"] == transport
        assert measured["delivery"]["p50_ms"] > 0
        for name in ("fan_out_per_second", "throughput_per_second"):
            assert measured[name] > 0
        # So few pages may take less than the system counts: 10 ms of CPU, or memory that the process has already.
        for name in ("fan_out_cpu", "page_kib"):
            assert measured[name] >= 0
    drawn = ElementTree.parse(chart).getroot()
    assert len(drawn.findall(f"{SVG}polyline")) == 2
    texts = [element.text for element in drawn.iter(f"{SVG}text")]
    assert {"poll", "websocket"} <= set(texts)


@pytest.mark.parametrize("transport", ["poll", "websocket"])
def test_pages_of_either_kind_say_what_they_have(transport):
    with ChannelServer() as server:
        pages = Pages(server.url, transport=transport)
        pages.open(2)
        for _ in range(2):
            assert measure.fan_out(pages) > 0
        assert len(measure.deliver(pages, 150)) == 150
        held = {"poll": "poll", "websocket": "stream"}[transport]
        eventually(lambda: [pages.turn(0.1), shown(server, pages)], lambda seen: seen[1] == [(0, held)] * 2)
        pages.leave()
        assert server.broker.control.channels().sockets == 0


def test_pages_that_stream_answer_heartbeats(monkeypatch):
    heard = []
    monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(stream.PageStream, "received", lambda page, text: heard.append(text))
    with ChannelServer() as server:
        pages = Pages(server.url, transport="websocket")
        pages.open(1)
        eventually(lambda: [pages.turn(0.1), heard], lambda seen: seen[1][:3] == ["0"] * 3)
        pages.leave()


def shown(server, pages):
    sockets = [server.broker.control.channel(name).sockets_shown[0] for name in pages.by_client]
    return [(each.unread, each.transport) for each in sockets]


def test_a_server_without_streams_is_told_so(monkeypatch):
    monkeypatch.setattr(stream, "server_hints", lambda environ: ServerHints())
    with ChannelServer() as server:
        code, out, err = run(*SHORT, "--transport", "websocket", "--url", server.url)
    assert (code, out) == (1, "")
    assert "426 Upgrade Required" in err
    assert "--transport poll" in err


def test_a_running_emulator_is_measured_and_left_as_it_was(tmp_path):
    with ChannelServer() as server:
        kept = server.client("mine").open()
        code, out, err = run(*SHORT, "--url", server.url, cwd=tmp_path)
        assert (code, err) == (0, "")
        server.send_message("mine", "still here")
        assert kept.receive(LONG_ENOUGH) == "still here"
        assert server.send_message("mine", "x").delivered_to == 1
        assert [len(each) for each in server._running.broker._sockets.channels] == [len("mine")]
    rows = dict(line.rsplit("  ", 1) for line in out.splitlines()[1:])
    rows = {name.strip(): figure.strip() for name, figure in rows.items()}
    assert rows["delivery with 20 pages, p50 / p99"].endswith(" ms")
    assert rows["CPU of idle pages"] == rows["memory of an idle page"] == "not measured"


def test_the_users_project_and_variables_do_not_configure_it(tmp_path):
    (tmp_path / "app.yaml").write_text("runtime: python27\napi_version: 1\nthreadsafe: true\nhandlers: []\n")
    (tmp_path / "channel-emu.yaml").write_text("port: 1\n")
    environ = {"CHANNEL_EMU_PORT": "1", "CHANNEL_EMU_FAULT": "poll drop"}
    code, _, err = run(*SHORT, cwd=tmp_path, environ=environ)
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pages", "0"], "--pages: '0' is not a whole number from 1 to"),
        (["--sends", "many"], "--sends: 'many'"),
        (["--transport", "iframe"], "--transport: 'iframe' is not one of poll, websocket, both"),
        (["--url", "localhost"], "--url: 'localhost' is no http:// address"),
    ],
)
def test_mistakes_in_the_command(arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_nobody_there():
    code, out, err = run("--url", "http://127.0.0.1:9")
    assert (code, out) == (1, "")
    assert "channel-emu bench: no emulator answers at 127.0.0.1:9 (Connection refused)" in err
    assert "Traceback" not in err


def test_somebody_else_there():
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(405)

        def log_message(self, *unused):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, out, err = run("--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert (code, out) == (1, "")
    assert f"what answers at 127.0.0.1:{server.server_port} is no emulator: 405\n" in err
    assert "Traceback" not in err


def test_a_chart_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path):
    code, out, err = run(*SHORT, "--chart", str(tmp_path / "nowhere" / "chart.svg"))
    assert (code, out) == (1, "")
    assert "cannot be written: No such file or directory" in err
    assert len(err.splitlines()) == 1, "nothing was begun"


def test_a_terminal_sees_the_progress():
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(*SHORT), stdout=subprocess.PIPE, stderr=theirs, env=os.environ) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:  # How Linux says that the other end is closed.
            pass
        os.close(ours)
    assert process.returncode == 0
    assert b"%  delivery, few pages" in seen
    assert b"%  throughput" in seen
    assert seen.endswith(b"\r\x1b[K")


def test_progress_grows_with_its_parts():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    progress = Progress({"one": 1, "three": 3}, stream)
    progress.part("one")
    progress.part("three")
    assert [line.rsplit("] ")[1] for line in stream.getvalue().split("\r\x1b[K")[1:]] == ["  0%  one", " 25%  three"]


def test_its_emulator_ends_with_it(tmp_path):
    environ = os.environ | {"TMPDIR": str(tmp_path), MARK: str(tmp_path)}
    process = subprocess.Popen(command("--seconds", "600"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)
    eventually(lambda: marked(str(tmp_path)), lambda lines: any(" serve " in line for line in lines.values()))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LONG_ENOUGH)
    assert process.returncode == 128 + signal.SIGTERM
    assert not left_after(str(tmp_path), 0)
    assert not list(tmp_path.iterdir())


def test_a_message_that_never_comes_is_noticed(monkeypatch):
    monkeypatch.setattr(measure, "ANSWER_SECONDS", 0.1)
    with ChannelServer() as server:
        pages = Pages(server.url)
        pages.open(1)
        server.faults.add("send drop")
        with pytest.raises(measure.Lost, match="did not come"):
            measure.deliver(pages, 1)
