"""The command lines of servers that run a Python application: which one, and from where.

What each option means is the server's own affair, but for those that say where the application is. An option that is
not listed has a value; none is listed in full, so that a word which can only be the application is found all the same.
"""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from .shell import BadCommand, commands

if TYPE_CHECKING:
    from .entrypoint import Context, Entrypoint

    Reader = Callable[[Sequence[str], Context, Mapping[str, str]], Entrypoint]


@dataclass
class _Options:
    """What a command line has: values by option, the last of each; all of some; and the words that are no options."""

    values: dict[str, str] = field(default_factory=dict)
    every: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def get(self, *names: str) -> str | None:
        return next((self.values[name] for name in names if name in self.values), None)

    def all(self, *names: str) -> list[str]:
        return [value for name, value in self.every if name in names]

    def application(self, otherwise: object = None) -> str | None:
        """The word that names it, or else `otherwise`, if it is a text.

        Without either, what looks like a name: an option that we do not know to have no value may have eaten it.
        """
        if self.words or isinstance(otherwise, str):
            return self.words[0] if self.words else str(otherwise)
        return next(
            (value for _, value in reversed(self.every) if re.fullmatch(r"[^\W\d][\w.-]*:[^\W\d].*", value)), None
        )


def _options(words: Sequence[str], flags: Sequence[str]) -> _Options:
    """`flags` are the options without a value; those that begin with `--no-` are too."""
    found = _Options()
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            found.words += left
            break
        if not word.startswith("-") or word == "-":
            found.words.append(word)
            continue
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            name, value = word[:2], word[2:].removeprefix("=")
            equals = value
        if name in flags or name.startswith("--no-"):
            # Several in one word, as in -DR.
            left[:0] = [f"-{value}"] if value and not word.startswith("--") else []
            value = ""
        elif not equals and left and not re.match(r"-[^\d]", left[0]):
            value = left.pop(0)
        found.values[name] = value
        found.every.append((name, value))
    return found


def _assignments(given: Sequence[str]) -> dict[str, str]:
    return {name: value for name, equals, value in (each.partition("=") for each in given) if equals}


_GUNICORN_FLAGS = (
    "-D", "-R", "-h", "-v", "--capture-output", "--casefold-http-method", "--check-config", "--daemon",
    "--disable-redirect-access-to-syslog", "--do-handshake-on-connect", "--enable-backlog-metric",
    "--enable-stdio-inheritance", "--help", "--initgroups", "--log-syslog", "--permit-obsolete-folding",
    "--permit-unconventional-http-method", "--permit-unconventional-http-version", "--preload", "--print-config",
    "--reload", "--reuse-port", "--spew", "--strip-header-spaces", "--suppress-ragged-eofs", "--version",
)  # fmt: skip


def _gunicorn(words: Sequence[str], context: Context, variables: Mapping[str, str]) -> Entrypoint:
    more = next(commands(variables.get("GUNICORN_CMD_ARGS", ""), {}), [])
    options = _options([*more, *words], _GUNICORN_FLAGS)
    if options.get("--paste", "--paster"):
        raise BadCommand("takes the app from a PasteDeploy file; name its WSGI callable instead, such as main:app")
    config = _gunicorn_config(options.get("-c", "--config"), context)
    options.every = [(name, value) for name, value in options.every if name not in ("-c", "--config")]
    folder = options.get("--chdir") or config.get("chdir")
    if isinstance(folder, str):
        context = context.moved(folder)
    paths = options.get("--pythonpath") or config.get("pythonpath")
    if isinstance(paths, str):
        context = context.searched(*filter(None, paths.split(",")))
    raw = config.get("raw_env")
    from_config = [raw] if isinstance(raw, str) else raw if isinstance(raw, list) else []
    context = context.given(_assignments([*map(str, from_config), *options.all("-e", "--env")]))
    target = options.application(config.get("wsgi_app"))
    if target is None:
        raise BadCommand("gives gunicorn no application, such as main:app")
    return context.entrypoint(target if ":" in target else f"{_module(target)}:application")


