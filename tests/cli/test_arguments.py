"""Groups of options: one dataclass that several commands take apart."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cryopick.cli.arguments import with_groups


@dataclass(frozen=True, kw_only=True)
class Options:
    """Two options."""

    size: Annotated[int, typer.Option(min=1)] = 3
    words: Annotated[list[str] | None, typer.Option("--set")] = None


def run(*words: str) -> list[object]:
    seen: list[object] = []

    @with_groups
    def command(name: str, options: Options, loud: bool = False) -> None:
        """Record the arguments."""
        seen.append((name, options, loud))

    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, list(words))
    return [*seen, result.exit_code]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ann"], [("ann", Options(), False), 0]),
        (["ann", "--size", "5", "--set", "a", "--set", "b", "--loud"], [("ann", Options(size=5, words=["a", "b"]), True), 0]),
        (["ann", "--size", "0"], [2]),
    ],
)
def test_each_field_of_a_group_is_an_option_of_the_command(words, expected):
    assert run(*words) == expected
