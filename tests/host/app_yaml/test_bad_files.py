"""Every malformed app.yaml we can think of: a clear answer each, with the line where there is one.

The first line of each file in `bad` and in `warned` is a comment with what must be said of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appengine_channel_emu.host.app_yaml import BadAppYaml, read_app_yaml
from appengine_channel_emu.host.app_yaml.document import LARGEST_FILE

BAD = Path(__file__).parent / "bad"
WARNED = Path(__file__).parent / "warned"


def said_of(path: Path) -> str:
    return path.read_bytes().split(b"\n", 1)[0].decode().removeprefix("# ")


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_malformed_file_is_refused_with_its_line(path):
    says = said_of(path)
    with pytest.raises(BadAppYaml) as caught:
        read_app_yaml(path)
    text = str(caught.value)
    assert says in text
    assert text.startswith((path.name, "parts/"))
    assert len(text) < 500


@pytest.mark.parametrize("path", sorted(WARNED.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_app_engine_takes_otherwise_than_meant_is_warned_of_with_its_line(path):
    said = read_app_yaml(path).warnings
    assert any(f"{path.name}, {said_of(path)}" in warning for warning in said), said


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadAppYaml, match="cannot be read: No such file"):
        read_app_yaml(tmp_path / "app.yaml")


def test_a_folder_in_its_place(tmp_path):
    with pytest.raises(BadAppYaml, match="cannot be read: Is a directory"):
        read_app_yaml(tmp_path)


def test_a_huge_file(tmp_path):
    path = tmp_path / "app.yaml"
    path.write_text("runtime: python312\n" + "#" * LARGEST_FILE)
    with pytest.raises(BadAppYaml, match="is larger than 256 KiB"):
        read_app_yaml(path)


def test_another_encoding(tmp_path):
    path = tmp_path / "app.yaml"
    path.write_bytes("runtime: python312 # é\n".encode("latin-1"))
    with pytest.raises(BadAppYaml, match="line 1: is not UTF-8 text: save it in that encoding"):
        read_app_yaml(path)


FIELDS = st.sampled_from(
    ["runtime", "handlers", "url", "script", "static_dir", "upload", "login", "skip_files", "env_variables", "<<", "x"]
)
PLAIN = st.one_of(st.text(max_size=8), st.integers(), st.none(), st.booleans(), st.sampled_from(["/.*", "main.app"]))
TREES = st.recursive(PLAIN, lambda part: st.lists(part, max_size=3) | st.dictionaries(FIELDS, part, max_size=4))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES)
def test_any_tree_is_an_app_or_a_clear_error(tmp_path_factory, tree):
    import yaml

    read(tmp_path_factory, yaml.safe_dump(tree).encode())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60) | st.text(alphabet="runtime:- []{}&*!'\"\n#|>%@`?,", max_size=60).map(str.encode))
def test_any_bytes_are_an_app_or_a_clear_error(tmp_path_factory, data):
    read(tmp_path_factory, data)


def read(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "app.yaml"
    path.write_bytes(data)
    try:
        said = read_app_yaml(path).runtime
    except BadAppYaml as error:
        said = str(error)
    assert said
