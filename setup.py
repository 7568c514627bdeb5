"""What setup.cfg cannot say: the long description, and addresses that are made of one setting."""

import configparser
import sys
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
# Also where setup.py is run by itself.
sys.path.insert(0, str(ROOT / "build_backend"))

from description import checked_address, long_description, project_urls  # noqa: E402

LINKS = ("docs", "js", "sample_app")
"""Folders of the source tree that the package has by a link, and an sdist as they are."""

for name in LINKS:
    if not (ROOT / "appengine_channel_emu" / name).is_dir():
        sys.exit(
            f"appengine_channel_emu/{name} is not a folder, nor a link to one: git has made a text of the link, as it "
            "does on Windows. Clone again with: git clone -c core.symlinks=true"
        )

config = configparser.ConfigParser(interpolation=None)
config.read(ROOT / "setup.cfg", "utf-8")
version = config["metadata"]["version"]
address = checked_address(config["project"]["address"])

setup(
    long_description=long_description((ROOT / "README.md").read_text("utf-8"), address, version),
    long_description_content_type="text/markdown",
    project_urls=project_urls(address, version),
)
