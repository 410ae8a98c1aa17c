"""What README and docs tell people to type is what the program takes."""

import ast
import re
import shlex
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

import cryopick
from cryopick.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path) -> list[list[str]]:
    """The words after `cryopick` on every line of the page's console blocks, comments and continued lines taken care of."""
    blocks = re.findall(r"^```(?:console|bash)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    words = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    return [line[1:] for line in words if line and Path(line[0]).name == "cryopick"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_the_page_is_understood(page):
    group = typer.main.get_command(app)
    for words in commands(page):
        context = group.make_context("cryopick", list(words), resilient_parsing=False)
        name, command, rest = group.resolve_command(context, context._protected_args + context.args)
        assert command is not None
        command.make_context(name, rest, parent=context)


def test_the_pages_do_tell_people_to_type_something():
    assert len(commands(ROOT / "README.md")) >= 5
    assert len(commands(ROOT / "docs" / "tutorial.md")) >= 6


def test_readme_has_one_command_for_the_main_job_and_one_for_the_tests():
    text = (ROOT / "README.md").read_text()
    assert len(re.findall(r"^python3 -m venv .*cryopick demo", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^python3 -m venv .*tools/check.py", text, re.MULTILINE)) == 1
    assert "tools/check.py" in (ROOT / ".ci" / "run").read_text()


def test_every_page_of_the_docs_is_in_the_navigation_and_has_no_dead_image():
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [str(page.relative_to(ROOT / "docs")) for page in sorted((ROOT / "docs").rglob("*.md"))]
    assert len(pages) > 5
    assert [page for page in pages if f" {page}\n" not in navigation] == []
    images = [(page, name) for page in PAGES for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())]
    assert [f"{page.name}: {name}" for page, name in images if not (page.parent / name).is_file()] == []


def python_blocks(page: Path) -> list[ast.Module]:
    return [ast.parse(block) for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_of_the_package_in_python_examples_exists(page):
    for node in (node for block in python_blocks(page) for node in ast.walk(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cryopick":
            for name in (alias.name for alias in node.names):
                assert hasattr(import_module(node.module), name) or find_spec(f"{node.module}.{name}"), f"{node.module}.{name}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cryopick":
            assert node.attr in cryopick.__all__, f"cryopick.{node.attr}"


def test_the_pages_do_show_python():
    assert sum(len(python_blocks(page)) for page in PAGES) >= 10
