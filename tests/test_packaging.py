"""Wheel, sdist and editable install: all carry what is not Python of ours, byte for byte, and say what they are."""

from __future__ import annotations

import configparser
import email
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import appengine_channel_emu
from tests.support import parts
from tests.support.parts import ROOT
from tests.support.source import build_sdist, build_wheel, copy_source

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "js" / "goog_appengine_channel.js"
COMPAT = ROOT / "appengine_channel_emu" / "compat"
SAMPLE_APP = ROOT / "sample_app"

ADDRESS = "https://git.example/somebody/channel-emu"
"""Of nobody (RFC 2606)."""

OF_A_VERSION = f"{ADDRESS}/{{}}/v{appengine_channel_emu.__version__}/"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return copy_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory):
    return build_sdist(source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def addressed(tmp_path_factory):
    """The wheel of a project that has an address."""
    return with_address(ADDRESS, tmp_path_factory.mktemp("addressed"))


@pytest.fixture(scope="module")
def unaddressed(wheel, tmp_path_factory):
    """The wheel of one that has none."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", "utf-8")
    return with_address("", tmp_path_factory.mktemp("unaddressed")) if config["project"]["address"] else wheel


def with_address(address: str, folder: Path) -> Path:
    config = copy_source(folder / "source") / "setup.cfg"
    text, times = re.subn(r"^address =.*$", f"address = {address}", config.read_text("utf-8"), flags=re.MULTILINE)
    assert times == 1
    config.write_text(text, "utf-8")
    return build_wheel(config.parent, folder)


@pytest.fixture(scope="module")
def description():
    """The module of the build backend that makes the long description."""
    spec = importlib.util.spec_from_file_location("description", ROOT / "build_backend" / "description.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def data_files():
    """What the package has that is no module of its own, by its name in the package."""
    found = {f"compat/{path.relative_to(COMPAT)}": path for path in COMPAT.rglob("*.py")}
    for path in [*SAMPLE_APP.glob("*.*"), *(SAMPLE_APP / "static").iterdir()]:
        # Python 2 writes what it has compiled beside the source.
        if path.suffix != ".pyc":
            found[f"sample_app/{path.relative_to(SAMPLE_APP)}"] = path
    for path in (ROOT / "docs").glob("*.md"):
        found[f"docs/{path.name}"] = path
    found["js/goog_appengine_channel.js"] = SCRIPT
    return {f"appengine_channel_emu/{name}": path.read_bytes() for name, path in found.items()}


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def targets(markdown: str) -> list[str]:
    """Where the links and images of a document lead, as CommonMark has it."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        for each in [token, *(token.children or [])]:
            found += [value for name in ("href", "src") if (value := each.attrGet(name))]
            if each.type in ("html_inline", "html_block"):
                found += re.findall(r'(?:href|src|srcset)="([^"]*)"', each.content)
    return found


def test_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for name, data in data_files().items():
            assert archive.read(name) == data, name
        assert "appengine_channel_emu/console/main.js" in archive.namelist()
        assert [name for name in archive.namelist() if "/tests/" in name] == []
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {"appengine_channel_emu", f"appengine_channel_emu-{appengine_channel_emu.__version__}.dist-info"}


def test_the_sdist(sdist):
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
        for name, data in data_files().items():
            assert archive.extractfile(members[name]).read() == data, name
    assert [name for name in members if name.startswith("tests/")] == []


def test_the_same_source_makes_the_same_files_whenever_and_wherever(wheel, sdist, tmp_path):
    """At another time, by somebody with another umask, in a folder where something else was built before."""
    source = copy_source(tmp_path / "source")
    for path in source.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)
            os.utime(path, (1_000_000_000, 1_000_000_000))
    left = source / "build" / "lib" / "appengine_channel_emu" / "gone.py"
    left.parent.mkdir(parents=True)
    left.touch()
    for turn in ("once", "again"):
        (tmp_path / turn).mkdir()
        assert build_sdist(source, tmp_path / turn).read_bytes() == sdist.read_bytes()
        assert build_wheel(source, tmp_path / turn).read_bytes() == wheel.read_bytes()


