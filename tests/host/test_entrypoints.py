"""Each form of an entrypoint serves its page, from an instance of its own."""

from __future__ import annotations

import pytest

from appengine_channel_emu.host.app_backend import AppBackend
from appengine_channel_emu.host.app_checks import for_python3, read_config
from appengine_channel_emu.host.app_kinds import python3_backend
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.host.login import SignIn
from tests.host.conftest import visit

PAGE = """
import os, sys

class Application:
    def __init__(self, name):
        self.name = name

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{self.name} {os.path.basename(os.getcwd())} {os.environ.get('FOO')} {environ.get('FOO')}".encode()]
"""
FILES = {
    "page.py": PAGE,
    "main.py": "from page import Application\n"
    "app = Application('app')\napplication = Application('application')\n"
    "def create_app(name='made'): return Application(name)\n"
    "if __name__ == '__main__': raise SystemExit('its own server')\n",
    "mysite/__init__.py": "",
    "mysite/wsgi.py": "from page import Application\napplication = Application('mysite')\n",
    "src/inner.py": "from page import Application\napp = Application('inner')\n",
    "asgi.py": "class App:\n    async def __call__(self, scope, receive, send): pass\ndef create(): return App()\n",
}


@pytest.fixture
def serve(tmp_path):
    """A started backend for an app with this entrypoint."""
    for name, text in FILES.items():
        path = tmp_path / "here" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    backends = []

    def serve(entrypoint):
        path = tmp_path / "here" / "app.yaml"
        path.write_text(f"runtime: python312\nentrypoint: >-\n  {entrypoint}\n")
        backend = AppBackend(
            for_python3(read_config(path)), "127.0.0.1:9", lambda spec: python3_backend(spec, None), SignIn(b"x" * 32)
        )
        backends.append(backend)
        backend.start()
        return backend

    yield serve
    for backend in backends:
        backend.stop()


@pytest.mark.parametrize(
    ("entrypoint", "page"),
    [
        ("gunicorn -b :$PORT mysite.wsgi", "mysite here None None"),
        ("gunicorn main", "application here None None"),
        ('FOO=bar exec gunicorn -b ":$PORT" "main:app"', "app here bar bar"),
        ('bash -c "exec gunicorn -b :$PORT main:app"', "app here None None"),
        ("gunicorn main:create_app()", "made here None None"),
        ("gunicorn \"main:create_app('x')\"", "x here None None"),
        ("uwsgi --wsgi-file main.py --callable app --http :$PORT", "app here None None"),
        ("waitress-serve --call main:create_app", "made here None None"),
        ("gunicorn --chdir src inner:app", "inner src None None"),
        ("python main.py", "app here None None"),
    ],
)
def test_it_serves_its_page(serve, entrypoint, page):
    assert visit(serve(entrypoint)).text == page


@pytest.mark.parametrize(
    "entrypoint",
    ["gunicorn -k uvicorn.workers.UvicornWorker asgi:create()", "uvicorn --factory asgi:create --port $PORT"],
)
def test_an_asgi_application_does_not_start(serve, entrypoint):
    with pytest.raises(CannotStart, match="what create makes of the module 'asgi' is an ASGI application"):
        serve(entrypoint)
