"""The site that `make docs` builds: without a warning, every document in it, and nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.docs.documents import documents
from tests.support import parts
from tests.support.parts import ROOT

pytestmark = pytest.mark.slow

NEEDED = ("sphinx", "furo", "myst_parser")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        parts.lacking(f"no {', '.join(missing)} found: pip install '.[slow]'")
    folder = tmp_path_factory.mktemp("site")
    assert build(ROOT, folder) == ""
    return folder / "html"


def build(source: Path, folder: Path) -> str:
    """What Sphinx says, as the Makefile runs it: nothing, if all is well."""
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--nitpicky", "--quiet", "-c", "docs/site"]
    command += ["-d", str(folder / "doctrees"), ".", str(folder / "html")]
    # As on a machine without a network.
    environ = os.environ | dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(command, cwd=source, env=environ, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout + done.stderr + (f"status {done.returncode}" if done.returncode else "")


def test_every_document_is_a_page_that_the_navigation_leads_to(site, context):
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    linked = page.locator(".sidebar-tree a").evaluate_all("all => all.map((one) => one.href)")
    expected = {(site / document).with_suffix(".html").as_uri() for document in documents() if document != "README.md"}
    assert expected <= set(linked)
    assert page.locator("h1").inner_text().startswith("channel-emu")


def test_it_loads_nothing_from_elsewhere_and_searches_from_the_files_alone(site, context):
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "docs" / "tutorial.html").as_uri())
    assert page.locator("img").evaluate_all("all => all.every((one) => one.naturalWidth > 0)")
    page.get_by_role("textbox").first.fill("PresenceHandlerError")
    page.keyboard.press("Enter")
    expect(page.locator("#search-results li a").first).to_be_visible()
    page.goto((site / "README.html").as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_a_link_that_leads_nowhere_fails(site, tmp_path):
    for name in ("docs/site/conf.py", "docs/site/site.css", "setup.cfg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "README.md").write_text("# One\n\n[lost](docs/README.md#nowhere)\n")
    (tmp_path / "docs" / "README.md").write_text("# Two\n")
    assert "nowhere" in build(tmp_path, tmp_path / "built")