def test_the_sdist_makes_the_same_wheel(wheel, sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(tmp_path.iterdir())
    assert build_wheel(source, tmp_path).read_bytes() == wheel.read_bytes()


def test_a_link_that_git_made_a_text_of_is_refused(tmp_path):
    source = copy_source(tmp_path)
    (source / "appengine_channel_emu" / "sample_app").unlink()
    (source / "appengine_channel_emu" / "sample_app").write_text("../sample_app")
    command = [sys.executable, "setup.py", "--version"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("appengine_channel_emu/sample_app is not a folder")


def test_what_an_index_shows(wheel):
    said = metadata(wheel)
    classifiers = said.get_all("Classifier")
    assert {"Framework :: Pytest", "Typing :: Typed", "Environment :: Console"} <= set(classifiers)
    assert said["Requires-Python"] == ">=3.10"
    versions = [each.rpartition(" ")[2] for each in classifiers if re.search(r":: 3\.\d+$", each)]
    assert versions == ["3.10", "3.11", "3.12", "3.13"]
    assert "channel api" in said["Keywords"]
    assert said["Version"] == appengine_channel_emu.__version__


def test_without_an_address_nothing_leads_nowhere(unaddressed):
    said = metadata(unaddressed)
    assert said.get_all("Project-URL") is None
    text = said.get_payload()
    assert "channel-emu" in text
    assert [target for target in targets(text) if not target.startswith("https://")] == []


def test_with_an_address_everything_leads_there(addressed):
    said = metadata(addressed)
    urls = dict(each.split(", ") for each in said.get_all("Project-URL"))
    assert urls["Source"] == ADDRESS
    assert set(urls) == {"Source", "Documentation", "Changelog", "Issues"}
    readme = (ROOT / "README.md").read_text("utf-8")
    found = targets(said.get_payload())
    assert len(found) == len(targets(readme)) > 3
    assert [target for target in found if not target.startswith("https://")] == []
    ours = [target for target in [*found, *urls.values()] if target.startswith(ADDRESS)]
    for target in ours:
        name = target.removeprefix(OF_A_VERSION.format("blob")).removeprefix(OF_A_VERSION.format("raw"))
        if name != target:
            assert (ROOT / name.partition("#")[0]).exists(), target
    assert any(target.startswith(OF_A_VERSION.format("raw")) for target in ours) == ("](docs/images" in readme)


README = """# A title

![A picture](docs/a.png)

A [link](docs/b.md#part), `[code](docs/c.md)`, [![a badge](d.svg)](https://ci.example/) and [a
`two-line` link](./E.md "title"). ![Inline](f.png) <img src="g.png" width="2"> <a href="h.md">h</a> [here](#a-title)

```
[text](x.md)
```

[elsewhere](https://example.org/y) and ``a ` [z](z.md)``
"""


def test_links_become_text_and_images_go(description):
    assert description.long_description(README, "", "1.0") == (
        "# A title\n\n"
        "A link, `[code](docs/c.md)`, [a badge](https://ci.example/) and a\n`two-line` link. Inline  h here\n\n"
        "```\n[text](x.md)\n```\n\n[elsewhere](https://example.org/y) and ``a ` [z](z.md)``\n"
    )


def test_links_become_absolute(description):
    made = description.long_description(README, ADDRESS, "1.0")
    blob, raw = f"{ADDRESS}/blob/v1.0/", f"{ADDRESS}/raw/v1.0/"
    assert sorted(targets(made)) == sorted(
        [f"{raw}{name}" for name in ("docs/a.png", "d.svg", "f.png", "g.png")]
        + [f"{blob}{name}" for name in ("docs/b.md#part", "E.md", "h.md", "README.md#a-title")]
        + ["https://ci.example/", "https://example.org/y"]
    )
    assert "`[code](docs/c.md)`" in made
    assert "\n[text](x.md)\n" in made
    assert ' "title")' in made


@pytest.mark.parametrize("address", ["example.org/x", "http://host/owner/name", "https://host", "https://a b/c/d"])
def test_an_address_that_is_none_is_an_error(description, address):
    with pytest.raises(description.BadAddress, match="leave it empty"):
        description.checked_address(address)


def test_an_address_may_end_in_a_slash_or_be_empty(description):
    assert description.checked_address(f" {ADDRESS}/ ") == ADDRESS
    assert description.checked_address(" ") == ""


def test_an_index_would_take_it(wheel, sdist, addressed):
    if importlib.util.find_spec("twine") is None:
        parts.lacking("there is no twine here: pip install '.[slow]'")
    command = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", wheel, sdist, addressed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 3


def test_the_editable_install():
    """This very run uses one: `make test` installs it so."""
    code = (
        "from importlib import resources; "
        "print((resources.files('appengine_channel_emu') / 'js' / 'goog_appengine_channel.js').read_bytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert bytes.fromhex(done.stdout) == SCRIPT.read_bytes()


def test_the_public_names():
    assert appengine_channel_emu.__all__ == ["__version__"]
