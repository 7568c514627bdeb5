"""What the names in a Python source stand for, as far as its imports and assignments say: dotted paths."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

CHANNEL = "google.appengine.api.channel"
CREATE, SEND = f"{CHANNEL}.create_channel", f"{CHANNEL}.send_message"
_STAR_OF_CHANNEL = ("create_channel", "send_message")

Scope = dict[str, str | None]
"""Names of one scope and what they stand for; None for a name of the app's own that hides an outer one."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_DEEPEST = 8
_PARAMETER = ""
"""What a parameter stands for: whatever the caller gives."""
_CLOSED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Constant, ast.Load, ast.Store)
"""Nodes with nothing inside that belongs to the scope around them."""
_BINDING = (ast.Import, ast.ImportFrom, ast.Assign)


class AppModules:
    """The app's own modules, by dotted name, each with what its top level has imported or named."""

    def __init__(self) -> None:
        self._scopes: dict[str, Scope] = {}

    def add(self, file: str, scope: Scope) -> None:
        """`file` is a path with slashes from the app's folder."""
        self._scopes[module_of(file)] = scope

    def star(self, module: str, importer: str) -> Scope:
        """What `from module import *` brings."""
        if module.endswith(CHANNEL) or canonical(module) == CHANNEL:
            return {name: f"{CHANNEL}.{name}" for name in _STAR_OF_CHANNEL}
        found = self._find(module, importer)
        return {} if found is None else {name: to for name, to in self._scopes[found].items() if name[:1] != "_"}

    def follow(self, path: str, importer: str) -> str:
        """A dotted path, led on through modules of the app's that have imported what it names."""
        for _ in range(_DEEPEST):
            step = self._step(path, importer)
            if step is None:
                return path
            path = step
        return path

    def _step(self, path: str, importer: str) -> str | None:
        parts = path.split(".")
        for length in range(len(parts) - 1, 0, -1):
            module = self._find(".".join(parts[:length]), importer)
            if module is None:
                continue
            target = self._scopes[module].get(parts[length])
            return None if target is None else ".".join([target, *parts[length + 1 :]])
        return None

    def _find(self, module: str, importer: str) -> str | None:
        """The module of that name: of the app's folder, or beside the one that imports it, as in Python 2."""
        package = importer.rpartition(".")[0]
        beside = f"{package}.{module}" if package else module
        # Behind one another: a module is not its own neighbour's.
        return next((name for name in (beside, module) if name in self._scopes and name != importer), None)


def module_of(file: str) -> str:
    """The dotted name of the module in a file."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def canonical(path: str) -> str:
    """A path in the Channel API's package as one of `CHANNEL` itself; others stay."""
    if path == f"{CHANNEL}.channel" or path.startswith(f"{CHANNEL}.channel."):
        return CHANNEL + path[len(CHANNEL) + len(".channel") :]
    return path


def imported(node: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> Iterator[tuple[str, str]]:
    """Each name that an import binds, and the dotted path that it stands for; "*" for all names of one."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            # "import a.b" binds a.
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        return
    base = node.module or ""
    if node.level:
        package = module.split(".") if is_package else module.split(".")[:-1]
        above = package[: len(package) - (node.level - 1)]
        base = ".".join([*above, *filter(None, [base])])
    for alias in node.names:
        path = f"{base}.{alias.name}" if base else alias.name
        yield (alias.asname or alias.name, base if alias.name == "*" else path)


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """Every node of `body`, and what is in it, but for the insides of functions and classes. In no special order."""
    waiting: list[ast.AST] = [*body]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, _CLOSED):
            continue
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                waiting.append(value)
            elif isinstance(value, list):
                waiting += (each for each in value if isinstance(each, ast.AST))


class ScopedNames:
    """Resolves the names of one source, scope by scope."""

    def __init__(self, file: str, apps: AppModules, self_names: Mapping[str, str] | None = None) -> None:
        self._module = module_of(file)
        self._is_package = file.endswith("__init__.py")
        self._apps = apps
        self._scopes: list[Scope] = []
        self._of_self: dict[str, str] = dict(self_names or {})
        """Attributes of `self` that were given something known, wherever in the file."""

    @property
    def inner(self) -> Scope:
        """The innermost scope."""
        return self._scopes[-1]

    def enter_block(self, body: Sequence[ast.stmt]) -> None:
        """The scope of a module or class, with what its own statements bind."""
        self._scopes.append({})
        self._bind([each for each in statements(body) if isinstance(each, _BINDING)])

    def enter_function(self, node: Function) -> None:
        """The scope of a function: its parameters and variables hide what is outside."""
        arguments = node.args
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        names = [each.arg for each in (*listed, arguments.vararg, arguments.kwarg) if each is not None]
        scope: Scope = dict.fromkeys(names, _PARAMETER)
        shared: set[str] = set()
        binding: list[ast.AST] = []
        for each in () if isinstance(node, ast.Lambda) else statements(node.body):
            if isinstance(each, ast.Name):
                if isinstance(each.ctx, ast.Store):
                    scope[each.id] = None
            elif isinstance(each, _BINDING):
                binding.append(each)
            elif isinstance(each, ast.Global | ast.Nonlocal):
                shared.update(each.names)
        for name in shared:
            scope.pop(name, None)
        self._scopes.append(scope)
        self._bind(binding)

    def leave(self) -> None:
        """The innermost scope ends."""
        self._scopes.pop()

    def _bind(self, nodes: Sequence[ast.AST]) -> None:
        nodes = sorted(nodes, key=lambda node: getattr(node, "lineno", 0))
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._bind_import(node)
        for node in nodes:
            if isinstance(node, ast.Assign) and (path := self.path_of(node.value)) is not None:
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.inner[target.id] = path
                    elif (attribute := _of_self(target)) is not None:
                        self._of_self[attribute] = path

    def _bind_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for name, path in imported(node, self._module, self._is_package):
            if name == "*":
                self.inner.update(self._apps.star(path, self._module))
            elif not (self.inner.get(name) or "").startswith("google.appengine."):
                # What stands in for it where it cannot be imported does not count.
                self.inner[name] = path

    def path_of(self, node: ast.AST) -> str | None:
        """The dotted path that an expression stands for; None for what is not known."""
        path: str | None
        if isinstance(node, ast.Name):
            path = self._meaning(node.id) or None
        elif isinstance(node, ast.Attribute):
            of_self = _of_self(node)
            if of_self is not None and of_self in self._of_self:
                path = self._of_self[of_self]
            else:
                base = self.path_of(node.value)
                path = None if base is None else f"{base}.{node.attr}"
        else:
            path = self._by_getattr(node)
        return None if path is None else canonical(self._apps.follow(path, self._module))

    def hides(self, name: str) -> bool:
        """Whether a name is a variable of the app's own, and nobody's parameter."""
        scope = next((each for each in reversed(self._scopes) if name in each), {})
        return name in scope and scope[name] is None

    def _meaning(self, name: str) -> str | None:
        scope = next((each for each in reversed(self._scopes) if name in each), None)
        return None if scope is None else scope[name]

    def _by_getattr(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            match node.args:
                case [base, ast.Constant(value=str(name)), *_]:
                    path = self.path_of(base)
                    return None if path is None else f"{path}.{name}"
        return None


def _of_self(node: ast.AST) -> str | None:
    """`x` of `self.x` or `cls.x`."""
    match node:
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
            return name
    return None
