"""Every malformed app.yaml we can think of: a clear answer each, with the line where there is one.

The first line of each file in `bad` is a comment with what must be said of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appengine_channel_emu.host.app_yaml import BadAppYaml, read_app_yaml
from appengine_channel_emu.host.app_yaml.document import LARGEST_FILE

BAD = Path(__file__).parent / "bad"


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_malformed_file_is_refused_with_its_line(path):
    says = path.read_bytes().split(b"\n", 1)[0].decode().removeprefix("# ")
    with pytest.raises(BadAppYaml) as caught:
        read_app_yaml(path)
    text = str(caught.value)
    assert says in text
    assert text.startswith((path.name, "parts/"))
    assert len(text) < 500


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
    path.write_bytes("runtime: python312\n".encode("utf-16"))
    with pytest.raises(BadAppYaml, match="line 1: is not UTF-8 text"):
        read_app_yaml(path)


def test_an_error_page_may_not_be_a_link_out_of_the_folder(tmp_path):
    outside = tmp_path / "secret.html"
    outside.write_text("secret")
    app = tmp_path / "app"
    app.mkdir()
    (app / "page.html").symlink_to(outside)
    (app / "app.yaml").write_text("runtime: python312\nerror_handlers:\n- file: page.html\n")
    with pytest.raises(BadAppYaml, match=r"there is no file 'page\.html' in the app's folder"):
        read_app_yaml(app / "app.yaml")


FIELDS = st.sampled_from(
    ["runtime", "handlers", "url", "script", "static_dir", "upload", "login", "skip_files", "env_variables", "<<", "x"]
)
PLAIN = st.one_of(st.text(max_size=8), st.integers(), st.none(), st.booleans(), st.sampled_from(["/.*", "main.app"]))
TREES = st.recursive(PLAIN, lambda part: st.lists(part, max_size=3) | st.dictionaries(FIELDS, part, max_size=4))


@given(TREES)
def test_any_tree_is_an_app_or_a_clear_error(tmp_path_factory, tree):
    import yaml

    read(tmp_path_factory, yaml.safe_dump(tree).encode())


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
