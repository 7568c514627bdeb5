"""What the console writes for people and for their shells, under Node: no browser is needed for texts."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.support import parts

FORMAT = parts.ROOT / "appengine_channel_emu" / "console" / "format.js"
SHELLS = ["dash", "bash", "zsh", "fish"]
PAYLOADS = {
    "quotes": "it's \"so\", `so` and 'so",
    "a shell's own": "$(touch x) `id` $HOME !x \\ ~ * # ; & | <>",
    "backslashes": "\\ \\\\ \\n \\' \\",
    "white space": "\n\r\t \v\f \N{NO-BREAK SPACE}",
    "keys": "'\x7f; touch x #\x1b[201~\x03\x04\x00\N{NEXT LINE}",
    "turned around": "\N{RIGHT-TO-LEFT OVERRIDE}; touch x\N{LINE SEPARATOR}\N{ZERO WIDTH SPACE}",
    "other alphabets": "שלום, 😀",
    "the largest": "x" * 32_767,
}


def called(function, *arguments):
    """What a function of format.js returns."""
    call = f"{function}(...JSON.parse({json.dumps(json.dumps(arguments))}))"
    script = f"{FORMAT.read_text('utf-8')}\nprocess.stdout.write(JSON.stringify({call}));"
    command = [str(parts.need(parts.node)), "--input-type=module"]
    answer = subprocess.run(command, input=script, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(answer.stdout)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_command_is_safe_to_paste_and_sends_what_was_sent(payload, tmp_path):
    body = {"client_id": payload[:256], "message": payload}
    word = called("shellWord", called("visibleJson", body))
    assert word.isprintable()
    there = [shell for shell in SHELLS if shutil.which(shell)]
    for shell in there:
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        command = [shell, "-c", f"printf %s {word}"]
        said = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, timeout=120, check=True).stdout
        assert (shell, json.loads(said)) == (shell, body)
    assert there
    assert not (tmp_path / "x").exists()


def test_json_is_laid_out():
    text = '{"a":[1,true,null,[ ],{ }],"b":{"c":"d, {e}: [\\"\\\\"}}'
    assert called("pretty", text) == {"json": True, "text": json.dumps(json.loads(text), indent=2)}


def test_json_that_is_laid_out_says_what_was_sent():
    """JavaScript's numbers are less exact, and its objects have an order of their own, and each name once."""
    shown = called("pretty", '{"id":12345678901234567890,"price":1.0,"2":1e2,"1":-0,"id":0,"name":"\\u05e9"}')["text"]
    lines = [line.strip(" ,") for line in shown.splitlines()[1:-1]]
    assert lines == ['"id": 12345678901234567890', '"price": 1.0', '"2": 1e2', '"1": -0', '"id": 0', '"name": "ש"']


@pytest.mark.parametrize("text", ["[1", "{'a': 1}", "[1]]", "hello", '"hello"', "12", "", "[NaN]"])
def test_other_text_stays_as_it_is(text):
    assert called("pretty", text) == {"json": False, "text": text}


def test_the_deepest_json_does_not_fill_the_screen():
    """As much of it as a message may have: two spaces for each level would be half a gigabyte."""
    shown = called("pretty", "[" * 16_383 + "]" * 16_383)
    assert shown["json"]
    assert len(shown["text"]) < 2_000_000


def test_one_line_keeps_the_spaces_of_a_text():
    assert called("oneLine", '{"board": "XO  X  O"}') == '{"board": "XO  X  O"}'
    assert called("oneLine", '{\n  "a":  1,\r\n\t"b": 2\n}\n') == '{ "a":  1, "b": 2 }'
    assert called("oneLine", "x" * 500, 400) == "x" * 400 + "…"


@pytest.mark.parametrize(
    ("client_id", "shown"),
    [
        ("anna", "anna"),
        ("", "(empty)"),
        (" anna", '" anna"'),
        ("anna\n", '"anna\\n"'),
        ("\N{RIGHT-TO-LEFT OVERRIDE}anna", '"\\u202eanna"'),
        ("Zoe\N{COMBINING DIAERESIS}", '"Zoe\\u0308"'),
        ("שלום", "שלום"),
        ("__proto__", "__proto__"),
    ],
)
def test_client_ids_that_look_alike_look_different(client_id, shown):
    assert called("shownId", client_id) == shown
