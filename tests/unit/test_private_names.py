"""Names of OpenTelemetry that are not public are read in `otel_feedback.sdk.compat` and nowhere else."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest

import otel_feedback
from tests.support import ROOT

PACKAGE = Path(otel_feedback.__file__).parent
ROOM = PACKAGE / "sdk" / "compat"
THEIRS = "opentelemetry"
READ_BY_NAME = frozenset({"getattr", "hasattr", "setattr", "delattr", "attrgetter", "methodcaller"})


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@cache
def their_names() -> frozenset[str]:
    """All private names in the packages of OpenTelemetry that this one depends on."""
    files = [
        file
        for name in (
            "attributes",
            "context",
            "trace",
            "metrics",
            "sdk",
            "exporter.otlp",
            "proto",
            "propagate",
            "baggage",
        )
        for place in find_spec(f"{THEIRS}.{name}").submodule_search_locations or ()  # type: ignore[union-attr] # pyright: ignore[reportOptionalMemberAccess]
        for file in Path(place).rglob("*.py")
    ]
    return frozenset().union(*(names_in(ast.parse(file.read_text("utf-8"))) for file in files))


def names_in(tree: ast.AST) -> frozenset[str]:
    """Private names that are read, set or defined in it."""
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return frozenset(filter(is_private, found))


def names_set_in(tree: ast.AST) -> frozenset[str]:
    """Private names that something in it has of its own: what it sets, defines, or has a slot for."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign) and any(getattr(one, "id", "") == "__slots__" for one in node.targets):
            found |= {str(one.value) for one in ast.walk(node.value) if isinstance(one, ast.Constant)}
    return frozenset(filter(is_private, found))


