"""docs/messages-do-not-arrive.md says what is tested, and is found."""

from __future__ import annotations

import re
import shlex

import pytest

from appengine_channel_emu.cli.main import load
from tests.browser.test_client import NO_HANDLER
from tests.ways.document import DOCUMENT, with_tables
from tests.ways.stage import Stage
from tests.ways.table import TABLES, WAYS

FIRST_SCREEN = 45
"""Lines of the README that are seen without scrolling, or nearly."""

TEXT = DOCUMENT.read_text("utf-8")
COMMANDS = re.findall(r"^channel-emu (.+)$|`channel-emu (.+?)`", TEXT, re.MULTILINE)
ADDRESSES = re.findall(r'curl -s "http://localhost:8080(/.+?)"', TEXT)


def test_the_tables_are_those_that_are_tested():
    assert with_tables(TEXT, TABLES) == TEXT, "python -m tests.ways.document writes them anew"


def test_there_are_many_and_each_has_a_name_of_its_own():
    assert len({way.name for way in WAYS}) == len(WAYS) >= 25


def test_the_first_screen_of_the_readme_links_to_it():
    readme = (DOCUMENT.parents[1] / "README.md").read_text("utf-8")
    assert "(docs/messages-do-not-arrive.md)" in "\n".join(readme.splitlines()[:FIRST_SCREEN])


@pytest.mark.parametrize("command", sorted({one or other for one, other in COMMANDS} - {"serve"}))
def test_its_commands_are_commands(command):
    verb, *arguments = shlex.split(command)
    _, parser = load(verb)
    parser().parse_args(arguments)


def test_its_addresses_answer(tmp_path):
    with Stage(tmp_path) as stage:
        stage.page("anna")
        stage.send("anna")
        assert len(ADDRESSES) >= 4
        assert {address: stage.ask("GET", address).status for address in ADDRESSES} == dict.fromkeys(ADDRESSES, 200)


def test_its_links_lead_to_its_headings():
    headings = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"(?m)^## (.+)$", TEXT)
    }
    assert set(re.findall(r"\(#(.+?)\)", TEXT)) == headings - {"questions"}


def test_it_says_what_the_page_s_own_console_says():
    assert f"`{NO_HANDLER}`" in TEXT
