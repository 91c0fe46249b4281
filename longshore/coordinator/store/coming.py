"""When the store's next thing is due: of runs that are put away, and of schedules. It only reads."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from longshore.coordinator.store.columns import moment

_FIRST = "SELECT MIN(check_at) FROM run WHERE check_at > 0", "SELECT MIN(due_at) FROM schedule WHERE due_at > 0"


def coming_at(connection: Connection) -> datetime | None:
    """The first instant at which something is due. None: nothing ever is."""
    times = [moment(connection.exec_driver_sql(text).scalar() or 0) for text in _FIRST]
    return min((at for at in times if at is not None), default=None)
