"""app.yaml, read and checked: what it says of an app, or an error that names the file, the line and the cure."""

from .config import AppConfig, Handler, Library, Script, Static, StaticDir, StaticFiles
from .document import BadAppYaml
from .reader import read_app_yaml

__all__ = [
    "AppConfig",
    "BadAppYaml",
    "Handler",
    "Library",
    "Script",
    "Static",
    "StaticDir",
    "StaticFiles",
    "read_app_yaml",
]
