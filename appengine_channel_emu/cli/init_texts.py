"""The two files that `channel-emu init` writes, explained line by line."""

from __future__ import annotations

import keyword
import os
import textwrap
from pathlib import Path

from appengine_channel_emu.host.app_survey import Survey

_ABOUT_SETTINGS = """\
# Settings of channel-emu, for `channel-emu serve` in this folder. A flag (--port 8081) or a variable
# (CHANNEL_EMU_PORT=8081) wins over a line here. `channel-emu serve --help` lists all settings; each can stand here.
"""

_OF_EVERY_APP = """
# Where it listens. 0 takes a free port.
port: 8080

# Seconds that a request to the app may take: 30 as on App Engine from 2009 to 2011, 10 before, 60 after; or off.
request-deadline: 30

# Tokens, open sockets and unread messages outlive a restart, in a private folder of yours (auto). none keeps nothing.
state-dir: auto
"""

_MORE_SETTINGS = """
# What follows is not in force: take the # away to set it.

# Several pages of one client id: each gets every message (fanout), they share them (split), or the newest page closes
# the others (single).
# tabs: fanout

# Tell the app of clients that connect and disconnect: as app.yaml says, always without one (auto), always, or never.
# presence: auto

# Let things go wrong: here one poll in five loses its connection. Pages should not notice.
# fault:
# - poll cut probability=0.2
"""

_ABOUT_SDK = """
# Folder of Google's SDK, and a Python 2.7, where they are not found by themselves.
# sdk: /path/to/google_appengine
# python: /path/to/python2.7
"""

_ABOUT_NO_SDK = """
# The app needs nothing of Google's SDK: this runs it under Python 3 also where there is one.
# no-sdk: true
"""


_NOTHING = """
# No app was found in this folder: the emulator runs alone, for apps that ask it by CHANNEL_EMULATOR_HOST. To have an
# app behind it, name a WSGI application as module:callable, or the folder of an App Engine app:
# app: main:app

# Or the address of an app that is started by other means, in any language:
# upstream: http://127.0.0.1:9000
"""


def settings_file(survey: Survey) -> str:
    """The text of channel-emu.yaml."""
    more = _MORE_SETTINGS
    if survey.runs == "sdk":
        more += _ABOUT_SDK
    elif survey.legacy:
        more += _ABOUT_NO_SDK
    return _ABOUT_SETTINGS + _the_app(survey) + _OF_EVERY_APP + more


def _the_app(survey: Survey) -> str:
    if survey.runs == "python3":
        kind = "run as its app.yaml says, under Python 3."
        if survey.legacy:
            kind = "run as its app.yaml says, by Google's SDK where there is one, else under Python 3."
        elif survey.app == survey.target:
            kind = "a WSGI application."
        return f"\n{_comment(f'The app, {kind}')}app: {_scalar(survey.app)}\n"
    if survey.runs == "sdk":
        about = f"The app, which Google's SDK runs under Python 2.7. It needs that: {survey.reason}"
        return f"\n{_comment(about)}app: {_scalar(survey.app)}\n"
    if survey.runs == "elsewhere":
        about = f"The app is started by other means, and the emulator stands in front of it. {survey.reason}"
        return f"\n{_comment(f'{about} Where it answers:')}upstream: {survey.upstream}\n"
    return _NOTHING


def _comment(text: str) -> str:
    """`text`, which may have line ends in it, as lines of a comment."""
    return textwrap.fill(" ".join(text.split()), 118, initial_indent="# ", subsequent_indent="# ") + "\n"


def _scalar(text: str) -> str:
    """As YAML takes it; most need no quotes."""
    plain = all(character.isalnum() or character in "._-/:()" for character in text) and text[:1] not in "-:"
    return text if plain else "'" + text.replace("'", "''") + "'"


_ABOUT_FIXTURES = '''\
"""What this app's tests have of channel-emu; its pytest plugin has the fixtures that are not defined here.

{example}"""

'''

_EXAMPLE = """\
A test needs no server and no browser:

    def test_a_page_gets_what_is_sent(channel_emulator, channel_client):
        page = channel_client("anna")                    # a browser that has opened the channel of "anna"
        channel_emulator.send_message("anna", "hello")   # what the app's own channel.send_message does, too
        assert page.messages[-1] == "hello"
        channel_emulator.advance(2 * 60 * 60)            # two hours pass, in no time
        assert page.error.description == "Token+timed+out."

A request to the app, with WebTest (pip install WebTest): webtest.TestApp(channel_emulator).get("/")
"""

