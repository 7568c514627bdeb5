"""The walk-through of docs/legacy-apps.md, taken."""

from __future__ import annotations

import re

import pytest

from tests.support.legacy import emulated
from tests.support.parts import ROOT


@pytest.mark.slow
def test_the_webapp2_app_of_the_docs(tmp_path, http):
    text = (ROOT / "docs" / "legacy-apps.md").read_text()
    app = tmp_path / "app"
    app.mkdir()
    for name, language in (("app.yaml", "yaml"), ("main.py", "python")):
        block = re.search(rf"`{name}`:\n\n```{language}\n(.*?)```", text, re.DOTALL)
        assert block, name
        (app / name).write_text(block[1])
    with emulated(app, tmp_path / "log") as emulator:
        page = http.request("GET", f"{emulator.url}/?as=ann").data.decode()
        token = re.search(r"Channel\('([\w-]+)'\)", page)[1]
        socket = http.request("GET", f"{emulator.url}/_ah/channel/open?channel={token}").json()["socket"]
        # The page has to be known to the app before it can be told anything.
        poll = f"{emulator.url}/_ah/channel/poll?socket={socket}&after=0&wait="
        messages = []
        for _ in range(50):
            assert http.request("POST", f"{emulator.url}/tell", fields={"text": "hello"}).status == 200
            messages = http.request("GET", poll + "0.5").json()["messages"]
            if messages:
                break
        assert messages[0] == '{"text": "hello"}'


@pytest.mark.slow
def test_the_django_app_of_the_docs(tmp_path, http):
    text = (ROOT / "docs" / "legacy-apps.md").read_text().partition("## A Django app")[2].partition("\n## ")[0]
    app = tmp_path / "app"
    app.mkdir()
    yaml, main, settings, urls = re.findall(r"```(?:yaml|python)\n(.*?)```", text, re.DOTALL)
    for name, source in (("app.yaml", yaml), ("main.py", main), ("settings.py", settings), ("urls.py", urls)):
        (app / name).write_text(source)
    with emulated(app, tmp_path / "log") as emulator:
        token = http.request("GET", f"{emulator.url}/token?as=ann").data.decode()
        assert http.request("GET", f"{emulator.url}/_ah/channel/open?channel={token}").json()["client"] == "ann"
