"""Attacks on a running emulator: its memory stays bounded, and a page beside them gets its messages promptly."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import time
from pathlib import Path

import pytest

from tests.support.attack import MIB, Bystander, memory, trickle
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH, until
from tests.support.wire import ask, connect, rest

pytestmark = pytest.mark.slow

GIB = 1024 * MIB
TOKENS = 100_000 if os.environ.get("SOAK") else 20_000
HEAD = b"Host: localhost\r\n"


@pytest.fixture
def attacked(tmp_path):
    """Start an emulator with these settings; the emulator and the bystander. At the end the log is looked at."""
    started = []

    def start(*settings):
        emulator = RunningEmulator(*settings, log=tmp_path / "log")
        emulator.start()
        started.append((emulator, None))
        bystander = Bystander(emulator)
        started[-1] = (emulator, bystander)
        bystander.still_receives()
        return emulator, bystander

    yield start
    for emulator, bystander in started:
        if bystander is not None:
            bystander.still_receives()
            bystander.close()
        assert emulator.stop() == 0
        assert "Traceback" not in emulator.log.read_text()


class TestSlowWriters:
    def test_headers_that_trickle_in(self, attacked):
        emulator, bystander = attacked("--header-timeout", "2")
        loris = [connect(emulator.port) for _ in range(300)]
        for each in loris:
            each.sendall(b"GET /_ah/channel/jsapi HTTP/1.1\r\n" + HEAD + b"X-Slow: ")
        said = trickle(loris, b"x", 0.3, bystander)
        assert all(answer.startswith(b"HTTP/1.0 408 ") for answer in said.values())
        assert all(b"--header-timeout" in answer for answer in said.values())
        for each in loris:
            each.close()

    def test_a_body_that_trickles_in(self, attacked):
        emulator, bystander = attacked("--body-timeout", "2")
        slow = [connect(emulator.port) for _ in range(100)]
        for number, each in enumerate(slow):
            path = (b"/", b"/_emu/messages", b"/rpc_http")[number % 3]
            each.sendall(b"POST %b HTTP/1.1\r\n%bContent-Length: 1000\r\n\r\n" % (path, HEAD))
        said = trickle(slow, b"x", 0.3, bystander)
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in said.values())
        assert all(b"--body-timeout" in answer for answer in said.values())
        for each in slow:
            each.close()

    def test_a_connection_that_idles_between_two_requests_is_no_slow_one(self, attacked):
        emulator, bystander = attacked("--header-timeout", "0.5", "--body-timeout", "0.5", "--answer-timeout", "0.5")
        with connect(emulator.port) as quiet:
            for _ in range(2):
                assert not select.select([quiet], [], [], 2.5)[0], "it was closed"
                quiet.sendall(b"GET /_emu/health HTTP/1.1\r\n" + HEAD + b"\r\n")
                assert quiet.recv(65536).startswith(b"HTTP/1.1 200 ")
        bystander.still_receives()


class TestSlowReaders:
    def test_clients_that_never_read(self, attacked):
        emulator, bystander = attacked("--answer-timeout", "2", "--max-buffered", "32MiB")
        before = peak = memory(emulator)
        script = b"GET /_ah/channel/jsapi HTTP/1.1\r\n" + HEAD + b"\r\n"
        readers = [connect(emulator.port, receive_buffer=4096) for _ in range(50)]
        unsent = {each: memoryview(script * 2000) for each in readers}
        for each in readers:
            each.setblocking(False)
        give_up = time.monotonic() + LONG_ENOUGH
        while len(emulator.events("client_too_slow")) < len(readers):
            assert time.monotonic() < give_up, "not all were cut off"
            _push(unsent, 0.1)
            bystander.still_receives()
            peak = max(peak, memory(emulator))
        assert peak - before < 250
        for each in readers:
            each.settimeout(LONG_ENOUGH)
            assert rest(each).count(b"HTTP/1.1 200 OK") < 2000
        for each in readers:
            each.close()

    def test_one_that_reads_late_gets_all(self, attacked):
        emulator, bystander = attacked("--answer-timeout", "20")
        with connect(emulator.port, receive_buffer=4096) as late:
            late.sendall((b"GET /_ah/channel/jsapi HTTP/1.1\r\n" + HEAD + b"\r\n") * 99)
            late.sendall(b"GET /_emu/health HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
            bystander.still_receives()
            received = rest(late)
        assert received.count(b"HTTP/1.1 200 OK") == 100


class TestHeaderFlood:
    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param(b"".join(b"X-%d: x\r\n" % number for number in range(5000)), id="many"),
            pytest.param(b"X: " + b"x" * MIB + b"\r\n", id="huge"),
            pytest.param(b"Cookie: a=b\r\n" * 4000, id="cookies"),
            pytest.param(b"A: b\r\n" + b" c\r\n" * 4000, id="folded"),
        ],
    )
    def test_too_many_or_too_large(self, attacked, headers):
        emulator, bystander = attacked()
        answer = _send_all_it_takes(emulator, b"GET / HTTP/1.1\r\n" + HEAD + headers + b"\r\n")
        assert answer.startswith((b"HTTP/1.0 431 ", b"HTTP/1.1 431 "))
        assert b"X-Content-Type-Options: nosniff" in answer
        bystander.still_receives()

    @pytest.mark.parametrize("line", [b"GET /", b"GET / HTTP/1.1\r\nX: "])
    def test_endless(self, attacked, line):
        emulator, _ = attacked()
        before = memory(emulator)
        assert _stream(emulator, line, b"x" * MIB, GIB) < 64 * MIB
        assert memory(emulator) - before < 50

    @pytest.mark.parametrize("line", [b"1;", b"0\r\nX: "], ids=["chunk line", "trailer"])
    def test_endless_between_chunks(self, attacked, line):
        emulator, _ = attacked()
        before = memory(emulator)
        head = b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        answer: list[bytes] = []
        assert _stream(emulator, head + line, b"x" * MIB, GIB, answer) < 32 * MIB
        assert answer[0][9:12] in (b"431", b"")
        assert memory(emulator) - before < 50

    def test_the_size_is_a_setting(self, attacked):
        emulator, _ = attacked("--max-header-size", "2KiB")
        request = b"GET /_emu/health HTTP/1.1\r\n" + HEAD + b"Connection: close\r\nX: "
        assert ask(emulator.port, request + b"x" * 1000 + b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert ask(emulator.port, request + b"x" * 2000 + b"\r\n\r\n").startswith(b"HTTP/1.0 431 ")


class TestBodies:
    @pytest.mark.parametrize("path", [b"/", b"/_emu/messages", b"/rpc_http", b"/_ah/remote_api"])
    @pytest.mark.parametrize("manner", ["length", "chunks"])
    def test_a_gibibyte(self, attacked, path, manner):
        emulator, bystander = attacked()
        before = memory(emulator)
        head = b"POST %b HTTP/1.1\r\n%bContent-Type: application/octet-stream\r\n" % (path, HEAD)
        if manner == "length":
            head, block = head + b"Content-Length: %d\r\n\r\n" % GIB, b"x" * MIB
        else:
            head, block = head + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (MIB, b"x" * MIB)
        answer: list[bytes] = []
        assert _stream(emulator, head, block, GIB, answer) < 100 * MIB
        assert answer[0].startswith((b"HTTP/1.1 413 ", b"HTTP/1.0 413 ")) or answer == [b""]
        bystander.still_receives()
        assert memory(emulator) - before < 100

    @pytest.mark.parametrize(
        "path",
        [
            b"/rpc_http",
            b"/_emu/messages",
            b"/_ah/remote_api",
        ],
    )
    def test_many_of_the_largest_at_once(self, attacked, path):
        emulator, bystander = attacked("--max-buffered", "64MiB")
        before = memory(emulator)
        head = b"POST %b HTTP/1.1\r\n%bContent-Type: application/octet-stream\r\n" % (path, HEAD)
        body = b"Connection: close\r\nX-appcfg-api-version: 1\r\nContent-Length: %d\r\n\r\n" % (32 * MIB - 1)
        senders = [connect(emulator.port) for _ in range(20)]
        for each in senders:
            each.setblocking(False)
        unsent = {each: memoryview(head + body + b"x" * (32 * MIB - 1)) for each in senders}
        peak = _send_together(unsent, emulator, bystander)
        assert max(peak, memory(emulator)) - before < 250
        for each in senders:
            each.close()

    def test_all_that_is_under_way_together(self, attacked):
        emulator, bystander = attacked("--max-buffered", "32MiB")
        head = b"POST / HTTP/1.1\r\n%bConnection: close\r\nContent-Length: %d\r\n\r\n" % (HEAD, 8 * MIB)
        senders = [connect(emulator.port) for _ in range(10)]
        for each in senders:
            with contextlib.suppress(ConnectionError):
                each.sendall(head + b"x" * (6 * MIB))
        give_up = time.monotonic() + LONG_ENOUGH
        while len(emulator.events("client_too_slow")) < 5:
            assert time.monotonic() < give_up, "nobody was refused"
            bystander.still_receives()
        # The others lose nothing by it.
        answers = []
        for each in senders:
            with contextlib.suppress(ConnectionError):
                each.sendall(b"x" * (2 * MIB))
            answers.append(rest(each))
            each.close()
        assert sum(answer.startswith(b"HTTP/1.1 404 ") for answer in answers) >= 4
        assert any(b"--max-buffered" in answer for answer in answers)


class TestFloods:
    @pytest.mark.soak
    def test_a_hundred_thousand_tokens(self, attacked):
        emulator, bystander = attacked("--max-tokens", str(TOKENS))
        before = memory(emulator)
        body = b'{"client_id": "client %06d", "duration_minutes": 1440}'
        one = b"POST /_emu/channels HTTP/1.1\r\n%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        with connect(emulator.port) as maker, maker.makefile("rb") as answers:
            for start in range(0, TOKENS, 100):
                bodies = [body % number for number in range(start, start + 100)]
                maker.sendall(b"".join(one % (HEAD, len(each), each) for each in bodies))
                statuses = [_status(answers) for _ in bodies]
                if start % 10_000 == 0:
                    bystander.still_receives()
        # The bystander's own is the one that makes them too many.
        assert statuses == [200] * 99 + [429]
        assert memory(emulator) - before < 50 + TOKENS * 2 / 1024
        last = body % TOKENS
        refusal = ask(emulator.port, one % (HEAD + b"Connection: close\r\n", len(last), last))
        assert refusal.startswith(b"HTTP/1.1 429 ")
        assert b"--max-tokens" in refusal
        assert emulator.log.read_text().count("--max-tokens") == 1
        bystander.still_receives()
        bystander.close()
        # Those that time out make room.
        emulator.advance(24 * 60 * 60)
        bystander.open()

    def test_sockets_of_one_client_id(self, attacked):
        emulator, bystander = attacked("--max-sockets", "50")
        token = emulator.create_channel("greedy")
        path = b"GET /_ah/channel/open?channel=%b HTTP/1.1\r\n%bConnection: close\r\n\r\n" % (token.encode(), HEAD)
        answers = [ask(emulator.port, path) for _ in range(60)]
        assert [answer[9:12] for answer in answers] == [b"200"] * 50 + [b"429"] * 10
        assert answers[-1].startswith(b"HTTP/1.1 429 Too+many+sockets.\r\n")
        assert answers[-1].endswith(b"Too+many+sockets.")
        # The old wire is no way round it, and another client id no part of it.
        dev = path.replace(b"open?", b"dev?command=connect&").replace(token.encode(), b"%b")
        another = emulator.create_channel("greedy")
        assert ask(emulator.port, dev % another.encode()).startswith(b"HTTP/1.1 429 ")
        bystander.still_receives()
        # One that closes makes room.
        socket_id = answers[0].partition(b'"socket": "')[2].partition(b'"')[0]
        close = b"POST /_ah/channel/close?socket=%b HTTP/1.1\r\n%bContent-Length: 0\r\nConnection: close\r\n\r\n"
        assert ask(emulator.port, close % (socket_id, HEAD)).startswith(b"HTTP/1.1 200 ")
        assert ask(emulator.port, path).startswith(b"HTTP/1.1 200 ")

    def test_pipelined_requests(self, attacked):
        emulator, bystander = attacked("--answer-timeout", "2")
        before = memory(emulator)
        requests = b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
        floods = [connect(emulator.port, receive_buffer=4096) for _ in range(20)]
        unsent = {each: memoryview(requests * 400) for each in floods}
        for each in floods:
            each.setblocking(False)
        peak = _send_together(unsent, emulator, bystander)
        assert max(peak, memory(emulator)) - before < 150
        for each in floods:
            each.close()


class TestConnections:
    def test_beyond_the_limit(self, attacked):
        emulator, bystander = attacked("--max-connections", "40")
        health = b"GET /_emu/health HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n"
        inside = [connect(emulator.port) for _ in range(38)]
        assert ask(emulator.port, health).startswith(b"HTTP/1.1 200 ")
        assert ask(emulator.port, health.replace(b"health", b"health/live")).startswith(b"HTTP/1.1 200 ")
        refusal = ask(emulator.port, b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert refusal.startswith(b"HTTP/1.1 503 ")
        assert b"too many connections" in refusal
        # Those that only connect take the spare places; what comes then is told so at once.
        waiting = [connect(emulator.port) for _ in range(60)]
        assert rest(waiting[-1]).startswith(b"HTTP/1.1 503 ")
        bystander.still_receives()
        assert emulator.log.read_text().count("further ones get 503") == 1
        for each in inside + waiting:
            each.close()
        _until_logged(emulator, "There is room for connections again")
        assert ask(emulator.port, health).startswith(b"HTTP/1.1 200 ")

    @pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can change another process's limits")
    def test_no_more_files(self, attacked):
        emulator, bystander = attacked()
        normal = resource.prlimit(emulator.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(emulator.pid, resource.RLIMIT_NOFILE, (_open_files(emulator) + 5, normal[1]))
        crowd = [connect(emulator.port) for _ in range(50)]
        assert rest(crowd[-1]).startswith(b"HTTP/1.1 503 ")
        _until_logged(emulator, "No more files can be opened")
        bystander.still_receives()
        # It waits, and does not try again and again.
        used = _cpu_seconds(emulator)
        assert not select.select([crowd[0]], [], [], 2)[0]
        assert _cpu_seconds(emulator) - used < 1
        resource.prlimit(emulator.pid, resource.RLIMIT_NOFILE, normal)
        _until_logged(emulator, "Files can be opened again")
        with connect(emulator.port) as made:
            made.sendall(b"GET /_emu/health HTTP/1.1\r\n" + HEAD + b"\r\n")
            assert made.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert emulator.log.read_text().count("No more files can be opened") == 1
        for each in crowd:
            each.close()


def _send_all_it_takes(emulator, data):
    """The answer to `data`, of which the server need not read all."""
    with connect(emulator.port) as made:
        with contextlib.suppress(ConnectionError):
            made.sendall(data)
        return rest(made)


def _stream(emulator, head, block, total, answer=None):
    """Send `head` and then `block` again and again, until the server answers or has had enough; how much it took."""
    with connect(emulator.port) as made:
        made.sendall(head)
        sent = 0
        made.setblocking(False)
        rest_of_block = memoryview(block)
        give_up = time.monotonic() + LONG_ENOUGH
        while sent < total:
            assert time.monotonic() < give_up, f"it still takes more, after {sent} bytes"
            readable, writable, _ = select.select([made], [made], [], LONG_ENOUGH)
            if readable:
                break
            if writable:
                try:
                    count = made.send(rest_of_block)
                except ConnectionError:
                    break
                sent += count
                rest_of_block = rest_of_block[count:] or memoryview(block)
        made.setblocking(True)
        made.settimeout(LONG_ENOUGH)
        said = rest(made)
        if answer is not None:
            answer.append(said)
        return sent


def _send_together(unsent, emulator, bystander):
    """Send on all connections, until each has had its answer, its end, or takes no more; the most memory seen."""
    peak = 0.0
    give_up = time.monotonic() + LONG_ENOUGH
    idle = 0
    while unsent and idle < 20:
        assert time.monotonic() < give_up, f"{len(unsent)} are still sending"
        bystander.still_receives()
        peak = max(peak, memory(emulator))
        idle = 0 if _push(unsent, 0.2) else idle + 1
    return peak


def _push(unsent, seconds):
    """Send as much as is taken within `seconds`, on every connection; whether anything was."""
    _, writable, _ = select.select([], list(unsent), [], seconds)
    for each in writable:
        try:
            count = each.send(unsent[each][:MIB])
        except ConnectionError:
            count = len(unsent[each])
        unsent[each] = unsent[each][count:]
        if not unsent[each]:
            del unsent[each]
    return bool(writable)


def _status(answers):
    status = int(answers.readline().split()[1])
    length = 0
    while (line := answers.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    answers.read(length)
    return status


def _until_logged(emulator, text):
    until(lambda: text in emulator.log.read_text())


def _open_files(emulator):
    return max(map(int, os.listdir(f"/proc/{emulator.pid}/fd"))) + 1


def _cpu_seconds(emulator):
    fields = Path(f"/proc/{emulator.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
