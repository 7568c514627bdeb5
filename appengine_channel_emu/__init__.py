"""A local server for App Engine's Channel API."""

__version__ = "0.2.0"

__all__ = ["__version__"]
