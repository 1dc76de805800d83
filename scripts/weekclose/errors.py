"""What can go wrong for a person, and the exit code that says which kind it was."""


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
