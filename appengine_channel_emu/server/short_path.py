"""Which requests take the short path, below WSGI, and why: none so far."""

from __future__ import annotations