_EXAMPLE_OVER_HTTP = """\
A test asks the app at `app_url`, and opens the channels that it makes:

    def test_a_page_gets_what_is_sent(app_url, channel_page):
        token = urllib.request.urlopen(app_url + "/token").read().decode()   # however a page of the app gets one
        page = channel_page(token)                                           # a browser that has opened its channel
        assert page.receive() == "hello"
"""

_STARTED_BEFORE = """
The app itself is to be started before the tests are.
"""

_SEARCHED = """
# So that tests can import the app, wherever pytest is started.
{lines}
"""

_VARIABLES = """
# What the app is started with; a variable that is set already stays.
{lines}
"""

_IN_PROCESS = '''

@pytest.fixture
def channel_app():
    """The app behind `channel_emulator`, which is in this process, and whose clock moves only when a test moves it."""
    # Here, and not above: google.appengine.api.channel is importable while tests run.
    {import_line}

    return {expression}


@pytest.fixture(scope="session")
def channel_server_app():
    """The app behind `channel_server`, a real server on a free port, for browsers; one for all tests."""
    {import_line}

    return {expression}
'''

_NO_APP = """
# The fixtures `channel_emulator`, `channel_client` and `channel_clock` work as they are, without an app. To have one
# behind them, import its WSGI application here:
#
# import pytest
#
#
# @pytest.fixture
# def channel_app():
#     from main import app
#
#     return app
"""

_SERVED = '''

@pytest.fixture(scope="session")
def app_url():
    """Where the app answers, behind an emulator on a free port that runs as long as the tests; it keeps nothing."""
    command = [sys.executable, "-m", "appengine_channel_emu", "serve", "--port", "0", "--state-dir", "none"]
    with subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.PIPE, text=True) as emulator:
        # The one line on its standard output, once the app is ready; it says on standard error why it cannot start.
        ready = emulator.stdout.readline()
        if not ready:
            pytest.fail("channel-emu serve could not start")
        try:
            yield ready.split()[-1]
        finally:
            emulator.terminate()


@pytest.fixture
def channel_page(app_url):
    """`channel_page(token)`: a page that has opened a channel; it is closed when the test ends."""
    with contextlib.ExitStack() as pages:
        yield lambda token: pages.enter_context(ChannelClient(app_url, token))
'''


def fixtures_file(survey: Survey, folder: Path) -> str:
    """The text of conftest.py, to stand in `folder`."""
    if survey.runs in ("sdk", "elsewhere"):
        imports = "import contextlib\nimport subprocess\nimport sys\nfrom pathlib import Path\n\nimport pytest\n"
        imports += "from appengine_channel_emu.testing import ChannelClient\n\n"
        folder_line = "# Where app and channel-emu.yaml are.\nFOLDER = Path(__file__).resolve().parent\n"
        about = _EXAMPLE_OVER_HTTP + (_STARTED_BEFORE if survey.runs == "elsewhere" else "")
        return _ABOUT_FIXTURES.format(example=about) + imports + folder_line + _SERVED
    about = _ABOUT_FIXTURES.format(example=_EXAMPLE)
    if not survey.target:
        return about.rstrip("\n") + "\n" + _NO_APP
    imports = ("import os\n" if survey.environ else "") + "import sys\nfrom pathlib import Path\n\nimport pytest\n"
    text = about + imports
    lines = [f"sys.path.insert(0, str({_relative(path, folder)}))" for path in reversed(survey.folders)]
    text += _SEARCHED.format(lines="\n".join(lines))
    if survey.environ:
        pairs = [f"os.environ.setdefault({name!r}, {value!r})" for name, value in survey.environ.items()]
        text += _VARIABLES.format(lines="\n".join(pairs))
    module, _, expression = survey.target.partition(":")
    name = expression.partition("(")[0].partition(".")[0]
    import_line = f"from {module} import {name}"
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in module.split(".")):
        import_line = f"{name} = importlib.import_module({module!r}).{name}"
        text = text.replace("import sys\n", "import importlib\nimport sys\n", 1)
    return text + _IN_PROCESS.format(import_line=import_line, expression=expression)


def _relative(path: Path, folder: Path) -> str:
    """An expression for `path`, seen from the file itself in `folder`."""
    way = os.path.relpath(path, folder)
    return "Path(__file__).resolve().parent" + ("" if way == "." else f" / {Path(way).as_posix()!r}")
