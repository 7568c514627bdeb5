"""docs/doctor.md says what doctor says."""

from __future__ import annotations

import json
import re

from appengine_channel_emu.doctor.app import AppReport
from appengine_channel_emu.doctor.diagnosis import LEVELS, Diagnosis, Place
from appengine_channel_emu.doctor.report import DoctorReport, as_json
from appengine_channel_emu.doctor.way import NONE, PYTHON3, SDK, UPSTREAM, WSGI, Way
from tests.doctor.document import DOCUMENT, with_tables

TEXT = DOCUMENT.read_text("utf-8")


def test_the_tables_are_what_doctor_says():
    assert with_tables(TEXT) == TEXT, "python -m tests.doctor.document writes them anew"


def shape(value):
    """Keys and kinds of values, without the values."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_the_shape_of_the_json_is_the_documents():
    documented = json.loads(re.search(r"```json\n(.*?)```", TEXT, re.DOTALL)[1])
    found = Diagnosis("create_channel", "ok", "a", "b", "c", "d", (Place("main.py", 2, "x"),))
    way = Way(SDK, ["channel-emu serve"])
    made = json.loads(json.dumps(as_json(DoctorReport((found,), AppReport("app.yaml", way, 3, (found,))))))
    # Without an app.yaml there is no runtime.
    made["app"]["runtime"] = ""
    assert shape(made) == shape(documented)


def test_every_level_and_kind_is_in_the_document():
    for word in (*LEVELS, PYTHON3, SDK, WSGI, UPSTREAM, NONE):
        assert f"`{word}`" in TEXT
