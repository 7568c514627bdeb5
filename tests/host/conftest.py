"""An app in an instance, asked as the front would ask it."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass

import pytest

from appengine_channel_emu.host.app_kinds import python3_backend
from appengine_channel_emu.host.origins.instance import AppSpec
from tests.support.processes import MARK
from tests.support.waiting import eventually

HELLO = """
    import os

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello from %d" % os.getpid()]
"""


@dataclass
class Visit:
    """What a visitor got."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    cpu_seconds: float | None
    cut: bool

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def visit(backend, target="/", method="GET", body=b"", content_type="", script=None, **fields):
    """One request, as the front passes it on; `fields` are further entries of the environ."""
    return ask(
        lambda environ: backend.serve(environ, None, *filter(None, [script])),
        target,
        method,
        body,
        content_type,
        **fields,
    )


def ask(answer_to, target="/", method="GET", body=b"", content_type="", **fields):
    """What a visitor gets where `answer_to` gives the answer to an environ."""
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8080",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        **fields,
    }
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    if content_type:
        environ["CONTENT_TYPE"] = content_type
    answer = answer_to(environ)
    status, _, reason = answer.status.partition(" ")
    return Visit(int(status), reason, answer.headers, answer.read(), answer.cpu_seconds, answer.cut)


@pytest.fixture
def write_app(tmp_path):
    """Write the app's source; `app` is its callable."""

    def write(source, name="main.py"):
        path = tmp_path / "app" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    return write


@pytest.fixture
def make_backend(tmp_path, write_app, mark):
    """A started backend for an app with this source."""
    backends = []

    def make(source, deadline=None, start=True, target="main:app", **fields):
        write_app(source)
        fields["environ"] = {MARK: mark, **fields.get("environ", {})}
        spec = AppSpec(target, tmp_path / "app", "127.0.0.1:9", **fields)
        backend = python3_backend(spec, deadline)
        backends.append(backend)
        if start:
            backend.start()
        return backend

    yield make
    for backend in backends:
        backend.stop()


def logged(capfd, line):
    """What the processes have written to standard error, once the line is in it: it comes in pieces."""
    pieces = []

    def all_of_it():
        pieces.append(capfd.readouterr().err)
        return "".join(pieces)

    return eventually(all_of_it, lambda text: line in text)
