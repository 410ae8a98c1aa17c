"""Everything that Python code can reach is documented: modules, classes, functions, methods, properties and arguments."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import cryopick

PACKAGE = Path(cryopick.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not path.name.startswith("_") or path.name == "__init__.py")
QUESTION_WORDS = {"What", "How", "Which", "Who", "Whose", "Where", "When", "Why"}
NAMES = [name for name in cryopick.__all__ if name != "__version__"]

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(node: ast.AST, name: str) -> Iterator[tuple[str, Documented]]:
    """The public classes, functions, methods and properties within a node, by their qualified names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_") or any(map(shares_a_docstring, child.decorator_list)):
                continue
            yield f"{name}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{name}.{child.name}")
        elif isinstance(child, ast.If | ast.Try):
            yield from public(child, name)


def shares_a_docstring(decorator: ast.expr) -> bool:
    """Whether a decorator marks one of several definitions, of which another has the docstring."""
    return (isinstance(decorator, ast.Name) and decorator.id == "overload") or isinstance(decorator, ast.Attribute)


def everything() -> list[tuple[str, Documented]]:
    found: list[tuple[str, Documented]] = []
    for path in MODULES:
        module = ast.parse(path.read_text(encoding="utf-8"))
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        found += [(name, module), *public(module, name)]
    return found


def test_every_public_module_class_function_method_and_property_has_a_docstring():
    found = everything()
    assert len(found) > 1000
    assert [f"{name}, line {getattr(node, 'lineno', 1)}" for name, node in found if not ast.get_docstring(node)] == []


def test_a_docstring_says_what_something_is_or_does_and_does_not_ask():
    summaries = [(name, (ast.get_docstring(node) or "").split("\n")[0]) for name, node in everything()]
    assert [f"{name}: {summary}" for name, summary in summaries if summary.split(" ")[0] in QUESTION_WORDS] == []


def test_the_walk_finds_what_is_not_documented():
    code = "class A:\n  'x'\n  def b(self): ...\n  @property\n  def c(self): ...\n  def _d(self): ...\nif 1:\n  def e(): 'x'\n"
    assert [(name, bool(ast.get_docstring(node))) for name, node in public(ast.parse(code), "m")] == [
        ("m.A", True),
        ("m.A.b", False),
        ("m.A.c", False),
        ("m.e", True),
    ]


def members(name: str) -> Iterator[tuple[str, object, str]]:
    """A public name and, of a class, its methods: each with the docstrings in which its arguments may be explained."""
    thing = getattr(cryopick, name)
    about = inspect.getdoc(thing) or ""
    if not inspect.isclass(thing):
        yield name, thing, about
        return
    yield name, thing, about
    for each, member in vars(thing).items():
        function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if inspect.isfunction(function) and not each.startswith("_"):
            yield f"{name}.{each}", function, inspect.getdoc(function) or ""


def explained(parameter: str, docstring: str) -> bool:
    """Whether an argument has a line of its own, alone or with others, or stands in backticks."""
    line = rf"^(?:\w+, )*{parameter}(?:, \w+)* : \S"
    return bool(re.search(line, docstring, re.MULTILINE) or re.search(rf"`[^`]*\b{parameter}\b[^`]*`", docstring))


def parameters(thing: object) -> list[str]:
    if getattr(thing, "_is_protocol", False):
        return []
    try:
        signature = inspect.signature(thing)  # type: ignore[arg-type]
    except ValueError:  # exceptions without an __init__ of their own
        return []
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in signature.parameters.values() if each.kind in plain and each.name != "self"]


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_of_a_public_name_is_explained(name):
    unexplained = [
        f"{full}({each})" for full, thing, about in members(name) for each in parameters(thing) if not explained(each, about)
    ]
    assert unexplained == []


def test_many_arguments_are_checked_and_a_missing_one_is_noticed():
    assert sum(len(parameters(thing)) for name in NAMES for _, thing, _ in members(name)) > 100
    assert explained("x", "Attributes\n----------\nx, y : places")
    assert explained("keep", "The picks of a mask `keep`, in its order.")
    assert not explained("x", "Attributes\n----------\nxy : places, x first")
