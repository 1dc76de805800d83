"""The docs are held to account: the commands they show exist with their options, links lead somewhere."""

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from weekclose.cli import app
from weekclose.settings import project_dir

PAGES = sorted([*project_dir().glob("*.md"), *project_dir().glob("docs/*.md")])
FENCED = re.compile(r"^ *```[a-z]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"^\s*(?:\$ )?(?:[^\s:]*/)?weekclose [a-z]|\.venv/bin/weekclose ")
MENTIONED = re.compile(r"`weekclose ([a-z][^`]*)`")
PROOF = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/python/\w+\.py)\)")
COMMAND: Any = typer.main.get_command(app)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def shown_commands(page: Path) -> Iterator[tuple[str, ...]]:
    """The commands in a page's examples, each as its words."""
    for block in FENCED.findall(page.read_text()):
        for line in block.splitlines():
            if TYPED.search(line):
                yield from commands_in(line)


def commands_in(line: str) -> Iterator[tuple[str, ...]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    for word in words:
        if word.startswith("$("):
            yield from commands_in(word[2:-1])
    for number, word in enumerate(words):
        if word == "weekclose" or word.endswith("bin/weekclose"):
            rest = words[number + 1 :]
            yield tuple(itertools.takewhile(lambda each: not set(each) <= set("&|;(){}<>"), rest))


EXAMPLES = [(page.name, command) for page in PAGES for command in shown_commands(page)]


@pytest.mark.parametrize(("page", "command"), EXAMPLES)
def test_a_command_of_the_docs_exists(page: str, command: tuple[str, ...]) -> None:
    must_exist(page, command)


def must_exist(where: str, command: tuple[str, ...]) -> None:
    """Parsed as the command itself would, and not run."""
    found, words = named(where, command)
    found.make_context(found.name, words)


def named(where: str, command: tuple[str, ...]) -> tuple[Any, list[str]]:
    """The command that the first words name, and the words after them."""
    words = list(command)
    found = COMMAND
    # A group may be a command too, like `weekclose queue`.
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in found.commands, f"{where}: {name}"
        found = found.commands[name]
    return found, words


def test_a_command_in_the_text_exists() -> None:
    """There it may lack what it is about, and stand for a group of commands."""
    mentioned = [(page.name, words) for page in PAGES for words in MENTIONED.findall(page.read_text())]
    assert len(mentioned) > 60
    for page, words in mentioned:
        found, rest = named(page, tuple(words.split()))
        options = {option for each in found.params for option in each.opts}
        assert {word for word in rest if word.startswith("--")} <= options, f"{page}: weekclose {words}"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 40
    assert len({command for page, command in EXAMPLES if page == "runbooks.md"}) > 15


def test_what_the_matrix_says_is_said_and_proved() -> None:
    """Each row has a message that the code has, and a test that exists."""
    text = (project_dir() / "docs" / "controls.md").read_text()
    rows = [line for line in text.splitlines() if "../tests/python/" in line]
    assert len(rows) > 50
    sources = [*project_dir().glob("migrations/*.sql"), *project_dir().glob("scripts/weekclose/*.py")]
    said = " ".join(map(messages, sources))
    for row in rows:
        _, _, _, message, code, proof, _ = row.split("|")
        for piece in re.split(r"\.\.\.", message.strip(" `")):
            assert piece.strip() in said, row
        assert code.strip() in {"2", "3", "5"}
        [(test, module)] = PROOF.findall(proof)
        body = ast.parse((project_dir() / module).read_text()).body
        assert test in {each.name for each in body if isinstance(each, ast.FunctionDef)}, row


def messages(source: Path) -> str:
    """A source's text in which a message stands as it is read: literals in one piece, quotes as they are."""
    return re.sub(r"\"\s*f?\"", "", source.read_text()).replace("''", "'")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_of_the_docs_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        other = page.parent / target if target else page
        assert other.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(other), f"{page.name}: {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """What a page's headings are linked as."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
