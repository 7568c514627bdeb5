"""What an entrypoint starts: the WSGI application that its command line names, however it is wrapped, and where."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from appengine_channel_emu.host.runner.loading import parse_target

from .shell import UNKNOWN, BadCommand, commands
from .wsgi_servers import MODULES, SERVERS

APP_ENGINE = {
    "PORT": "8080",
    "GAE_ENV": "standard",
    "GAE_INSTANCE": "0",
    "GAE_MEMORY_MB": "512",
    "WEB_CONCURRENCY": "1",
}
"""What App Engine sets, and an entrypoint may well use. None of it matters here, but a word must be there."""

NO_APP = (
    "names no WSGI callable, such as main:app in 'gunicorn -b :$PORT main:app'; an app that is a server of its own "
    "is run by itself, with channel-emu serve --upstream in front"
)
DEEPEST = 5
"""Shells within shells, and scripts."""

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)
_PYTHON = re.compile(r"(python|pypy)[\d.]*[a-z]*")
_TARGET = re.compile(r"[^\W\d][\w-]*(\.[^\W\d][\w-]*)*:[^\W\d][\w.]*(\(.*\))?", re.DOTALL)
_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""")

_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh")
_RESERVED = ("if", "then", "else", "elif", "do", "while", "until", "!", "{", "time")
# Commands that run another, each with those of its options that have a value.
_WRAPPERS = {
    "exec": ("-a",), "command": (), "builtin": (), "nohup": (), "setsid": (), "env": ("-u", "-C", "--unset", "--chdir"),
    "nice": ("-n",), "ionice": ("-c", "-n"), "stdbuf": ("-i", "-o", "-e"), "sudo": ("-u", "-g"), "gosu": (),
    "su-exec": (), "tini": ("-p",), "dumb-init": ("-r",), "ddtrace-run": (), "opentelemetry-instrument": (),
    "newrelic-admin": (), "time": (), "timeout": ("-s", "-k"), "chpst": ("-u",),
}  # fmt: skip
# Words of a wrapper's own before the command that it runs.
_WORDS_OF_WRAPPER = {"gosu": 1, "su-exec": 1, "newrelic-admin": 1, "timeout": 1}
_RUNNERS = ("poetry", "pipenv", "pdm", "uv", "rye", "hatch", "conda", "pixi")
# Their words look like an app's at times: npm run start:prod.
_OTHER_LANGUAGES = (
    "node", "npm", "npx", "yarn", "pnpm", "bun", "deno", "java", "php", "ruby", "bundle", "go", "dotnet",
)  # fmt: skip
_PYTHON_VALUES = ("-W", "-X", "--check-hash-based-pycs")

LARGEST_FILE = 64 * 1024
"""Of a script, or a server's file of settings."""

# Where App Engine, and containers by habit, have an app's folder.
_DEPLOYED = ("/workspace", "/srv", "/app")


