"""Uses of the Channel API in one Python source, and of what else matters for running the app."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from appengine_channel_emu.doctor.diagnosis import Place, Sighting, shown
from appengine_channel_emu.doctor.names import (
    CHANNEL,
    CREATE,
    SEND,
    AppModules,
    Function,
    ScopedNames,
    imported,
    statements,
)
from appengine_channel_emu.doctor.python_source import PythonTree
from appengine_channel_emu.doctor.services import service_of
from appengine_channel_emu.doctor.sources import SourceFile
from appengine_channel_emu.doctor.text_uses import in_strings, presence_paths

LONGEST_TOKEN_MINUTES = 1440

_TEMPLATE = "google.appengine.ext.webapp.template"
_SLEEPS = ("time.sleep", "gevent.sleep")
_FETCHES = re.compile(
    r"google\.appengine\.api\.urlfetch\.(?:fetch|make_fetch_call)|urllib2?\.(?:request\.)?url(?:open|retrieve)"
    r"|requests\.(?:get|post|put|patch|delete|head|request)|httplib2?\.Http\w*|http\.client\.HTTPS?Connection"
)
_IDIOM_CALLS = {
    "google.appengine.dist.use_library": "use_library",
    "google.appengine.ext.webapp.util.run_wsgi_app": "run_wsgi_app",
    "wsgiref.handlers.CGIHandler": "run_wsgi_app",
    f"{_TEMPLATE}.register_template_library": "webapp_template",
}
_IDIOM_IMPORTS = {
    _TEMPLATE: "webapp_template",
    "django.utils.simplejson": "simplejson",
    "__future__.with_statement": "with_statement",
}
_STUB = ("init_channel_stub", "get_channel_messages", "pop_first_message", "has_channel_messages", "connect_channel")
_POSTS = ("post", "get", "fetch", "request", "open", "post_json")
_WORDS_OF_STRINGS = ("_ah/", "goog", "talkgadget", "POLLING_TIMEOUT", "wcs-iframe")

_CALL_IN_TEXT = re.compile(r"\b(?:\w*channel\w*\s*\.\s*)?(create_channel|send_message)\s*\(", re.IGNORECASE)


def top_level(file: SourceFile, tree: PythonTree, apps: AppModules) -> None:
    """Tell `apps` what the module's top level names, for other modules that import it."""
    names = ScopedNames(file.name, apps)
    names.enter_block(tree.root.body)
    apps.add(file.name, names.inner)


def uses(file: SourceFile, tree: PythonTree, apps: AppModules, deadline: float) -> Iterator[Sighting]:
    """What is to be said of the source. `deadline` is in seconds."""
    visitor = _Visitor(file, apps, deadline)
    visitor.visit_module(tree.root)
    yield from dict.fromkeys(visitor.found)
    for lines in tree.unread:
        text = file.text.splitlines()[lines.start - 1 : lines.start]
        yield Sighting("lines_not_python", Place(file.name, lines.start, shown("".join(text))))
        yield from calls_in_text(file, lines)


def calls_in_text(file: SourceFile, lines: range | None = None) -> Iterator[Sighting]:
    """What looks like a call in lines that could not be parsed."""
    for number, line in enumerate(file.text.splitlines(), 1):
        if (lines is not None and number not in lines) or line.lstrip().startswith("#"):
            continue
        names = {match[1].lower() for match in _CALL_IN_TEXT.finditer(line)}
        for name in sorted(names) if "xmpp." not in line else ():
            yield Sighting(name, Place(file.name, number, shown(line)))


