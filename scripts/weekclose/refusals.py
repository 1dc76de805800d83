"""The database's own refusals, as the errors that the command exits with."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from weekclose.errors import NothingToDo, OutcomeUnknown, Refused, SecondFactorNeeded, WeekcloseError

# The SQLSTATEs that the functions of schema payouts raise.
REFUSALS: dict[str, type[WeekcloseError]] = {
    "WC003": Refused,
    "WC004": OutcomeUnknown,
    "WC005": NothingToDo,
    "WC006": SecondFactorNeeded,
}


@contextmanager
def refusals() -> Iterator[None]:
    """Raises the error class of REFUSALS where the database refuses with a line for people.

    Raises NothingToDo where it misses what the first build makes: a job may be installed before it.
    """
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        missing = error.diag.message_primary or str(error)
        raise NothingToDo(f"nothing is built here yet ({missing}): run weekclose sunday first") from error
    except psycopg.Error as error:
        refusal = REFUSALS.get(error.sqlstate or "")
        if refusal is None:
            raise
        raise refusal(error.diag.message_primary or str(error)) from error