def _gunicorn_config(given: str | None, context: Context) -> dict[str, object]:
    """What its file of settings, a Python source, sets to plain values."""
    path = (given or "gunicorn.conf.py").removeprefix("file:")
    if path.startswith("python:"):
        path = f"{path.removeprefix('python:').replace('.', '/')}.py"
    try:
        tree = ast.parse(context.text(path) or "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    values: dict[str, object] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                values[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return values


def _module(text: str) -> str:
    """A module that may have been given as a file: main.py, web/wsgi.py."""
    return text.removesuffix(".py").removeprefix("./").replace("/", ".") if text.endswith(".py") else text


_UVICORN_FLAGS = ("--reload", "--access-log", "--use-colors", "--proxy-headers", "--server-header", "--date-header",
                  "--factory", "--version", "--help", "--reset-contextvars", "--http2")  # fmt: skip
_HYPERCORN_FLAGS = ("-D", "--daemon", "--debug", "--reload", "-h", "--help", "--version")
_DAPHNE_FLAGS = ("--proxy-headers", "-h", "--help", "--version")
_GRANIAN_FLAGS = ("--ws", "--factory", "--reload", "--access-log", "--log", "--http1-keep-alive", "--version", "--help")


def _asgi_server(
    words: Sequence[str],
    context: Context,
    variables: Mapping[str, str],
    *,
    flags: Sequence[str],
    default: str = "app",
    prefix: str = "",
) -> Entrypoint:
    """`prefix` describes what may come before the application's name and is none of it."""
    options = _options(words, flags)
    options.words = [re.sub(f"^{prefix}", "", word) for word in options.words]
    if folder := options.get("--app-dir"):
        context = context.searched(folder)
    if folder := options.get("--working-dir"):
        context = context.moved(folder)
    target = options.application()
    if target is None:
        raise BadCommand("gives its server no application, such as main:app")
    module, colon, name = target.partition(":")
    if not colon:
        name = default
    factory = "()" if options.get("--factory") is not None and not name.endswith(")") else ""
    if "/" in module or module.endswith(".py"):
        return context.of_file(module, name + factory)
    return context.entrypoint(f"{module}:{name}{factory}")


_WAITRESS_FLAGS = ("--help", "--call", "--ipv4", "--ipv6", "--log-untrusted-proxy-headers", "--log-socket-errors",
                   "--clear-untrusted-proxy-headers", "--expose-tracebacks", "--asyncore-use-poll")  # fmt: skip


def _waitress(words: Sequence[str], context: Context, variables: Mapping[str, str]) -> Entrypoint:
    options = _options(words, _WAITRESS_FLAGS)
    target = options.get("--app") or options.application()
    if not target:
        raise BadCommand("gives waitress-serve no application, such as main:app")
    if ":" not in target:
        module, _, name = target.rpartition(".")
        target = f"{module}:{name}" if module else target
    return context.entrypoint(f"{target}()" if options.get("--call") is not None else target)


def _flask(words: Sequence[str], context: Context, variables: Mapping[str, str]) -> Entrypoint:
    flags = ("--debug", "--reload", "--debugger", "--with-threads", "--without-threads", "--version", "--help")
    options = _options(words, flags)
    target = options.get("--app", "-A") or variables.get("FLASK_APP")
    if not target:
        target = next((name for name in ("wsgi.py", "app.py") if context.file(name)), None)
    if not target:
        raise BadCommand("runs flask, and there is neither FLASK_APP nor a file wsgi.py or app.py")
    module, _, name = target.partition(":")
    # A factory is called without being asked to.
    name += "()" if name in ("create_app", "make_app") else ""
    if module.endswith(".py") or "/" in module:
        return context.of_file(module, name)
    return context.entrypoint(f"{module}:{name}" if name else module)


_UWSGI_FLAGS = ("--master", "-M", "--enable-threads", "-T", "--die-on-term", "--vacuum", "--lazy-apps", "--lazy",
                "--single-interpreter", "-i", "--need-app", "--manage-script-name", "--disable-logging", "-L",
                "--thunder-lock", "--strict", "--memory-report", "-m", "--py-call-osafterfork", "--http-keepalive",
                "--auto-procname", "--honour-stdin", "--ignore-sigpipe", "--ignore-write-errors")  # fmt: skip


def _uwsgi(words: Sequence[str], context: Context, variables: Mapping[str, str]) -> Entrypoint:
    options = _options(words, _UWSGI_FLAGS)
    files = [*options.all("--ini"), *(word for word in options.words if word.endswith(".ini"))]
    for path in files:
        for name, value in _uwsgi_ini(context.text(path.partition(":")[0]) or "").items():
            options.values.setdefault(name, value)
            options.every.append((name, value))
    folder = options.get("--chdir", "--chdir2")
    if folder:
        context = context.moved(folder)
    context = context.searched(*options.all("--pythonpath", "--python-path", "--pp"))
    context = context.given(_assignments(options.all("--env")))
    name = options.get("--callable") or "application"
    mounted = (options.get("--mount") or "").partition("=")[2]
    file = options.get("--wsgi-file", "--file") or next(
        (w for w in options.words if w.endswith((".py", ".wsgi"))), None
    )
    module = options.get("--module", "-w", "--wsgi") or mounted
    if module.endswith(".py"):
        file, module = module, ""
    if file and not module:
        return context.of_file(file, name)
    if not module:
        raise BadCommand("gives uwsgi no application: --module main:app, or --wsgi-file main.py --callable app")
    return context.entrypoint(module if ":" in module else f"{module}:{name}")


def _uwsgi_ini(text: str) -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True, delimiters=("=",))
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    items = parser.items("uwsgi") if parser.has_section("uwsgi") else []
    return {f"--{name.strip()}": (value or "").strip() for name, value in items}


SERVERS: Mapping[str, Reader] = {
    "gunicorn": _gunicorn,
    "gunicorn3": _gunicorn,
    "uvicorn": partial(_asgi_server, flags=_UVICORN_FLAGS),
    "hypercorn": partial(_asgi_server, flags=_HYPERCORN_FLAGS, prefix="(asgi|wsgi):"),
    "daphne": partial(_asgi_server, flags=_DAPHNE_FLAGS, default="application"),
    "granian": partial(_asgi_server, flags=_GRANIAN_FLAGS),
    "waitress-serve": _waitress,
    "flask": _flask,
    "uwsgi": _uwsgi,
    "uwsgi-core": _uwsgi,
}
"""By the name of the command."""

MODULES: Mapping[str, Reader] = {
    **SERVERS,
    "gunicorn.app.wsgiapp": _gunicorn,
    "waitress": _waitress,
    "waitress.runner": _waitress,
}
"""By the name of the module that `python -m` runs."""
