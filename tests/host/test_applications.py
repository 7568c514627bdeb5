"""What a target names: applications, factories, ASGI applications, and what is none of these."""

from __future__ import annotations

import itertools
import sys
import textwrap

import pytest

from appengine_channel_emu.host.runner.handler import AppFailed, CheckedAnswer
from appengine_channel_emu.host.runner.loading import Apps, NotLoaded

NUMBERS = itertools.count()

WSGI = """
    import functools

    def app(environ, start_response):
        return [b"app"]

    class Application:
        def __init__(self, name="", *, debug=False):
            self.name = name

        def __call__(self, environ, start_response):
            return [b"app"]

    class PerRequest:
        def __init__(self, environ, start_response):
            self.parts = [b"app"]

        def __iter__(self):
            return iter(self.parts)

    def create_app(name="none", debug=False):
        return Application(f"{name} {debug}")

    def no_arguments():
        return app

    def needs(name):
        return app

    def fails():
        raise TypeError("in the factory")

    def wrap(function):
        @functools.wraps(function)
        def wrapper(environ, start_response):
            return function(environ, start_response, "more")
        return wrapper

    @wrap
    def wrapped(environ, start_response, more):
        return [b"app"]

    def anything(*arguments):
        return [b"app"]

    bound = functools.partial(wrapped.__wrapped__, more="x")
    site = Application()
    site.inner = app
    makers = {"a": needs}
    number = 1
"""

ASGI = """
    import functools

    async def function(scope, receive, send):
        pass

    class Framework:
        async def __call__(self, scope, receive, send):
            pass

    class Double:
        def __init__(self, scope):
            pass

        async def __call__(self, receive, send):
            pass

    app = Framework()
    partial = functools.partial(function)
    partial_app = functools.partial(app)
    lambda_app = lambda scope, receive, send: app(scope, receive, send)

    async def half(environ, start_response):
        return []

    async def stream(environ, start_response):
        yield b""

    def create_app():
        return app

    async def create_later():
        return app

    def create_coroutine():
        return create_later()

    def returns_coroutine(*arguments):
        return function(*arguments, None)

    def returns_stream(*arguments):
        return stream(None, None)
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """What the target `name` of a module with this source is."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def load(source, name):
        module = f"target_{next(NUMBERS)}"
        made.append(module)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        return Apps().get(f"{module}:{name}" if name else module)

    yield load
    for module in made:
        sys.modules.pop(module, None)


def refusal(load, source, name):
    with pytest.raises(NotLoaded) as raised:
        load(source, name)
    assert raised.value.reason == "attribute"
    return str(raised.value)


@pytest.mark.parametrize(
    "name",
    ["app", "create_app()", "create_app('x', debug=True)", "needs('x')", "Application('x')", "wrapped", "anything",
     "bound", "PerRequest", "site", "site.inner"],
)  # fmt: skip
def test_wsgi_applications(load, name):
    assert list(load(WSGI, name)({}, None)) == [b"app"]


def test_a_factory_gets_its_arguments_and_is_called_once(load):
    assert load(WSGI, "create_app('x', debug=True)").name == "x True"
    source = "made = []\ndef create():\n    made.append(1)\n    return lambda environ, start_response: made\n"
    assert load(source, "create()")({}, None) == [1]


@pytest.mark.parametrize(
    "name",
    ["function", "app", "app.__call__", "partial", "partial_app", "lambda_app", "half", "stream", "create_app()",
     "create_later()", "create_coroutine()", "Double", ""],
)  # fmt: skip
def test_an_asgi_application_is_told_what_to_do(load, name):
    said = refusal(load, ASGI, name)
    assert "ASGI" in said or name == "create_later()"
    assert "served WSGI" in said
    assert "channel-emu serve --upstream" in said


@pytest.mark.parametrize("name", ["returns_coroutine", "returns_stream"])
@pytest.mark.filterwarnings("error")
def test_one_that_shows_only_when_it_is_called_is_told_then(load, name):
    with pytest.raises(AppFailed, match=r"The app is an ASGI application\. .*--upstream") as failed:
        CheckedAnswer(100).collect(load(ASGI, name)({}, None))
    assert failed.value.kind == "protocol"


def test_a_factory_that_shows_only_when_it_is_called_is_told_then(load):
    made = load("def create(*arguments): return lambda environ, start_response: []", "create")({}, None)
    with pytest.raises(AppFailed, match="it may be a factory; name a call of it"):
        CheckedAnswer(100).collect(made)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("number", "'number' of the module 'target_"),
        ("number", "is not a WSGI application."),
        ("create_app", "'create_app' of the module"),
        ("create_app", "is a factory that makes the application, name a call of it, with parentheses"),
        ("Application", "name a call of it, with parentheses"),
        ("no_arguments", "name a call of it, with parentheses"),
        ("needs", "called with two arguments, environ and start_response"),
        ("needs()", "missing 1 required positional argument: 'name'"),
        ("create_app(colour=1)", "unexpected keyword argument 'colour'"),
        ("nothing", "has no 'nothing'. Did you mean target_"),
        ("makers()", "'makers' of the module"),
        ("create_app(x)", "whose arguments are plain values"),
        ("create_app(**{})", "whose arguments are plain values"),
        ("[app]", "is neither a callable's name nor a call of a factory"),
        ("app; x", "is neither a callable's name nor a call of a factory"),
    ],
)
def test_what_is_no_application(load, name, said):
    assert said in refusal(load, WSGI, name)


def test_an_error_inside_a_factory_is_the_apps(load):
    with pytest.raises(NotLoaded, match="TypeError: in the factory"):
        load(WSGI, "fails()")


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("app = lambda environ, start_response: b'app'\napplication = None", b"app"),
        ("import json as app\ndef application(environ, start_response): return b'application'", b"application"),
        ("def app(): pass\napplication = lambda environ, start_response: b'application'", b"application"),
        ("def create_app(): return lambda environ, start_response: b'made'", b"made"),
        (
            "class Flask:\n    def wsgi_app(self, environ, start_response): return b'flask'\n"
            "    def __call__(self, *both): return self.wsgi_app(*both)\nsite = same = Flask()\n",
            b"flask",
        ),
    ],
)
def test_a_module_alone(load, source, body):
    """As `flask run` and `python main.py` name it."""
    assert load(source, "")({}, None) == body


def test_a_module_alone_that_has_none(load):
    assert "has neither 'app' nor 'application': name its WSGI application" in refusal(load, "x = 1", "")