class Reading(ast.NodeVisitor):
    """Finds where a module reads private names of OpenTelemetry.

    By what they are called, where nobody here has one that is called so; and by whose they are, as far as a text tells:
    what is imported, what is annotated as a class of theirs, what is taken out of such, and what `self` inherits.
    """

    def __init__(self, tree: ast.Module, ours: frozenset[str]) -> None:
        self.found: list[str] = []
        self._ours = ours
        self._imported: dict[str, object] = {}
        self._of_them: list[set[str]] = [set()]
        self._inherited: list[frozenset[str]] = [frozenset()]
        self.visit(tree)

    def _tell(self, node: ast.AST, name: str) -> None:
        self.found.append(f"line {getattr(node, 'lineno', 0)}: {name}")

    def _is_theirs(self, node: ast.AST | None) -> bool:
        """Tell whether an expression begins with something of theirs."""
        while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
            called = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and called == "cast" and not _is_any(node.args[0]):
                return self._is_annotated(node.args[0])
            if isinstance(node, ast.Call) and called in ("cast", "vars"):
                node = node.args[-1]
            else:
                node = node.func if isinstance(node, ast.Call) else node.value
        return isinstance(node, ast.Name) and any(node.id in names for names in self._of_them)

    def _is_annotated(self, annotation: ast.AST | None) -> bool:
        """Tell whether something is said to be of a class of theirs."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value)
        return annotation is not None and any(
            isinstance(node, ast.Name) and node.id in self._imported for node in ast.walk(annotation)
        )

    def visit_Import(self, node: ast.Import) -> None:
        for each in node.names:
            if each.name.split(".")[0] == THEIRS:
                self._of_them[0].add(each.asname or THEIRS)
                self._check_path(node, each.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if module.split(".")[0] != THEIRS:
            return
        self._check_path(node, module)
        for each in node.names:
            self._check_path(node, each.name)
            self._of_them[0].add(each.asname or each.name)
            self._imported[each.asname or each.name] = getattr(import_module(module), each.name, None)

    def _check_path(self, node: ast.AST, path: str) -> None:
        for name in filter(is_private, path.split(".")):
            self._tell(node, name)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [
            self._imported[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in self._imported
        ]
        private = frozenset[str]().union(
            *(
                names_in(ast.parse(dedent(inspect.getsource(kind))))
                for base in bases
                if isinstance(base, type)
                for kind in base.__mro__
                if kind.__module__.split(".")[0] == THEIRS
            )
        )
        self._inherited.append(private)
        self.generic_visit(node)
        self._inherited.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self._of_them.append({each.arg for each in given if self._is_annotated(each.annotation)})
        self.generic_visit(node)
        self._of_them.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 # as `ast` calls it

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            pairs: Iterable[tuple[ast.expr, ast.expr]] = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=False)
            self._of_them[-1].update(
                to.id for to, value in pairs if isinstance(to, ast.Name) and self._is_theirs(value)
            )

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        theirs = self._is_theirs(node.value) if _is_any(node.annotation) else self._is_annotated(node.annotation)
        if isinstance(node.target, ast.Name) and theirs:
            self._of_them[-1].add(node.target.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if is_private(node.attr):
            self._check(node, node.value, node.attr)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        for given in node.args if called in READ_BY_NAME else ():
            if isinstance(given, ast.Constant) and isinstance(given.value, str):
                for name in filter(is_private, given.value.split(".")):
                    self._check(node, node.args[0], name)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.generic_visit(node)
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        of_vars = isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "vars"
        if of_vars and isinstance(key, str) and is_private(key):
            self._check(node, node.value, key)

    def _check(self, node: ast.AST, whose: ast.AST, name: str) -> None:
        is_own = isinstance(whose, ast.Name) and whose.id in {"self", "cls"}
        if is_own or _is_super(whose):
            if name in self._inherited[-1]:
                self._tell(node, name)
        elif self._is_theirs(whose) or (name in their_names() and name not in self._ours):
            self._tell(node, name)


def _is_any(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "Any"


def _is_super(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def modules() -> Iterator[Path]:
    return (file for file in sorted(PACKAGE.rglob("*.py")) if ROOM not in file.parents)


def read(text: str, *ours: str) -> list[str]:
    tree = ast.parse(dedent(text))
    return Reading(tree, names_set_in(tree).union(ours)).found


def test_private_names_of_opentelemetry_are_read_in_one_room_only() -> None:
    trees = {file: ast.parse(file.read_text("utf-8")) for file in modules()}
    ours = frozenset[str]().union(*map(names_set_in, trees.values()))
    found = {
        str(file.relative_to(ROOT)): read_there
        for file, tree in trees.items()
        if (read_there := Reading(tree, ours).found)
    }
    assert found == {}


def test_what_the_room_is_for_is_seen() -> None:
    """Each of its modules that reads such a name would be named, if it stood elsewhere."""
    seen = {file.stem for file in ROOM.glob("*.py") if Reading(ast.parse(file.read_text("utf-8")), frozenset()).found}
    assert seen == {"attributes", "contexts", "hearers", "held", "suppressing", "tracers"}


@pytest.mark.parametrize(
    "text",
    [
        "from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY",
        "from opentelemetry.sdk._logs import LogRecord",
        "import opentelemetry.sdk._shared_internal",
        "from opentelemetry import context\nruntime = context._RUNTIME_CONTEXT",
        "from opentelemetry import context\nruntime = getattr(context, '_RUNTIME_CONTEXT')",
        "from opentelemetry import context\nruntime = vars(context)['_RUNTIME_CONTEXT']",
        """
        from opentelemetry.sdk.trace import Span
        class Ours:
            _parent = None
        def above(span: Span | None):
            own: Any = span
            held, kind = own.context, own.kind
            return held._parent
        """,
        """
        from opentelemetry.sdk.trace import Span
        def above(span: "Span"):
            return cast(Any, span)._parent
        """,
        """
        from opentelemetry.sdk.trace import Span as AnySpan
        class Ours(AnySpan):
            def above(self):
                return self._parent
        """,
        """
        from opentelemetry.sdk.trace import Span
        class Ours(Span):
            def end(self):
                super()._end_time = 1
        """,
        "def dropped(attributes):\n    return attributes._immutable",
    ],
)  # fmt: skip
def test_a_module_that_reads_one_is_found(text: str) -> None:
    assert len(read(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        """
        from opentelemetry.sdk.trace.export import SpanExporter
        class Ours(SpanExporter):
            def export(self, spans):
                self._channel = spans
        """,
        """
        from opentelemetry import trace
        class Ours:
            def __init__(self):
                self._parent = trace.get_current_span()
        def above(key):
            act: Ours | None = trace.get_value(key)
            while act is not None:
                act = cast("Ours | None", act._parent)
            return act._parent
        """,
        "import os\nos._exit(0)",
    ],
)  # fmt: skip
def test_names_of_our_own_are_passed_over(text: str) -> None:
    assert read(text) == []