class _Visitor(ast.NodeVisitor):
    """One walk over a source, scope by scope."""

    def __init__(self, file: SourceFile, apps: AppModules, deadline: float) -> None:
        self._file = file
        self._lines = file.text.splitlines()
        self._names = ScopedNames(file.name, apps)
        self._deadline = deadline
        self._loops: list[bool] = []
        """Of each loop around: whether it is endless."""
        self._callees: list[str] = []
        """Paths of the calls whose arguments are being looked at."""
        self._own_only = file.tests or file.vendored
        """Neither tests nor libraries serve a request: of them only the Channel API's uses count."""
        self._imports_channel = "google.appengine" in file.text
        self.found: list[Sighting] = []

    def visit_module(self, root: ast.Module) -> None:
        self._names.enter_block(root.body)
        self._visit_body(root.body)

    def _see(self, topic: str, node: ast.AST, line: int | None = None) -> None:
        number = line or int(getattr(node, "lineno", 0))
        text = shown(self._lines[number - 1]) if 0 < number <= len(self._lines) else ""
        self.found.append(Sighting(topic, Place(self._file.name, number, text)))

    def _visit_body(self, body: list[ast.stmt]) -> None:
        for each in body:
            # What stands alone is a docstring, or says nothing.
            if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)):
                self.visit(each)

    def generic_visit(self, node: ast.AST) -> None:
        for _, value in ast.iter_fields(node):
            if isinstance(value, ast.AST):
                self.visit(value)
            elif isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                self._visit_body(value)
            elif isinstance(value, list):
                for each in value:
                    if isinstance(each, ast.AST):
                        self.visit(each)

    def visit_Import(self, node: ast.Import) -> None:
        self._imported([alias.name for alias in node.names], node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._imported([path for _, path in imported(node, "", False)], node)

    def _imported(self, paths: list[str], node: ast.AST) -> None:
        if self._own_only:
            return
        for path in paths:
            if path in _IDIOM_IMPORTS:
                self._see(_IDIOM_IMPORTS[path], node)
            if (service := service_of(path)) is not None:
                self._see(f"service {service.name}", node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        # Decorators and defaults belong to what is outside.
        for each in [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(each)
        self._in_function(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._in_function(node)

    def _in_function(self, node: Function) -> None:
        loops, self._loops = self._loops, []
        callees, self._callees = self._callees, []
        self._names.enter_function(node)
        if isinstance(node, ast.Lambda):
            self.visit(node.body)
        else:
            self._visit_body(node.body)
        self._names.leave()
        self._loops, self._callees = loops, callees

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for each in [*node.bases, *node.decorator_list]:
            self.visit(each)
        self._names.enter_block(node.body)
        self._visit_body(node.body)
        self._names.leave()

    def visit_While(self, node: ast.While) -> None:
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        if endless and not self._own_only and (not _ends(node) or self._sleeps(node)):
            self._see("wait_loop", node)
        self._in_loop(node, endless)

    def visit_For(self, node: ast.For) -> None:
        self._in_loop(node, False)

    def _in_loop(self, node: ast.While | ast.For, endless: bool) -> None:
        self._loops.append(endless)
        self.generic_visit(node)
        self._loops.pop()

    def _sleeps(self, loop: ast.While) -> bool:
        calls = (each for each in statements(loop.body) if isinstance(each, ast.Call))
        return any(self._names.path_of(each.func) in _SLEEPS for each in calls)

    def visit_Call(self, node: ast.Call) -> None:
        path = self._names.path_of(node.func)
        if path in (CREATE, SEND):
            self._see(path.rpartition(".")[2], node, node.func.end_lineno)
            self._check_duration(path, node)
        else:
            self.visit(node.func)
        if path is None:
            self._call_by_name(node)
        elif not self._own_only:
            self._idiom_or_wait(path, node)
        self._callees.append(path or "")
        for each in [*node.args, *(keyword.value for keyword in node.keywords)]:
            if not self._is_posted(node, each):
                self.visit(each)
        self._callees.pop()

    @staticmethod
    def _is_posted(call: ast.Call, argument: ast.AST) -> bool:
        """Whether a string is the path that a test, or the app itself, posts to: no handler's."""
        return (
            isinstance(argument, ast.Constant)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in _POSTS
            and bool(call.args)
            and call.args[0] is argument
        )

    def _check_duration(self, path: str, node: ast.Call) -> None:
        given = [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "duration_minutes")]
        for each in given if path == CREATE else ():
            if isinstance(each, ast.UnaryOp) and isinstance(each.op, ast.USub):
                self._see("duration_refused", node)
            elif isinstance(each, ast.Constant) and each.value is not None:
                value = each.value
                if not isinstance(value, int) or not 1 <= value <= LONGEST_TOKEN_MINUTES:
                    self._see("duration_refused", node)

    def _call_by_name(self, node: ast.Call) -> None:
        func = node.func
        if not isinstance(func, ast.Attribute):
            return
        if func.attr in _STUB:
            self._see("testbed", node, func.end_lineno)
        elif func.attr in ("create_channel", "send_message") and self._imports_channel:
            base = func.value
            name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
            if "channel" in name.lower() and not (isinstance(base, ast.Name) and self._names.hides(name)):
                self._see("likely_call", node, func.end_lineno)

    def _idiom_or_wait(self, path: str, node: ast.Call) -> None:
        if path in _IDIOM_CALLS:
            self._see(_IDIOM_CALLS[path], node)
        elif path.endswith(_STUB):
            self._see("testbed", node)
        elif _FETCHES.fullmatch(path):
            self._see("wait_fetch", node)
        elif path in _SLEEPS and node.args:
            self._sleep(node)

    def _sleep(self, node: ast.Call) -> None:
        seconds = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
        if isinstance(seconds, int | float) and seconds >= self._deadline:
            self._see("wait_long", node)
        elif any(self._loops):
            # The loop has been named.
            return
        elif self._loops or not isinstance(seconds, int | float) or seconds >= 1:
            self._see("wait_sleep", node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._mention(node):
            self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        self._mention(node)

    def _mention(self, node: ast.Attribute | ast.Name) -> bool:
        """Say of a name of the Channel API that stands for itself; False for all others."""
        if not isinstance(node.ctx, ast.Load):
            return False
        path = self._names.path_of(node)
        if path is None or not (path == CHANNEL or path.startswith(f"{CHANNEL}.")):
            return False
        line = node.end_lineno
        if path == CREATE:
            self._see("create_channel", node, line)
        elif path == SEND:
            deferred = any(each.endswith("deferred.defer") for each in self._callees)
            self._see("send_deferred" if deferred else "send_message", node, line)
        else:
            self._see("channel_name", node, line)
        return True

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if not isinstance(value, str) or not any(word in value for word in _WORDS_OF_STRINGS):
            return
        for topic in presence_paths(value):
            self._see(topic, node)
        last = node.end_lineno or node.lineno
        for topic, line in in_strings("\n".join(self._lines[node.lineno - 1 : last])):
            self._see(topic, node, node.lineno + line - 1)


def _ends(loop: ast.While) -> bool:
    """Whether a loop has an end of its own: it is left, or gives what it has one by one."""
    inner: set[ast.AST] = set()
    for node in statements(loop.body):
        if isinstance(node, ast.Return | ast.Raise | ast.Yield | ast.YieldFrom | ast.Await):
            return True
        if isinstance(node, ast.While | ast.For):
            inner.update(statements(node.body))
        elif isinstance(node, ast.Break) and node not in inner:
            return True
    return False
