"""What an entrypoint starts: the WSGI application that its command line names, however it is wrapped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .context import BadEntrypoint, Context, Entrypoint
from .shell import NotShell, commands
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


def read_entrypoint(command: str, folder: Path, environ: Mapping[str, str]) -> Entrypoint:
    """What `command` starts in the app's `folder`, where variables have the values in `environ`.

    Raises `BadEntrypoint`, whose text completes "entrypoint …".
    """
    given = {name: value for name, value in environ.items() if value or name not in APP_ENGINE}
    shell = _Shell(Context(folder), {**APP_ENGINE, **given}, environ.keys())
    try:
        found = shell.run(command)
    except NotShell as error:
        raise BadEntrypoint(str(error)) from None
    if found is None:
        raise BadEntrypoint(NO_APP)
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
            raise BadEntrypoint(f"has more than {DEEPEST} shells and scripts, one in the other")
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
        raise BadEntrypoint(f"runs {script}, which names no DJANGO_SETTINGS_MODULE")
    folder = script.rpartition("/")[0]
    context = context.given({"DJANGO_SETTINGS_MODULE": settings}).searched(*filter(None, [folder]))
    return context.entrypoint("django.core.wsgi:get_wsgi_application()")
