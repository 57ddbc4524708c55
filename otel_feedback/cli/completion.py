"""`otel-feedback completion`: scripts for bash, zsh and fish, made from the parser, so that they know what it knows.

Files are completed where an option or an argument takes some; what a script holds is as old as the script.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from otel_feedback.cli.arguments import Parser
from otel_feedback.cli.reading.names import GROUPS

__all__ = ["script"]

NAME = "otel-feedback"
FILES = frozenset(
    {
        "--export",
        "--from",
        "--jars",
        "--out",
        "--rules",
        "--savepoint",
        "--secrets",
        "--selector",
        "--slo",
        "--state",
        "--store",
        "--to",
        "--token-file",
        "file",
        "path",
    }
)
"""Options and arguments whose values are files or folders."""

VALUES = {"--by": list(GROUPS), "--from": ["topic", "store"]}
"""Of options that take other values, too."""


class _Command(NamedTuple):
    words: tuple[str, ...]  # `journal`, `inspect`; none: the program itself
    names: dict[str, str]  # what may come next, and what it is about
    values: dict[str, list[str]]  # of options: what they take; of those that take files or anything: nothing
    takes_files: bool


def script(shell: str, parser: Parser) -> str:
    """Return the script for a shell: bash, zsh or fish."""
    commands = list(_commands(parser, ()))
    return _fish(commands) if shell == "fish" else _bash(commands, is_zsh=shell == "zsh")


def _commands(parser: Parser, words: tuple[str, ...]) -> Iterator[_Command]:
    below = parser.commands()
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    takes_files = False
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
            names.update({each.dest: each.help or "" for each in action._get_subactions()})  # pyright: ignore[reportPrivateUsage]
            continue
        if not action.option_strings:
            names.update({str(choice): "" for choice in action.choices or ()})
            takes_files = takes_files or action.dest in FILES
            continue
        for option in action.option_strings:
            if option.startswith("--"):
                names[option] = " ".join((action.help or "").split())
            if action.nargs != 0:
                values[option] = [str(choice) for choice in action.choices or VALUES.get(option, ())]
    yield _Command(words, names, values, takes_files)
    for name, command in below.items():
        yield from _commands(command, (*words, name))


def _bash(commands: list[_Command], *, is_zsh: bool) -> str:
    """Return a script for bash, which zsh reads with its own bashcompinit."""

    def case(words: str, names: list[str], *, files: bool, takes: bool) -> str:
        said = shlex.quote(" ".join(names))
        return f"    {shlex.quote(words)}) words={said}; files={int(files)}; takes={int(takes)} ;;"

    cases = "\n".join(
        case(" ".join(command.words), list(command.names), files=command.takes_files, takes=False)
        for command in commands
    )
    values = "\n".join(
        case(" ".join((*command.words, option)).strip(), choices, files=option in FILES, takes=True)
        for command in commands
        for option, choices in command.values.items()
        if command.words
    )
    known = " ".join(shlex.quote(" ".join(command.words)) for command in commands if command.words)
    head = "#compdef otel-feedback\nautoload -U +X bashcompinit && bashcompinit\n" if is_zsh else ""
    return f"""{head}_otel_feedback() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" command="" word known words="" files=0 takes=0
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    for known in {known}; do
      if [[ "${{command:+$command }}$word" == "$known" ]]; then command="$known"; fi
    done
  done
  case "$command $previous" in
{values}
  esac
  if [[ $takes == 0 ]]; then
    case "$command" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ $files == 1 && $current != -* ]]; then COMPREPLY+=($(compgen -f -- "$current")); fi
}}
complete -o filenames -F _otel_feedback {NAME}
"""


def _fish(commands: list[_Command]) -> str:
    lines = [f"complete -c {NAME} -f"]
    for command in commands:
        below = [other.words[-1] for other in commands if other.words[:-1] == command.words and other.words]
        seen = " ".join(f"; and __fish_seen_subcommand_from {word}" for word in command.words).removeprefix("; and ")
        not_yet = f"not __fish_seen_subcommand_from {' '.join(below)}" if below else ""
        when = "; and ".join(each for each in (seen, not_yet) if each)
        condition = f" -n {shlex.quote(when)}" if when else ""
        for name, about in command.names.items():
            said = f" -d {shlex.quote(about)}" if about else ""
            if not name.startswith("--"):
                lines.append(f"complete -c {NAME}{condition} -a {shlex.quote(name)}{said}")
                continue
            choices = command.values.get(name)
            takes = "" if choices is None else " -r"
            takes += " -F" if name in FILES else " -f" if choices else ""
            takes += f" -a {shlex.quote(' '.join(choices))}" if choices else ""
            lines.append(f"complete -c {NAME}{condition} -l {name[2:]}{takes}{said}")
        if command.takes_files:
            lines.append(f"complete -c {NAME}{condition} -F")
    return "\n".join(lines) + "\n"
