"""Routes for paths without parameters: a table, where Falcon's own router compiles a function.

An emulator in process is made for each test, and compiling was most of what that took.
"""

from __future__ import annotations

from typing import Any

from falcon.routing import map_http_methods, set_default_responders


class ExactRouter:
    """A router as Falcon documents one; methods are looked up when a path is first used.

    HEAD is answered as GET is, whose body Falcon then leaves out. A resource whose GET takes or opens something, or
    waits, says so by a true `only_get`, and answers HEAD 405.
    """

    def __init__(self) -> None:
        self._resources: dict[str, object] = {}
        self._methods: dict[str, Any] = {}

    def add_route(self, uri_template: str, resource: object, **kwargs: Any) -> None:
        """Let `resource` answer the path `uri_template`, which is taken literally."""
        self._resources[uri_template] = resource

    def find(self, uri: str, req: object = None) -> tuple[object, Any, dict[str, Any], str] | None:
        """The resource at `uri`, its methods, no parameters, and `uri` again; None where there is no resource."""
        resource = self._resources.get(uri)
        if resource is None:
            return None
        methods: Any = self._methods.get(uri)
        if methods is None:
            methods = map_http_methods(resource)
            if "GET" in methods and not getattr(resource, "only_get", False):
                methods.setdefault("HEAD", methods["GET"])
            set_default_responders(methods)
            self._methods[uri] = methods
        return resource, methods, {}, uri
