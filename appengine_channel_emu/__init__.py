"""A local server for App Engine's Channel API."""

__version__ = "0.2.0"

SERVER_NAME = "channel-emu"
"""What its own answers' header `Server` says; RFC 9110, 10.2.4."""

__all__ = ["__version__"]
