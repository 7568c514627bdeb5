"""How google.appengine.api.channel keeps its connections: run inside an app's own interpreter, Python 2.7 or 3.

`python connection_cases.py`, with PYTHONPATH leading to the library. The servers are small ones of this file's own.
"""

import contextlib
import json
import os
import select
import socket
import sys
import threading
import time
import unittest
import warnings

from google.appengine.api import channel
from google.appengine.api.channel import connection
from google.appengine.runtime import apiproxy_errors

WAIT_SECONDS = 10


class Server(object):
    """Answers each request with its own client id as the token, and notes who came how.

    `act(sock, request)` may be set to do something else; a connection ends when it returns True.
    """

    def __init__(self, port=0):
        self.connections = 0
        self.open = 0
        self.pieces = []
        self.client_ids = []
        self.changed = threading.Condition()
        self.act = answer
        self._listening = True
        self._sockets = []
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(50)
        self.port = self._listener.getsockname()[1]
        self.address = "127.0.0.1:%d" % self.port
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self):
        os.environ["CHANNEL_EMULATOR_HOST"] = self.address
        return self

    def __exit__(self, *exc_info):
        with contextlib.closing(self._listener):
            self._listening = False
            socket.create_connection(("127.0.0.1", self.port)).close()
            self._threads[0].join()
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except EnvironmentError:
                pass  # It has ended by itself.
        for thread in self._threads[1:]:
            thread.join()

    def wait(self, wanted):
        """Until `wanted()` holds."""
        give_up = time.time() + WAIT_SECONDS
        with self.changed:
            while not wanted():
                assert time.time() < give_up, (self.open, self.client_ids)
                self.changed.wait(1)

    def _accept(self):
        while True:
            sock = self._listener.accept()[0]
            if not self._listening:
                sock.close()
                return
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            with self.changed:
                self.connections += 1
                self.open += 1
                self.changed.notify_all()
            thread.start()

    def _serve(self, sock):
        with contextlib.closing(sock):
            try:
                while True:
                    request = self._read(sock)
                    if request is None or self.act(sock, request):
                        break
            except EnvironmentError:
                pass
        with self.changed:
            self.open -= 1
            self.changed.notify_all()

    def _read(self, sock):
        data, pieces = b"", 0
        while True:
            piece = sock.recv(65536)
            if not piece:
                return None
            data, pieces = data + piece, pieces + 1
            head, blank, body = data.partition(b"\r\n\r\n")
            length = [line[16:] for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
            if blank and len(body) == int(length[0]):
                break
        request = json.loads(body.decode("ascii"))
        with self.changed:
            self.pieces.append(pieces)
            self.client_ids.append(request["client_id"])
            self.changed.notify_all()
        return request


def whole_answer(request, *headers):
    body = json.dumps({"token": request["client_id"]})
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", "Content-Length: %d" % len(body)]
    return ("\r\n".join(lines + list(headers)) + "\r\n\r\n" + body).encode("ascii")


def answer(sock, request):
    sock.sendall(whole_answer(request))


class Struck(BaseException):
    """What a deadline raises."""


def strike(step, call):
    """Have `call` interrupted at its line number `step` in the library and in the HTTP client below it."""
    left = [step]

    def trace(frame, event, argument):
        if not frame.f_code.co_filename.endswith(("connection.py", "channel.py", "client.py", "httplib.py")):
            return None
        if event == "line":
            left[0] -= 1
            if not left[0]:
                raise Struck
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)