@dataclass(frozen=True)
class Entrypoint:
    """What a command line starts.

    target:  names the application (see `runner.loading.parse_target`).
    folder:  its current folder.
    paths:   folders that come first on sys.path.
    environ: variables that the command line sets.
    guessed: whether the command may have been another than the app's server, such as a script that prepares things.
    files:   scripts and settings that were read for it.
    """

    target: str
    folder: Path
    paths: tuple[Path, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    guessed: bool = False
    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return self.target

    def checked(self) -> Entrypoint:
        """Itself. Raises `BadCommand` if what it says cannot be."""
        if UNKNOWN in self.target:
            raise BadCommand("has the application's name from a command's output, which is not run here: write it out")
        try:
            parse_target(self.target)
        except ValueError as error:
            raise BadCommand(f"names {self.target!r} as the application: {error}") from None
        if not _is_folder(self.folder):
            raise BadCommand(f"runs the app in a folder that is not here: {str(self.folder)!r}")
        return replace(self, paths=tuple(filter(_is_folder, self.paths)))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # Such as a name that is too long.
        return False


@dataclass(frozen=True)
class Context:
    """Where a command runs: its current folder, what is on sys.path, what has been exported, which files were read."""

    folder: Path
    current: Path | None = None
    paths: tuple[Path, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def entrypoint(self, target: str) -> Entrypoint:
        """The application `target`, run here."""
        environ = {name: value for name, value in self.environ.items() if UNKNOWN not in value}
        current = self.current or self.folder
        # A server finds what is in its current folder; the app's own comes behind, as for all of its scripts.
        paths = self.paths if current == self.folder else (*self.paths, current)
        return Entrypoint(target, current, paths, environ, files=tuple(self.files))

    def of_file(self, path: str, name: str = "") -> Entrypoint:
        """The application in a file: the one called `name`, or what it has."""
        pure = PurePosixPath(path)
        parent = str(pure.parent)
        context = self if parent == "." else self.searched(parent)
        return context.entrypoint(f"{pure.stem}:{name}" if name else pure.stem)

    def moved(self, folder: str) -> Context:
        """In another folder, seen from here."""
        return replace(self, current=self._path(folder))

    def searched(self, *folders: str) -> Context:
        """With folders first on sys.path."""
        return replace(self, paths=(*map(self._path, folders), *self.paths))

    def given(self, environ: Mapping[str, str]) -> Context:
        """With variables."""
        return replace(self, environ={**self.environ, **environ})

    def file(self, path: str) -> Path | None:
        """The file at `path`, seen from here, if it is one."""
        try:
            found = self._path(path)
            return found if found.is_file() else None
        except (OSError, ValueError):
            return None

    def text(self, path: str) -> str | None:
        """What stands in a file; None where there is none that could be a script or settings."""
        found = self.file(path)
        try:
            if found is None or found.stat().st_size > LARGEST_FILE:
                return None
            text = found.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        self.files.append(found)
        return text

    def _path(self, path: str) -> Path:
        for root in _DEPLOYED:
            if PurePosixPath(path).is_relative_to(root) and not os.path.lexists(path):
                return self.folder / PurePosixPath(path).relative_to(root)
        return (self.current or self.folder) / path


def read_entrypoint(command: str, folder: Path, environ: Mapping[str, str]) -> Entrypoint:
    """What `command` starts in the app's `folder`, where variables have the values in `environ`.

    Raises `BadCommand`, whose text completes "entrypoint …".
    """
    given = {name: value for name, value in environ.items() if value or name not in APP_ENGINE}
    shell = _Shell(Context(folder), {**APP_ENGINE, **given}, environ.keys())
    found = shell.run(command)
    if found is None:
        raise BadCommand(NO_APP)
    return found.checked()


class _Shell:
    """Goes through commands until one starts an application.

    `variables` are the shell's own; those whose names are in `exported` reach what it starts.
    """

    def __init__(self, context: Context, variables: dict[str, str], exported: Iterable[str], depth: int = 0) -> None:
        self._context = context
        self._variables = variables
        self._exported = set(exported)
        self._depth = depth

    def run(self, text: str) -> Entrypoint | None:
        """What `text` starts; None if nothing in it does."""
        if self._depth > DEEPEST:
            raise BadCommand(f"has more than {DEEPEST} shells and scripts, one in the other")
        last = None
        for words in commands(text, self._variables):
            found = self._command(words, {})
            if found is not None and not found.guessed:
                return found
            last = found or last
        return last

    def _command(self, words: Sequence[str], given: dict[str, str]) -> Entrypoint | None:
        """What one simple command starts, to whose process `given` are given."""
        words = list(words)
        while words and (words[0] in _RESERVED or _ASSIGNMENT.fullmatch(words[0])):
            given = given | _assigned(words[:1])
            words.pop(0)
        if not words:
            self._assign(given)
            return None
        name, rest = words[0].rpartition("/")[2], words[1:]
        if name in ("export", "declare", "typeset", "readonly"):
            self._exported.update(word.partition("=")[0] for word in rest)
            self._assign({word: self._variables[word] for word in rest if word in self._variables} | _assigned(rest))
            return None
        if name == "cd":
            self._context = self._context.moved(rest[-1] if rest else "")
            return None
        if name in (".", "source"):
            self._depth += 1
            return self.run(self._context.text("".join(rest[:1])) or "")
        if name in _WRAPPERS:
            return self._command(_behind_options(rest, _WRAPPERS[name])[_WORDS_OF_WRAPPER.get(name, 0) :], given)
        if name in _RUNNERS and rest[:1] == ["run"]:
            return self._command(_behind_options(rest[1:], ("-n", "--name", "--with", "--python", "-p")), given)
        return self._program(words[0], name, rest, self._context.given(given))

    def _program(self, path: str, name: str, rest: list[str], context: Context) -> Entrypoint | None:
        variables = self._variables | dict(context.environ)
        if name in _SHELLS:
            return self._inner_shell(rest, context)
        if _PYTHON.fullmatch(name):
            return _python(rest, context, variables)
        if name in SERVERS:
            return SERVERS[name](rest, context, variables)
        text = context.text(path) if "/" in path or name.endswith(".sh") else None
        if text is not None and "python" in text.partition("\n")[0]:
            return _python([path], context, variables)
        if text is not None:
            return self._within(context).run(text)
        return None if name in _OTHER_LANGUAGES else _named_somewhere([path, *rest], context)

    def _inner_shell(self, words: list[str], context: Context) -> Entrypoint | None:
        while words and words[0].startswith(("-", "+")):
            option = words.pop(0)
            if option.endswith("o") and words:
                words.pop(0)
            if not option.startswith("--") and "c" in option:
                inner = self._within(context)
                inner._variables["@"] = inner._variables["*"] = " ".join(words[2:])
                inner._variables |= {str(number): word for number, word in enumerate(words[1:])}
                return inner.run(words[0]) if words else None
        return self._within(context).run(context.text(words[0]) or "") if words else None

    def _within(self, context: Context) -> _Shell:
        variables = self._variables | dict(context.environ)
        return _Shell(context, variables, self._exported | context.environ.keys(), self._depth + 1)

    def _assign(self, variables: Mapping[str, str]) -> None:
        self._variables |= variables
        self._context = self._context.given({name: variables[name] for name in variables if name in self._exported})


def _assigned(words: Sequence[str]) -> dict[str, str]:
    found = [match for word in words if (match := _ASSIGNMENT.fullmatch(word))]
    return {match[1]: match[2] for match in found}


def _behind_options(words: Sequence[str], with_value: Sequence[str]) -> list[str]:
    words = list(words)
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "--":
            break
        if option in with_value and words:
            words.pop(0)
    return words


def _named_somewhere(words: Sequence[str], context: Context) -> Entrypoint | None:
    """Of a command that is not known, the last word that can name nothing but a callable. It may be the command."""
    for word in reversed(words):
        if _TARGET.fullmatch(word):
            return replace(context.entrypoint(word), guessed=True)
    return None


def _python(words: list[str], context: Context, variables: Mapping[str, str]) -> Entrypoint | None:
    while words and words[0].startswith("-"):
        option = words.pop(0)
        attached = option.removeprefix("-m") if option.startswith("-m") else ""
        if attached or (option.endswith("m") and not option.startswith("--")):
            module, *rest = [attached, *words] if attached else words or [""]
            server = MODULES.get(module)
            return server(rest, context, variables) if server else replace(context.entrypoint(module), guessed=True)
        if option == "-c":
            return None
        if option in _PYTHON_VALUES and words:
            words.pop(0)
    if not words:
        return None
    script, rest = words[0], words[1:]
    name = script.rpartition("/")[2]
    if name in SERVERS:
        return SERVERS[name](rest, context, variables)
    if name == "manage.py":
        return _django(script, context, variables) if rest[:1] == ["runserver"] else None
    return replace(context.of_file(script), guessed=True)


def _django(script: str, context: Context, variables: Mapping[str, str]) -> Entrypoint:
    """What `manage.py runserver` serves."""
    found = _SETTINGS.search(context.text(script) or "")
    settings = variables.get("DJANGO_SETTINGS_MODULE") or (found[1] if found else "")
    if not settings:
        raise BadCommand(f"runs {script}, which names no DJANGO_SETTINGS_MODULE")
    folder = script.rpartition("/")[0]
    context = context.given({"DJANGO_SETTINGS_MODULE": settings}).searched(*filter(None, [folder]))
    return context.entrypoint("django.core.wsgi:get_wsgi_application()")
