"""Where output goes: tables and colour in a terminal, plain columns in a pipe, JSON when asked. It fetches nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from longshore.cli.problems import Problem

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

COLOURS: Final = {
    "COMPLETED": "green",
    "FAILED": "red",
    "CRASHED": "red",
    "TIMED_OUT": "red",
    "SYSTEM_FAILURE": "red",
    "EXPIRED": "yellow",
    "CANCELED": "yellow",
    "CANCELING": "yellow",
    "BLOCKED": "magenta",
    "EXECUTING": "cyan",
    "HANGING": "blue",
    "RETRYING": "yellow",
    "PENDING_VERSION": "yellow",
    "IDLE": "green",
    "WORKING": "cyan",
    "UNRESPONSIVE": "red",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}


class Screen:
    """One command's output. Results go to stdout, remarks and errors to stderr."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.terminal = sys.stdout.isatty() and not as_json
        self._live: Console | None = None

    @property
    def console(self) -> Console:
        """Rich's console on stdout."""
        from rich.console import Console

        return Console(soft_wrap=not self.terminal, highlight=False)

    @property
    def remarks(self) -> Console:
        """Rich's console on stderr."""
        from rich.console import Console

        return Console(stderr=True, soft_wrap=True, highlight=False)

    @property
    def moving(self) -> bool:
        """Whether a line that changes stands below the output now."""
        return self._live is not None

    @property
    def width(self) -> int:
        """How many columns a line has; a pipe has no end."""
        return self.console.width if self.terminal else 1000

    def document(self, data: Any) -> None:
        """One JSON document on stdout."""
        print(to_json(data), flush=True)

    def line(self, data: Any) -> None:
        """One item of a stream as one line of JSON."""
        print(to_json(data, compact=True), flush=True)

    def text(self, text: str | Text = "", *, style: str = "") -> None:
        """A line of result."""
        if self.terminal:
            (self._live or self.console).print(text, style=style or None, markup=False)
        else:
            print(text, flush=True)

    def remark(self, text: str, *, style: str = "dim") -> None:
        """A line beside the result: progress, hints. Not in JSON."""
        if not self.as_json:
            (self._live or self.remarks).print(text, style=style, markup=False, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
        """Rows under their names; a column whose name ends in `#` is numbers, set to the right."""
        cells = [[shown(value) for value in row] for row in rows]
        if title:
            self.text(title, style="bold")
        if not self.terminal:
            print("\n".join(plain_table([name.rstrip("#") for name in columns], cells)), flush=True)
            return
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for position, name in enumerate(columns):
            folds = position == len(columns) - 1
            table.add_column(
                name.rstrip("#"),
                justify="right" if name.endswith("#") else "left",
                overflow="fold",
                no_wrap=not folds,
            )
        for row in cells:
            table.add_row(*(_coloured(cell) for cell in row))
        self.console.print(table)

    def facts(self, pairs: Sequence[tuple[str, Any]]) -> None:
        """Names and values, one under the other; what is empty is left out."""
        kept = [(name, shown(value)) for name, value in pairs if value not in (None, "", [], {})]
        width = max((len(name) for name, _ in kept), default=0)
        for name, value in kept:
            indented = value.replace("\n", "\n" + " " * (width + 2))
            if not self.terminal:
                print(f"{name.ljust(width)}  {indented}", flush=True)
                continue
            from rich.text import Text

            self.console.print(Text(name.ljust(width) + "  ", style="dim") + _coloured(indented))

    def problem(self, problem: Problem) -> None:
        """An error: one red line and what to do next."""
        if self.as_json:
            print(to_json(problem.as_json(), compact=True), file=sys.stderr, flush=True)
            return
        self.remarks.print(f"{problem.kind}: {problem.text}", style="bold red", markup=False)
        if problem.advice:
            self.remarks.print(problem.advice, markup=False)

    @contextmanager
    def status(self, text: str) -> Iterator[Any]:
        """A spinner in a terminal for as long as the block takes; gives a function that changes its text.

        Lines printed meanwhile go through its console: another one would write into the spinner's line.
        """
        if self.as_json or not sys.stderr.isatty():
            yield lambda _text: None
            return
        from rich.console import Console
        from rich.text import Text

        live = Console(stderr=True, highlight=False)
        with live.status(Text(text)) as spinner:
            self._live = live
            try:
                yield lambda words: spinner.update(Text(words, overflow="ellipsis", no_wrap=True))
            finally:
                self._live = None


def to_json(data: Any, *, compact: bool = False) -> str:
    """JSON text; times in RFC 3339, durations in seconds, bytes as text where they are text."""
    return json.dumps(data, default=_plain, ensure_ascii=False, indent=None if compact else 2)


def _plain(value: Any) -> Any:
    match value:
        case datetime() | date():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.decode("utf-8", "replace")
        case set() | frozenset() | tuple():
            return list(value)
    fields = getattr(value, "model_dump", None) or getattr(value, "_asdict", None)
    if callable(fields):
        return fields()
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    return repr(value)


def shown(value: Any) -> str:
    """A value in a cell."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else ""
        case str():
            return value
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple() if all(isinstance(item, str) for item in value):
            return ", ".join(value)
        case dict() | list() | tuple():
            return to_json(value, compact=True)
    return str(value)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table without colour: columns padded to their widest cell, two spaces between."""
    table = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(row[position]) for row in table) for position in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _coloured(cell: str) -> Text:
    from rich.text import Text

    return Text(cell, style=COLOURS.get(cell.split(" ", 1)[0], ""))


def seconds(duration: float | None) -> str:
    """A duration as people read it: `340 µs`, `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 12 min`."""
    if duration is None:
        return ""
    if duration <= 0:
        return "0 s"
    if duration < 0.001:
        return f"{duration * 1e6:.0f} µs"
    if duration < 1:
        return f"{duration * 1e3:.0f} ms"
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(octets: int | None) -> str:
    """A size as people read it: `812 B`, `64.0 KiB`, `1.5 MiB`."""
    if octets is None:
        return ""
    value = float(octets)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