class Connections(unittest.TestCase):
    def setUp(self):
        forget()

    def ask(self, client_id):
        """Its own answer, nobody else's."""
        self.assertEqual(channel.create_channel(client_id), client_id)

    def refused(self, client_id, *texts):
        try:
            channel.create_channel(client_id)
        except apiproxy_errors.RPCFailedError as error:
            for text in texts:
                self.assertTrue(text in str(error), str(error))
        else:
            self.fail("no error")

    def test_calls_share_a_connection_and_come_in_one_piece(self):
        with Server() as server:
            for number in range(5):
                self.ask("client %d" % number)
            self.assertEqual((server.connections, server.pieces), (1, [1] * 5))

    def test_so_do_threads_that_come_one_after_another(self):
        # As in the SDK's runtime, where each request of the app has a new one.
        with Server() as server:
            for number in range(3):
                thread = threading.Thread(target=self.ask, args=("client %d" % number,))
                thread.start()
                thread.join()
            self.assertEqual(server.connections, 1)

    def test_threads_at_the_same_time_have_their_own(self):
        number, failed = connection.MOST_RESTING + 4, []

        def ask(name):
            try:
                self.ask(name)
            except BaseException as error:
                failed.append(error)

        with Server() as server:

            def answer_all_together(sock, request):
                server.wait(lambda: len(server.client_ids) >= number)
                answer(sock, request)

            server.act = answer_all_together
            threads = [threading.Thread(target=ask, args=("client %d" % each,)) for each in range(number)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual((failed, server.connections), ([], number))
            # Some rest, and the others end at once.
            server.wait(lambda: server.open == connection.MOST_RESTING)

    def test_the_emulator_is_started_anew(self):
        with Server() as server:
            self.ask("before")
        until_something_comes()
        with Server(server.port) as server:
            self.ask("after")
            self.assertEqual(server.client_ids, ["after"])

    def test_the_emulator_closes_what_rests(self):
        with Server() as server:
            server.act = lambda sock, request: answer(sock, request) or True
            for number in range(3):
                self.ask("client %d" % number)
                until_something_comes()
            self.assertEqual((server.connections, len(server.client_ids)), (3, 3))

    def test_the_emulator_says_that_it_closes(self):
        with Server() as server:
            server.act = lambda sock, request: sock.sendall(whole_answer(request, "Connection: close"))
            self.ask("one")
            server.wait(lambda: not server.open)
            self.ask("two")
            self.assertEqual(server.connections, 2)

    def test_what_nobody_asked_for_is_no_answer_to_the_next(self):
        answered = threading.Event()

        def answer_again(sock, request):
            answer(sock, request)
            answered.wait(WAIT_SECONDS)
            answer(sock, request)

        with Server() as server:
            server.act = answer_again
            self.ask("one")
            answered.set()
            until_something_comes()
            self.ask("two")
            self.assertEqual(server.connections, 2)

    def test_what_has_rested_for_long_is_not_used_again(self):
        now = connection._now
        with Server() as server:
            self.ask("one")
            connection._now = lambda: now() + connection.REST_SECONDS + 1
            try:
                self.ask("two")
            finally:
                connection._now = now
            self.assertEqual(server.connections, 2)

    def test_a_request_is_never_sent_twice(self):
        with Server() as server:
            self.ask("one")
            server.act = lambda sock, request: True
            self.refused("two", server.address)
            server.act = answer
            self.ask("three")
            self.assertEqual(server.client_ids, ["one", "two", "three"])

    def test_half_an_answer_is_none(self):
        with Server() as server:
            self.ask("one")
            server.act = lambda sock, request: sock.sendall(whole_answer(request)[:-5]) or True
            self.refused("two", server.address)
            server.act = answer
            self.ask("three")

    def test_an_answer_that_is_late_is_not_the_next_ones(self):
        with Server() as server:

            def answer_the_second_late(sock, request):
                if request["client_id"] == "two":
                    server.wait(lambda: "three" in server.client_ids)
                answer(sock, request)

            server.act = answer_the_second_late
            seconds, connection.ANSWER_SECONDS = connection.ANSWER_SECONDS, 0.2
            try:
                self.refused("two", server.address, "timed out")
            finally:
                connection.ANSWER_SECONDS = seconds
            self.ask("three")

    def test_wherever_a_deadline_strikes_the_next_call_has_its_own_answer(self):
        with Server() as server:
            for start_anew in (False, True):
                step, struck = 0, True
                while struck:
                    step += 1
                    self.ask("before")
                    if start_anew:
                        forget()
                    try:
                        strike(step, lambda: channel.create_channel("struck"))
                        struck = False
                    except Struck:
                        pass
                    self.ask("after %d" % step)
                self.assertTrue(step > 50, step)
            server.wait(lambda: server.open == 1)

    def test_a_forked_process_has_its_own(self):
        with Server() as server:
            self.ask("parent")
            with warnings.catch_warnings():
                # Of forking where there are threads: those of the server here.
                warnings.simplefilter("ignore")
                process = os.fork()
            if not process:
                try:
                    self.ask("child")
                    os._exit(0)
                finally:
                    os._exit(1)
            self.assertEqual(os.waitpid(process, 0)[1], 0)
            self.ask("parent again")
            self.assertEqual(server.connections, 2)

    def test_another_address(self):
        with Server() as one, Server() as two:
            for server in (one, two, one):
                os.environ["CHANNEL_EMULATOR_HOST"] = server.address
                self.ask("x")
            self.assertEqual((len(one.client_ids), len(two.client_ids)), (2, 1))

    def test_what_is_no_address(self):
        os.environ["CHANNEL_EMULATOR_HOST"] = "127.0.0.1:http"
        self.refused("x", "127.0.0.1:http", "nonnumeric port")


def forget():
    """Close what rests."""
    del connection._resting[:]


def until_something_comes():
    """Something has come to the connection that rests: its end, or what nobody asked for."""
    (resting,) = connection._resting
    assert select.select([resting._http.sock], [], [], WAIT_SECONDS)[0]


if __name__ == "__main__":
    unittest.main()
