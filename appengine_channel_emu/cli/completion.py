"""``channel-emu completion SHELL``: what a shell needs to complete this command, made from the parsers themselves."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from appengine_channel_emu.cli.main import CLEAN_STOP, VERBS, load
from appengine_channel_emu.cli.parsing import Parser

INSTALL = {
    "bash": 'eval "$(channel-emu completion bash)"',
    "zsh": 'eval "$(channel-emu completion zsh)"',
    "fish": "channel-emu completion fish | source",
}
"""The line for the shell's own file of settings."""

_FILES = re.compile(r"\b(FILE|FOLDER|PYTHON|APP)\b")
_WORDS = re.compile(r"[a-z0-9]+(\|[a-z0-9]+)+")
_LONGEST_TEXT = 70


def parser() -> Parser:
    """The options of `completion`."""
    made = Parser(
        prog="channel-emu completion",
        description="Print what completes verbs, options and their values in a shell. Put the line for yours into "
        "~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish:",
        examples=[(line, shell) for shell, line in INSTALL.items()],
    )
    made.add_argument("shell", metavar="|".join(INSTALL), choices=tuple(INSTALL), help="the shell")
    return made


def run(argv: Sequence[str]) -> int:
    """Print it."""
    shell = parser().parse(argv).shell
    writers: dict[str, Callable[[], Iterator[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    print("\n".join(writers[shell]()))
    return CLEAN_STOP


@dataclass(frozen=True, slots=True)
class Word:
    """An option, or with no `names` an argument.

    `value` is the name of its value, None for an option without one; `choices` are its values, where they are known,
    and `files` says that the value is a file or a folder.
    """

    names: tuple[str, ...]
    text: str
    value: str | None
    choices: tuple[str, ...]
    files: bool
    repeatable: bool


def words_of(verb: str) -> list[Word]:
    """The options and arguments of a verb, as its parser has them."""
    if verb == "help":
        return [Word((), "verb", "VERB", tuple(VERBS), files=False, repeatable=False)]
    return [_word(action) for action in load(verb)[1]()._actions]


def _word(action: argparse.Action) -> Word:
    value = None if action.nargs == 0 else str(action.metavar or action.dest.upper())
    choices = tuple(action.choices or ())
    if not choices and value and _WORDS.fullmatch(value):
        choices = tuple(value.split("|"))
    text = re.split(r"[;(]|: |, such as|\. ", (action.help or "").replace("%%", "%"))[0].strip()
    text = textwrap.shorten(text, _LONGEST_TEXT, placeholder=" …")
    files = bool(value and _FILES.search(value))
    return Word(tuple(action.option_strings), text, value, choices, files, isinstance(action, argparse._AppendAction))


def _all_verbs() -> dict[str, str]:
    return {verb: text for verb, (_, _, text) in VERBS.items()} | {"help": "say what a verb does, and its options"}


def _bash() -> Iterator[str]:
    """For bash 3.2, which macOS has, and newer."""
    yield "# For ~/.bashrc: " + INSTALL["bash"]
    yield "_channel_emu() {"
    yield '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" words="" each'
    yield "  COMPREPLY=()"
    # Bash makes three words of --tabs=split.
    yield '  [ "$prev" = "=" ] && prev="${COMP_WORDS[COMP_CWORD-2]}"'
    yield '  [ "$cur" = "=" ] && cur=""'
    yield '  if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f'    words="{" ".join([*_all_verbs(), "--help", "--version"])}"'
    yield "  else"
    # Behind it: another command's words.
    yield '    for each in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do [ "$each" = -- ] && return; done'
    yield '    case "${COMP_WORDS[1]} $prev" in'
    for verb in _all_verbs():
        words = words_of(verb)
        valued = [word for word in words if word.names and word.value]
        for word in valued:
            if word.choices:
                yield f'      {_bash_patterns(verb, word)}) words="{" ".join(word.choices)}" ;;'
        others = "|".join(_bash_patterns(verb, word) for word in valued if not word.choices)
        if others:
            yield f"      {others}) return ;;"
        names = " ".join(name for word in words for name in word.names)
        values = " ".join(choice for word in words if not word.names for choice in word.choices)
        wants_files = any(word.files for word in words if not word.names)
        yield f'      "{verb} "*)'
        yield f'        case "$cur" in -*) words="{names}" ;; *) words="{values}" ;; esac'
        if not wants_files and not values:
            yield f'        [ -z "$cur" ] && words="{names}"'
        yield "        ;;"
    yield "    esac"
    yield "  fi"
    yield '  COMPREPLY=($(compgen -W "$words" -- "$cur"))'
    yield "}"
    # Where it says nothing: files.
    yield "complete -o default -F _channel_emu channel-emu"


def _bash_patterns(verb: str, word: Word) -> str:
    return "|".join(f'"{verb} {name}"' for name in word.names)


def _zsh() -> Iterator[str]:
    yield "#compdef channel-emu"
    yield "# For ~/.zshrc: " + INSTALL["zsh"]
    yield "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }"
    yield "_channel_emu() {"
    yield "  if (( CURRENT == 2 )); then"
    yield "    local -a verbs"
    yield "    verbs=(" + " ".join(_quoted(f"{verb}:{text}") for verb, text in _all_verbs().items()) + ")"
    yield "    _describe verb verbs"
    yield "    return"
    yield "  fi"
    yield "  local verb=$words[2]"
    yield "  shift words"
    yield "  (( CURRENT-- ))"
    yield "  case $verb in"
    for verb in _all_verbs():
        yield f"    {verb}) _arguments -s " + " ".join(_zsh_word(word) for word in words_of(verb)) + " ;;"
    yield "  esac"
    yield "}"
    # Read from a folder of $fpath the file is the function itself.
    yield 'if [[ $funcstack[1] == _channel_emu ]]; then _channel_emu "$@"; else compdef _channel_emu channel-emu; fi'


def _zsh_word(word: Word) -> str:
    does = f"({' '.join(word.choices)})" if word.choices else "_files" if word.files else " "
    value = f":{_zsh_text(word.value)}:{does}" if word.value else ""
    if not word.names:
        return _quoted(f":{value}")
    text = f"[{_zsh_text(word.text)}]{value}"
    if word.repeatable:
        return " ".join(_quoted(f"*{name}{text}") for name in word.names)
    excluded = f"({' '.join(word.names)})"
    return " ".join(_quoted(f"{excluded}{name}{text}") for name in word.names)


def _zsh_text(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


def _fish() -> Iterator[str]:
    yield "# For ~/.config/fish/config.fish: " + INSTALL["fish"]
    yield "complete -c channel-emu -f"
    for verb, text in _all_verbs().items():
        yield f"complete -c channel-emu -n __fish_use_subcommand -a {verb} -d {_fish_quoted(text)}"
    for verb in _all_verbs():
        for word in words_of(verb):
            line = f"complete -c channel-emu -n '__fish_seen_subcommand_from {verb}'"
            for name in word.names:
                line += f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}"
            if word.names and word.value:
                line += " -r -F" if word.files else " -x"
            elif word.files:
                line += " -F"
            if word.choices:
                line += f" -a {_fish_quoted(' '.join(word.choices))}"
            if word.names or word.choices or word.files:
                yield line + (f" -d {_fish_quoted(word.text)}" if word.text else "")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
