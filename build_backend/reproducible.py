"""Builds the package with setuptools, and so that the same source makes the same file, byte for byte (PEP 517).

What a build would take from the machine is replaced: times by `SOURCE_DATE_EPOCH` (seconds since 1970), or 1980 where
that is not set, owners by none, and permissions by what git knows of them. Nothing that an earlier build has left in
`build/` gets in.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

EARLIEST = 315532800
"""1980, where the time of ZIP files begins."""


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """See PEP 517."""
    with _nothing_left_of_others():
        name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    path = Path(wheel_directory, name)
    path.write_bytes(_plain_zip(path.read_bytes()))
    return name


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """See PEP 517."""
    name = build_meta.build_sdist(sdist_directory, config_settings)
    path = Path(sdist_directory, name)
    path.write_bytes(_plain_tar(path.read_bytes()))
    return name


@contextlib.contextmanager
def _nothing_left_of_others() -> Iterator[None]:
    """Have setuptools build in a folder of its own: what is in `build/lib` would all be packed."""
    before = os.environ.get("DIST_EXTRA_CONFIG")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "build.cfg")
        config.write_text(f"[build]\nbuild_base = {folder}/build\n", "utf-8")
        os.environ["DIST_EXTRA_CONFIG"] = str(config)
        try:
            yield
        finally:
            if before is None:
                del os.environ["DIST_EXTRA_CONFIG"]
            else:
                os.environ["DIST_EXTRA_CONFIG"] = before


def _epoch() -> int:
    return max(EARLIEST, int(os.environ.get("SOURCE_DATE_EPOCH") or 0))


def _mode(mode: int) -> int:
    """As git has it, whatever the umask of the machine: a file may be executed or not."""
    return 0o755 if mode & 0o100 else 0o644


def _plain_zip(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as wheel, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as plain:
        for member in wheel.infolist():
            info = zipfile.ZipInfo(member.filename, time.gmtime(_epoch())[:6])
            info.external_attr = (0o100000 | _mode(member.external_attr >> 16)) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            plain.writestr(info, wheel.read(member))
    return made.getvalue()


def _plain_tar(data: bytes) -> bytes:
    made = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as sdist,
        gzip.GzipFile("", "wb", fileobj=made, mtime=_epoch()) as packed,
        tarfile.open(fileobj=packed, mode="w") as plain,
    ):
        for member in sorted(sdist.getmembers(), key=lambda each: each.name):
            info = tarfile.TarInfo(member.name)
            info.mtime = _epoch()
            if member.isdir():
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                plain.addfile(info)
                continue
            file = sdist.extractfile(member)
            assert file is not None, f"{member.name} is neither a file nor a folder"
            content = file.read()
            # A hard link's own size is 0.
            info.size, info.mode = len(content), _mode(member.mode)
            plain.addfile(info, io.BytesIO(content))
    return made.getvalue()
