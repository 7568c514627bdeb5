"""The files of an app, read and never run: which are looked at, and what keeps one from being looked at.

Links are not followed: what they lead to inside the folder is read where it is, and what lies outside is not the app's.
Only plain files are opened, and opening never waits.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import isfile  # that of Path raises in a folder that may not be entered
from pathlib import Path

from appengine_channel_emu.doctor.diagnosis import Place, Sighting, printable
from appengine_channel_emu.hints import reason
from appengine_channel_emu.host.app_checks import NOT_THE_APPS
from appengine_channel_emu.private_files import open_plain

LARGEST_FILE = 2 * 1024 * 1024
"""Bytes of a file that is looked at. Sources are smaller; what is larger was made by a program."""

MOST_FILES = 50_000

_SNIFFED = 8192
_BINARY = frozenset(
    re.findall(
        r"\w+",
        "a avi bmp bz2 class db dll dylib eot exe flv gif gz ico jar jpeg jpg mo mov mp3 mp4 o odt ogg otf pdf png psd "
        "pyc pyd pyo rar so sqlite swf tar tgz tif tiff ttf wav webm webp whl woff woff2 xls xlsx zip",
    )
)
"""Endings of files that are not even opened."""

_OF_INTEREST = re.compile(
    rb"[Cc]hannel|appengine|_ah/|talkgadget|POLLING_TIMEOUT|wcs-iframe|send_message|sleep\s*\(|\brequests\.|http\.client"
    rb"|url(?:open|fetch|retrieve)|httplib|while\s*\(?(?:True|1)\b|use_library|simplejson|with_statement|CGIHandler"
)
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_INSTALLED = re.compile(r"\.(?:dist|egg)-info$")
"""Ends the name of a folder that pip writes beside each library that it installs."""

_TESTS = re.compile(r"(?:^|/)(?:tests?/|test_[^/]*$|[^/]*_tests?\.\w+$|conftest\.py$)")
_DOCUMENTS = re.compile(
    r"(?:^|/)(?:[^/]*\.(?:md|rst|txt|log|csv|tsv|po|pot|lock|json|map|diff|patch|svg|css|s?css|less)|"
    r"(?:README|LICEN[CS]E|COPYING|CHANGES|CHANGELOG|AUTHORS|CONTRIBUTORS|NOTICE|TODO|HISTORY|NEWS)[^/]*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: `name` is its path from the app's folder, with slashes.

    `vendored` files are libraries that were installed beside the app, `tests` never serve a request.
    """

    name: str
    text: str
    vendored: bool = False

    @property
    def tests(self) -> bool:
        return is_test(self.name)

    @property
    def ending(self) -> str:
        return self.name.rpartition("/")[2].rpartition(".")[2].lower() if "." in self.name else ""


class SourceTree:
    """The files below `folder`. `passed_over` fills as they are read: what was not looked at, and why."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.passed_over: list[Sighting] = []
        self.files = 0
        self.app_yamls: list[str] = []
        """Where below the folder further apps are described."""
        self.names: set[str] = set()
        """The first folder or file of each path, without its ending: what the app can import by that name."""

    def __iter__(self) -> Iterator[SourceFile]:
        """Those that may have something to say."""
        for folder, names, vendored in self._folders():
            for name in names:
                if self.files == MOST_FILES:
                    self._pass_over("too_many_files", folder / name)
                    return
                path = folder / name
                if path.is_symlink():
                    self._look_at_link(path)
                    continue
                self.files += 1
                if name in ("app.yaml", "app.yml"):
                    self.app_yamls.append(self._name(path))
                file = self._read(path, vendored)
                if file is not None:
                    yield file

    def _folders(self) -> Iterator[tuple[Path, list[str], bool]]:
        vendors: set[str] = set()
        for root, folders, names in os.walk(self._folder, onerror=self._cannot_list):
            top = root == str(self._folder)
            installed = root in vendors or (not top and any(_INSTALLED.search(each) for each in folders))
            kept = []
            for each in sorted(folders):
                path = os.path.join(root, each)
                if os.path.islink(path):
                    self._look_at_link(Path(path))
                elif self._is_the_apps(Path(path), each):
                    kept.append(each)
                    if installed:
                        vendors.add(path)
            folders[:] = kept
            if top:
                self.names.update(each.partition(".")[0] for each in (*kept, *names))
            yield Path(root), sorted(names), installed

    def _is_the_apps(self, path: Path, name: str) -> bool:
        if name.startswith(".") or name in NOT_THE_APPS:
            return False
        # Where nobody may look it is the app's until it cannot be listed.
        if isfile(path / "pyvenv.cfg") or isfile(path / "bin" / "activate"):
            return False
        if isfile(path / "dev_appserver.py") or isfile(path / "bin" / "dev_appserver.sh"):
            self._pass_over("sdk_in_folder", path)
            return False
        return True

    def _look_at_link(self, path: Path) -> None:
        """Say of a link that it leads elsewhere; inside the folder it is nothing to speak of."""
        try:
            target = path.resolve()
        except (OSError, RuntimeError):
            return
        if not target.is_relative_to(self._folder.resolve()):
            self._pass_over("link_elsewhere", path)

    def _read(self, path: Path, vendored: bool) -> SourceFile | None:
        name = self._name(path)
        file = SourceFile(name, "", vendored)
        if file.ending in _BINARY or (_DOCUMENTS.search(name) and file.ending != "py"):
            return None
        try:
            if path.lstat().st_size > LARGEST_FILE:
                self._pass_over("file_too_large", path)
                return None
            descriptor = open_plain(path, os.O_RDONLY)
            with os.fdopen(descriptor, "rb") as opened:
                data = opened.read(LARGEST_FILE + 1)
        except OSError as error:
            self._pass_over("file_unreadable", path, reason(error).replace(str(path), name))
            return None
        wide = data.startswith(_WIDE)
        if not wide and (b"\0" in data[:_SNIFFED] or not _OF_INTEREST.search(data)):
            if b"\0" in data and file.ending == "py":
                self._pass_over("file_unreadable", path, "it has zero bytes, as no text has")
            return None
        text, note = decoded(data, python=file.ending == "py")
        if note:
            self._pass_over("file_encoding", path, note)
        return SourceFile(name, text, vendored)

    def _cannot_list(self, error: OSError) -> None:
        self._pass_over("file_unreadable", Path(str(error.filename)), reason(error))

    def _name(self, path: Path) -> str:
        name = path.relative_to(self._folder).as_posix()
        # Names that are not in the system's encoding can be shown, too.
        return printable(os.fsencode(name).decode("utf-8", "replace"))

    def _pass_over(self, topic: str, path: Path, why: str = "") -> None:
        self.passed_over.append(Sighting(topic, Place(self._name(path), 0, why)))


def is_test(name: str) -> bool:
    """Whether a file, by its path, belongs to the app's tests."""
    return _TESTS.search(name) is not None


def decoded(data: bytes, *, python: bool) -> tuple[str, str]:
    """The text of a file, and what is wrong with its encoding, "" for nothing. Never fails: Latin-1 has every byte."""
    encoding, note = "utf-8-sig", ""
    if data.startswith(_WIDE):
        encoding = "utf-16"
    elif python:
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        except SyntaxError as error:
            encoding, note = "latin-1", str(error.msg if isinstance(error.msg, str) else error)
    try:
        return data.decode(encoding), note
    except (UnicodeError, LookupError) as error:
        # Only Python says what it is in; a page in Latin-1 is nothing out of the ordinary.
        return data.decode("latin-1"), f"it is not {encoding}: {reason(error)}" if python else note
