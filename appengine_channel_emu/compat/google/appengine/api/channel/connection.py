"""Requests to the emulator, on connections that are kept (Python 2.7 and 3, the standard library alone).

Opening a connection took longer than all the rest of a call. They are shared by all threads: the SDK's runtime has a
new one for each request of the app.
"""

import errno
import os
import socket
import time

try:
    from http.client import HTTPConnection, HTTPException, HTTPResponse
except ImportError:  # Python 2
    from httplib import HTTPConnection, HTTPException, HTTPResponse

ANSWER_SECONDS = 5

REST_SECONDS = 20
"""What has rested for longer is not used again. The emulator closes connections after 120 s, and a request that met
this would be lost: it is never sent again, because a message must not arrive twice."""

MOST_RESTING = 8

HEAD = "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"

_QUIET = (errno.EAGAIN, errno.EWOULDBLOCK)
_now = getattr(time, "monotonic", time.time)

# The last to rest is the first to be taken. What a list does is done as a whole, whatever the threads are up to.
_resting = []


def post(address, path, body, content_type):
    """Status, content type (or None) and body of the emulator's answer to `body`; both bodies are bytes.

    Raises RPCFailedError when there is none within ANSWER_SECONDS, or when the connection breaks. The emulator may have
    had the request by then.
    """
    try:
        connection = _take(address) or EmulatorConnection(address)
        answer = connection.post(path, body, content_type)
    except (EnvironmentError, HTTPException) as error:
        # The SDK's runtime has it only once its sandbox is closed.
        from google.appengine.runtime import apiproxy_errors

        raise apiproxy_errors.RPCFailedError(
            "the Channel API emulator does not answer at %s: %s" % (address, str(error) or type(error).__name__)
        )
    # Only here: an exception that a deadline sends into this thread must not leave half an answer for the next call.
    if connection.is_open and len(_resting) < MOST_RESTING:
        connection.resting_since = _now()
        _resting.append(connection)
    return answer


class EmulatorConnection(object):
    """A connection to the emulator at `address`, `host:port`, for one call at a time. Closed when nobody has it."""

    resting_since = None
    _http = None

    def __init__(self, address):
        self.address = address
        self._process = os.getpid()
        self._http = HTTPConnection(address, timeout=ANSWER_SECONDS)

    def __del__(self):
        self.close()

    def close(self):
        """Let go of it; a process that was forked keeps its own end."""
        if self._http is not None:
            self._http.close()

    @property
    def is_open(self):
        """Whether it can be used once more."""
        return self._http.sock is not None

    def post(self, path, body, content_type):
        """See the function; raises the standard library's own errors. After any error it is closed."""
        head = HEAD % (path, self.address, content_type, len(body))
        try:
            if not self.is_open:
                self._http.connect()
            # In one piece: the emulator is woken once.
            self._http.sock.sendall(head.encode("ascii") + body)
            return self._receive()
        except:
            self.close()
            raise

    def _receive(self):
        if str is bytes:
            # Python 2 reads every byte of the head by a call of its own unless it is told otherwise.
            response = HTTPResponse(self._http.sock, method="POST", buffering=True)
        else:
            response = HTTPResponse(self._http.sock, method="POST")
        try:
            response.begin()
            data = response.read()
        finally:
            response.close()
        if response.will_close:
            self.close()
        return response.status, response.getheader("Content-Type"), data

    def is_fit(self, address):
        """Whether it leads to `address`, is this process's own, and nothing has happened to it while it rested."""
        if self.address != address or self._process != os.getpid() or _now() - self.resting_since > REST_SECONDS:
            return False
        self._http.sock.settimeout(0)
        try:
            # Its end, or an answer that nobody asked for.
            self._http.sock.recv(1, socket.MSG_PEEK)
        except EnvironmentError as error:
            self._http.sock.settimeout(ANSWER_SECONDS)
            return error.errno in _QUIET
        return False


def _take(address):
    """A connection that has rested, or None. Those that are of no use any more end here."""
    while True:
        try:
            connection = _resting.pop()
        except IndexError:
            return None
        if connection.is_fit(address):
            return connection
        connection.close()
