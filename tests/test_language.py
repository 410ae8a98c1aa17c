"""Phrases that readers stumbled over stay out of help, errors, docstrings, pages and docs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BANNED = {
    r"\bpictures?\b": "image, micrograph, panel or figure",
    r"\b(go|goes|going|gone|went) on with\b|\bgoes on\b": "resume or continue",
    r"\bnobody (says|knows)\b|\bwhat is told\b": "unknown, or not given",
    r"\blearnt?\b|\blearns\b|\btaught\b|\bteach(es)?\b": "train",
    r"\blikeness\b|\bsureness\b|\bhumble\b": "similarity, confidence, under-confident",
    r"\bglimpses?\b": "thumbnail",
    r"\bmourn|\bstrike off\b|\bhired?\b|\bblamed?\b": "requeue, exclude, start, attribute",
    r"\bfaithful\b": "as published",
    r"\bmend(s|ed|ing)?\b": "correct, repair",
    r"\bcannot be(?=[;,.:]|$)": "say what the value must be",
    r"\bpicks are worth\b": "map resolution from picks",
    r"\bnext to a truth\b": "against ground truth",
    r"\bof all random numbers\b": "random seed",
    r"\bis not its business\b": "not supported",
    r"\bthe house\b|\ba room\b": "the package, a module",
    r"\b(is|are|was|were) told\b|\btells\b": "given, or shows",
    r"\bkept (aside|apart)\b": "held out",
    r"\bheld against\b": "compared with",
    r"\bmade ready\b": "prepared",
    r"\bfor want of\b": "without",
    r"\bcompletely or not at all\b": "atomically",
    r"\bhalf-written\b": "incomplete",
    r"\bweights to start from\b": "initial weights",
    r"\b(un)?known here\b": "known, or unknown",
    r"\bthat is none\b": "any other file",
    r"\bgo(es)? by\b": "is determined by",
}
DOCS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "changes").glob("*.md")),
]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = [path for kind in ("html", "js", "css", "yaml") for path in sorted((ROOT / "src").rglob(f"*.{kind}"))]


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the text of everything in a file that a user can read; names of things in code are none of it."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield node.lineno, without_code(node.value)
    elif path.suffix == ".md":
        blocks = re.split(r"(^```.*?^```)", text, flags=re.MULTILINE | re.DOTALL)
        line = 1
        for block in blocks:
            if not block.startswith("```"):
                for number, words in enumerate(block.splitlines()):
                    yield line + number, without_code(words)
            line += block.count("\n")
    else:
        yield from enumerate(map(without_code, text.splitlines()), start=1)


def without_code(text: str) -> str:
    """A text without what stands between backticks, and without addresses and names with underscores, points or slashes."""
    text = re.sub(r"``.*?``|`[^`]*`|\]\([^)]*\)|https?://\S+", " ", text, flags=re.DOTALL)
    return re.sub(r"\S*[\w][_/.=][\w]\S*", " ", text)


@pytest.mark.parametrize("phrase", BANNED, ids=list(BANNED.values()))
def test_a_phrase_that_readers_stumbled_over_does_not_come_back(phrase):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]!r} (write: {BANNED[phrase]})"
        for path in (*DOCS, *SOURCES, *PAGES)
        for line, text in sentences(path)
        for match in re.finditer(phrase, text, re.IGNORECASE)
    ]
    assert found == []


SUMMARIES = {
    "function": r"(The|An?|All|Whether|What|How|Which|Where|Why|Who|When|As|It|None)\b",
    "class": r"(Whether|What|How|Which|Where|Why|Who|When|Tells)\b",
}


def summaries() -> Iterator[tuple[str, str, str]]:
    """What is documented, where, and the first line of its docstring; properties are nouns and none of them."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            text, is_property = ast.get_docstring(node), any("property" in ast.unparse(one) for one in node.decorator_list)
            if text and not is_property:
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                yield kind, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", text.splitlines()[0]


@pytest.mark.parametrize("kind", SUMMARIES)
def test_summaries_of_functions_start_with_a_verb_and_those_of_classes_say_what_they_are(kind):
    found = [(place, line) for of, place, line in summaries() if of == kind]
    assert len(found) > 100
    assert [f"{place}: {line}" for place, line in found if re.match(SUMMARIES[kind], line)] == []


def test_the_search_reads_docs_code_and_pages():
    assert min(map(len, (DOCS, SOURCES, PAGES))) > 10
    assert sum(1 for path in SOURCES for _ in sentences(path)) > 1000
    example = [*sentences(ROOT / "src" / "cryopick" / "errors.py")]
    assert any("did you mean" in text for _, text in example)
