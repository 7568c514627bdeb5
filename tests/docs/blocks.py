"""Every block of code in the documents: which test runs it, or why none can.

A block that is in neither table fails `tests/docs/test_blocks.py`, and so does an entry without a block. Who writes a
block runs it in a test, and names that test here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunBy:
    """The test that runs it: a file, or `file::function`. That file names the document, too."""

    test: str


@dataclass(frozen=True)
class NotRun:
    """Why no test can run it, and what is tested instead."""

    because: str


_COMMANDS = "tests/docs/test_commands.py::"
_BROWSER = "tests/docs/test_in_a_browser.py::"
_NO_DOCKER = "there is no Docker where the tests run, and the document says so;"
_LEGACY = "tests/legacy_apps/test_docs.py::"

WHOLE: dict[str, RunBy] = {
    "docs/clients.md": RunBy("tests/test_clients_guide.py"),
    "docs/continuous-integration.md": RunBy("tests/recipes/test_continuous_integration.py"),
    "docs/doctor.md": RunBy("tests/doctor/test_command.py"),
    "docs/moving-off.md": RunBy("tests/docs/test_moving_off.py"),
    "docs/testing.md": RunBy("tests/testing/test_docs.py"),
    "docs/tutorial.md": RunBy("tests/docs/test_tutorial.py"),
}
"""Documents of which one test file runs every block, but for those that stand below."""

BLOCKS: dict[str, dict[str, RunBy | NotRun]] = {
    "README.md": {
        "pip install .": RunBy(f"{_COMMANDS}test_the_demo"),  # pip itself: tests/test_install.py, with a wheel
        "# hello.py": RunBy(f"{_BROWSER}test_the_hello_app_of_the_readme"),
        "channel-emu serve hello:app": RunBy(f"{_BROWSER}test_the_hello_app_of_the_readme"),
        "make serve": RunBy(f"{_COMMANDS}test_the_targets_of_make"),
        "$ channel-emu bench --chart": NotRun(
            "it takes a minute, and its figures are those of one machine; tests/bench/test_bench.py runs it with fewer "
            "pages"
        ),
    },
    "CONTRIBUTING.md": {"make serve": RunBy(f"{_COMMANDS}test_the_targets_of_make")},
    "docs/app-yaml.md": {
        "channel-emu serve path/to/app": RunBy(f"{_COMMANDS}test_an_app_is_served_by_its_app_yaml"),
        "channel-emu: app.yaml, line 19": RunBy(f"{_COMMANDS}test_a_field_that_app_engine_did_not_know"),
        "from google.appengine.ext import testbed": NotRun(
            "it needs Google's package, which must not be in the environment of the other tests; "
            "tests/compat/test_beside_googles_package.py runs these lines in an app, in an environment that has it"
        ),
        "inbound_services:": RunBy(f"{_COMMANDS}test_an_app_is_served_by_its_app_yaml"),
    },
    "docs/behind-a-proxy.md": {
        "channel-emu serve --trusted-proxy": RunBy(f"{_COMMANDS}test_serving_behind_a_proxy"),
        "server {": RunBy("tests/server/test_behind_nginx.py"),
        "dev.example.org {": NotRun("there is no Caddy here to run it with, and the document says so"),
        "curl -i --http1.1": RunBy(f"{_COMMANDS}test_serving_behind_a_proxy"),
    },
    "docs/benchmarks.md": {
        "channel-emu bench --pages 10000": RunBy(f"{_COMMANDS}test_measuring"),
    },
    "docs/browser-client.md": {
        '<script src="/_ah/channel/jsapi?transport=xhr">': RunBy(f"{_BROWSER}test_one_transport_alone"),
        "goog.appengine.Socket.TRANSPORT": RunBy(f"{_BROWSER}test_one_transport_alone"),
    },
    "docs/check.md": {
        "$ channel-emu serve --no-sdk $PROBE": RunBy("tests/test_check_servers.py"),
        "$ python2.7 dev_appserver.py": RunBy("tests/test_check_servers.py"),
        "channel-emu wait --emulator localhost:8080": NotRun(
            "a check takes over a minute: tests/test_check_servers.py runs it so, and tests/test_verbs.py runs wait"
        ),
    },
    "docs/command-line.md": {
        "channel-emu doctor": RunBy("tests/doctor/test_command.py"),
        "$ channel-emu demo": RunBy(f"{_COMMANDS}test_the_demo"),
        "$ channel-emu init": RunBy(f"{_COMMANDS}test_settings_and_a_test_for_an_app"),
        "$ channel-emu serve main:app --host 0.0.0.0": NotRun(
            "it would let other machines in while tests run; tests/server/test_banner.py has each line"
        ),
        '{"time": "': RunBy(f"{_COMMANDS}test_a_line_of_the_log_as_json"),
        "channel-emu status": RunBy(f"{_COMMANDS}test_asking_a_running_emulator"),
        'eval "$(channel-emu completion bash)"': RunBy(f"{_COMMANDS}test_completion"),
    },
    "docs/faq.md": {
        "channel-emu serve --request-deadline off": RunBy(f"{_COMMANDS}test_ways_to_start"),
    },
    "docs/legacy-apps.md": {
        "$ channel-emu sdk install": NotRun(
            "it fetches the SDK; tests/test_sdk_command.py installs it, and tests/legacy_apps serve apps with it"
        ),
        "application: notes": RunBy(f"{_LEGACY}test_the_webapp2_app_of_the_docs"),
        "import json": RunBy(f"{_LEGACY}test_the_webapp2_app_of_the_docs"),
        "$ curl -d text=hello": NotRun("the test of the walk makes this very request, without curl"),
        "runtime: python27": RunBy(f"{_LEGACY}test_the_django_app_of_the_docs"),
        "import django.core.handlers.wsgi": RunBy(f"{_LEGACY}test_the_django_app_of_the_docs"),
        "# settings.py": RunBy(f"{_LEGACY}test_the_django_app_of_the_docs"),
        "# urls.py": RunBy(f"{_LEGACY}test_the_django_app_of_the_docs"),
        "$ channel-emu serve . -- --datastore": NotRun(
            "options for Google's server; tests/legacy_apps/conftest.py starts an app of two modules with those of "
            "the second line"
        ),
    },
    "docs/messages-do-not-arrive.md": {
        "channel-emu send anna hello": RunBy(f"{_COMMANDS}test_being_the_app"),
        "socket.onerror = function": RunBy(f"{_BROWSER}test_a_page_that_is_refused_says_so"),
    },
    "docs/metrics.md": {
        "scrape_configs:": RunBy(f"{_COMMANDS}test_what_prometheus_asks"),
        "histogram_quantile(": NotRun("a question to Prometheus, which is not here; that the histogram is, is tested"),
    },
    "docs/running.md": {
        "channel-emu serve main:app": RunBy(f"{_COMMANDS}test_ways_to_start"),
        "channel-emu serve": RunBy(f"{_COMMANDS}test_an_app_that_speaks_json"),
    },
    "docs/tutorial.md": {
        "$ python3 -m venv": NotRun(
            "pip would ask a network; tests/test_packaging.py builds and looks into what it installs"
        ),
    },
    "docs/container.md": {
        "docker build": NotRun(f"{_NO_DOCKER} tests/container runs the Dockerfile's own lines, and serves from them"),
        "docker exec": NotRun(f"{_NO_DOCKER} tests/container runs the same verbs in the container"),
        "docker compose": NotRun(f"{_NO_DOCKER} tests/container runs the three services of compose.yaml"),
        "FROM channel-emu": NotRun(f"{_NO_DOCKER} its image is the one that is built above"),
    },
    "docs/doctor.md": {"{": RunBy("tests/doctor/test_document.py")},
    "docs/several-emulators.md": {
        "make serve-cluster": NotRun(
            "it asks pip for hiredis first, and takes the ports that it names; tests/cluster/test_document.py plays "
            "a game on what it starts"
        ),
        "docker compose": NotRun(f"{_NO_DOCKER} tests/cluster/test_document.py holds compose.yaml to what is here"),
        "pip install": NotRun("there is no machine of that name; tests/cluster starts every emulator by these options"),
        "$ channel-emu cluster": NotRun(
            "its figures are those of one moment; tests/cluster/test_start.py runs it, and reads each line"
        ),
        "upstream emulators {": RunBy("tests/cluster/test_document.py"),
        "staging.example.org {": NotRun("there is no Caddy here to run it with, and the document says so"),
    },
    "docs/upstream.md": {
        "channel-emu serve --upstream": RunBy(f"{_COMMANDS}test_in_front_of_an_app_that_runs"),
    },
}
"""By document, and by how the first line of a block begins: the longest beginning that fits counts."""
