"""What can go wrong for a person, and the exit code that says which kind it was."""

from collections.abc import Sequence


class WeekcloseError(Exception):
    """The command failed: the message is one line that says which thing, which value and what to do."""

    exit_code = 1


class UsageError(WeekcloseError):
    """The command was called with something it cannot work with."""

    exit_code = 2


class Refused(WeekcloseError):
    """A guard said no: checks are red, content changed, somebody else has to decide."""

    exit_code = 3


class SecondFactorNeeded(Refused):
    """All that is missing is a code of the actor's authenticator."""


class OutcomeUnknown(WeekcloseError):
    """The rail's answer is not known: run the same command again later."""

    exit_code = 4


class NothingToDo(WeekcloseError):
    """There is nothing to do."""

    exit_code = 5


def require_one_of(option: str, word: str | None, known: Sequence[str]) -> None:
    """Raises UsageError for a word that is not known; None is none."""
    if word is not None and word not in known:
        raise UsageError(f"{option} {word!r} is none of {', '.join(known)}")
