"""What can go wrong with a database, in Longshore's own words. Every fault is definite: either all of a batch is kept
or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from longshore.core.errors import LongshoreError, ProtocolError, StoreUnavailableError


class Fenced(LongshoreError):
    """Another coordinator has taken over this namespace: nothing was written, and nothing may be."""


class StoreConflict(ProtocolError):
    """The batch contradicts what is stored (the same key twice): nothing of it was written."""


ADVICE: Final = {
    "disk is full": "make room on that disk; nothing was lost",
    "locked": "another process writes to this file: stop it (`fuser` names it)",
    "readonly": "make the file and its folder writable for this user",
    "unable to open": "make the folder, writable for this user, or set LONGSHORE_STORE_URL",
    "i/o error": "look at the disk (`dmesg`); nothing was lost",
    "not a database": "LONGSHORE_STORE_URL names a file that is no SQLite database: name another one",
    "malformed": "the file is damaged: restore it from a backup",
}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns the database's errors into ours: StoreConflict for a key that exists, else StoreUnavailableError."""
    try:
        yield
    except IntegrityError as error:
        raise StoreConflict(f"{what}: {error.orig}") from error
    except SQLAlchemyError as error:
        raise unavailable(what, error) from error


def unavailable(what: str, error: SQLAlchemyError) -> StoreUnavailableError:
    """The error for a database that does not answer, with what to do next."""
    cause = str(error.orig if isinstance(error, DBAPIError) else error)
    advice = next((advice for sign, advice in ADVICE.items() if sign in cause.lower()), "")
    return StoreUnavailableError(f"{what}: {cause}" + (f"; {advice}" if advice else ""))
