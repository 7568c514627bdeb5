"""What is said of Google's SDK, and of the Python 2.7 that it needs, by both of them."""

from __future__ import annotations

import pytest

from appengine_channel_emu.doctor import machine
from appengine_channel_emu.doctor.services import SERVICES, service_of
from tests.support import parts


def test_python27_is_asked_for_what_the_sdk_needs():
    assert machine.missing_of_python27(str(parts.need(parts.python27))) == []


@pytest.mark.slow
def test_the_table_of_services_is_true_of_the_sdk():
    folder = parts.need(parts.sdk) / "google" / "appengine"
    for service in SERVICES:
        for module in service.modules:
            path = folder.joinpath(*module.split("."))
            assert (path.is_dir() or path.with_suffix(".py").is_file()) is service.is_in_sdk, module


def test_the_longest_path_names_the_service():
    assert service_of("google.appengine.ext.db.djangoforms.ModelForm").name == "djangoforms"
    assert service_of("google.appengine.ext.db").name == "datastore (db)"
    assert service_of("google.cloud.ndb") is None
