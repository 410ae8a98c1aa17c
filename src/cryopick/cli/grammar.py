"""The grammar of the commands: errors in one line with the nearest name, and spellings of the last version."""

import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from cryopick.cli.console import warn
from cryopick.errors import nearest

BAD_USAGE, INTERRUPTED = 2, 130
PLAIN = {
    r"^Option '(.*)' requires an argument": r"\1 needs a value",
    r"^Option '(.*)' does not take a value": r"\1 takes no value",
    r"^Got unexpected extra arguments? ?\(?s?\)? ?\((.*)\)": r"unexpected argument: \1",
    r"^a valid number.*": "a number",
    r"^a valid integer.*": "an integer",
    r"^greater than or equal to ": "at least ",
    r"^less than or equal to ": "at most ",
}
"""Patterns in messages of typer and their replacements."""
RANGE = re.compile(r"; [\d.<=]*x[<>]=[\d.]+|  \[[\d.<=]*x[<>]=[\d.]+\]")
"""Ranges that typer appends to the help of numbers, such as `; x>=1`."""


@dataclass(frozen=True)
class Deprecated:
    """Former spellings that a command accepts for one version.

    Attributes
    ----------
    options : new names by old ones.
    bare_settings : whether words with "=" that are not files are settings.
    simulate : whether the word `simulate` in place of DATA is the option `--simulate`.
    """

    options: dict[str, str] = field(default_factory=dict)
    bare_settings: bool = False
    simulate: bool = False


FORMAT_TO = Deprecated({"--format": "--to"})
DEPRECATED = {
    "pick": FORMAT_TO,
    "watch": FORMAT_TO,
    "relion": FORMAT_TO,
    "denoise": Deprecated({"--format": "--to", "--mode": "--preset"}),
    "review": Deprecated({"--export": "--to"}),
    "evaluate": Deprecated({"--format-found": "--from", "--format-truth": "--truth-from"}),
    "finetune": Deprecated({"--format": "--from"}, bare_settings=True),
    "train": Deprecated(bare_settings=True, simulate=True),
    "ablate": Deprecated(bare_settings=True, simulate=True),
}


class Command(TyperCommand):
    """A command that also accepts spellings of the last version."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        old = DEPRECATED.get(self.name or "")
        return super().parse_args(ctx, args if old is None else self._modern(args, old))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line: `[OPTIONS] DATA [TRUTH]`."""
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        return ["[OPTIONS]", *(placeholder(one) if one.required else f"[{placeholder(one)}]" for one in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options with their help, without the ranges of numbers."""
        records: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for one in self.get_params(ctx):
            if record := one.get_help_record(ctx):
                name = placeholder(one) if one.param_type_name == "argument" else record[0]
                records[one.param_type_name].append((name, RANGE.sub("", record[1])))
        for title, rows in records.items():
            if rows:
                with formatter.section(f"{title.capitalize()}s"):
                    formatter.write_dl(rows)

    def _modern(self, args: Sequence[str], old: Deprecated) -> list[str]:
        """Translate arguments to the current spelling; a line on stderr says what has changed."""
        arity = {name: one.nargs for one in self.params if not getattr(one, "is_flag", False) for name in one.opts}
        words, changes = iter(args), []
        modern: list[str] = []
        for word in words:
            name, equals, value = word.partition("=")
            new, given = [word], []
            if name in old.options:
                new = [old.options[name] + equals + value]
            elif old.bare_settings and equals and name and not word.startswith("-") and not Path(word).exists():
                new = ["--set", word]
            elif old.simulate and word == "simulate" and not Path(word).exists():
                new = ["--simulate"]
            if new[0].startswith("-") and not equals:
                given = list(islice(words, arity.get(new[0], 0)))
            changes += [] if new == [word] else [(shlex.join([word, *given]), shlex.join([*new, *given]))]
            modern += [*new, *given]
        if changes:
            before, after = (" ".join(part) for part in zip(*changes, strict=True))
            warn(f"`{before}` is deprecated and will be removed in the next version; write `{after}`")
        return modern


class Commands(TyperGroup):
    """A group of commands whose usage errors are one line on stderr with exit code 2."""

    def main(self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any) -> Any:  # type: ignore[override]
        """See `click.Command.main`."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(given, standalone_mode=False, **extra)
        except Exception as error:
            if standalone_mode and type(error).__name__ == "Abort":  # Ctrl-C, in older versions of typer
                sys.exit(INTERRUPTED)
            if not standalone_mode or not hasattr(error, "format_message"):
                raise
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()  # type: ignore[attr-defined]
            else:
                warn(usage_message(error, given))
            sys.exit(BAD_USAGE)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See `click.Group.resolve_command`; an unknown command is an error that offers the nearest one."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"there is no command `{_path(ctx)} {args[0]}`{offer(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def placeholder(argument: Any) -> str:
    """Return the name of a positional argument in help and errors: `DATA`, or `INPUT...` for several."""
    return f"{argument.metavar or argument.name.upper()}{'...' if argument.nargs == -1 else ''}"


def offer(name: str, names: Iterable[str]) -> str:
    """Suggest a name like `errors.nearest`, without quotes: `; did you mean pick?`, or nothing if none is similar."""
    return nearest(name, names).replace("'", "").removesuffix(".")


def usage_message(error: Any, args: Sequence[str]) -> str:
    """Return the error in the arguments, in one line that names the option as it was typed."""
    context, option, parameter = error.ctx, getattr(error, "option_name", ""), getattr(error, "param", None)
    kind = type(error).__name__
    if kind == "NoSuchOption":
        known = [name for one in context.command.params for name in one.opts if not getattr(one, "hidden", False)]
        return f"no option {option}{offer(option, [*known, '--help'])}"
    if parameter is None:
        return _plain(str(error.message).removesuffix("."))
    typed = _typed(parameter, args)
    if kind == "MissingParameter":
        return f"{typed} is missing; see `{_path(context)} -h`"
    said = str(error.message).removesuffix(".")
    value = _value(parameter, args)
    got = "" if value is None else f", got {value}"
    if choice := re.search(r"'(.*)' is not one of (.*)$", said):
        choices = re.findall(r"'([^']*)'", choice[2])
        return f"{typed} must be {', '.join(choices[:-1])} or {choices[-1]}, got {choice[1]}{offer(choice[1], choices)}"
    if said.startswith("Input should be "):
        return f"{typed} must be {_plain(said.removeprefix('Input should be '))}{got}"
    return f"{typed} {said}" if said.startswith("must ") else f"{typed}: {said}"


def _path(context: Any) -> str:
    """Return the command of a context as typed, however the program was started: `cryopick dataset coco`."""
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return " ".join(["cryopick", *names])


def _plain(said: str) -> str:
    """Translate a message of typer into plain words."""
    return next((re.sub(pattern, words, said) for pattern, words in PLAIN.items() if re.search(pattern, said)), said)


def _typed(parameter: Any, args: Sequence[str]) -> str:
    """Return the name of a parameter as spelt in the arguments, or else its own."""
    if parameter.param_type_name == "argument":
        return placeholder(parameter)
    names = [*parameter.opts, *parameter.secondary_opts]
    used = [word.partition("=")[0] for word in args]
    return str(next((name for name in names if name in used), max(names, key=len)))


def _value(parameter: Any, args: Sequence[str]) -> str | None:
    """Return the last value of an option as typed; None for arguments."""
    found = None
    for word, following in zip(args, [*args[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in parameter.opts:
            found = value if equals else following
    return found
