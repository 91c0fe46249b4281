"""The drawing of a run's tree: pure, so rows go in and lines come out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from longshore.cli.tree import draw

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def row(
    run_id: str,
    *,
    parent: str = "",
    created: float = 0,
    started: float | None = None,
    ended: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "parent_id": parent,
        "routine": f"routine.{run_id}",
        "version": "1.0.0",
        "status": "EXECUTING" if ended is None else "COMPLETED",
        "attempt": 1,
        "crashes": 0,
        "cached": False,
        "created_at": at(created),
        "started_at": None if started is None else at(started),
        "finished_at": None if ended is None else at(ended),
        **more,
    }


def test_queued_and_executing_time_are_told_apart_on_one_scale() -> None:
    rows = [row("root", started=2, ended=10), row("child", parent="root", created=5, started=7.5, ended=10)]
    lines = draw(rows, at(60), width=10)
    assert [line.bar for line in lines] == ["░░████████", "·····░░░██"]
    assert lines[0].times == "2.0 s + 8.0 s"
    assert lines[1].times == "2.5 s + 2.5 s"


def test_children_hang_under_their_parents_in_the_order_of_their_creation() -> None:
    rows = [
        row("c", parent="b", created=3, started=3, ended=4),
        row("b", parent="a", created=2, started=2, ended=4),
        row("a", started=0, ended=5),
        row("d", parent="a", created=1, started=1, ended=2),
    ]
    lines = draw(rows, at(9))
    assert [line.branch + line.name for line in lines] == [
        "routine.a@1.0.0",
        "├─ routine.d@1.0.0",
        "└─ routine.b@1.0.0",
        "   └─ routine.c@1.0.0",
    ]


def test_a_run_that_never_started_is_all_queue() -> None:
    (line,) = draw([row("root", status="PENDING_VERSION")], at(4), width=8)
    assert line.bar == "░" * 8
    assert line.times == "4.0 s waiting"


def test_the_shortest_run_is_still_seen() -> None:
    rows = [row("root", started=0, ended=1000), row("tick", parent="root", created=999.99, started=999.995, ended=1000)]
    assert "█" in draw(rows, at(1000), width=20)[1].bar


def test_marks_show_the_cache_the_attempts_and_what_was_offloaded() -> None:
    rows = [
        row("root", started=0, ended=4),
        row("hit", parent="root", created=1, ended=1, cached=True),
        row("big", parent="root", created=1, started=2, ended=3, attempt=2, result_size=300 * 1024),
    ]
    _, hit, big = sorted(draw(rows, at(4)), key=lambda line: "hb".find(line.name[8:9]))
    assert hit.times == "from the cache"
    assert big.marks == "attempt 2, result 300.0 KiB offloaded"


def test_a_call_that_failed_shows_the_address_at_which_its_workflow_is_forked() -> None:
    rows = [
        row("root", started=0, ended=4),
        row("bad", parent="root", created=1, started=2, ended=3, status="FAILED", address="0/3:1"),
        row("good", parent="root", created=2, started=2, ended=3, address="0/4:0"),
    ]
    assert [line.marks for line in draw(rows, at(4))] == ["", "at 0/3:1", ""]


def test_siblings_are_told_apart_by_their_calls_and_what_failed_says_why_on_one_line() -> None:
    error = {"type": "some.module.Odd", "message": "cannot read\nthe rest of a long story"}
    rows = [
        row("root", started=0, ended=4, status="CANCELED", reason="canceled: a slip"),
        row("a", parent="root", created=1, started=2, ended=3, call="'a.txt', 1", reason="returned"),
        row("b", parent="root", created=1, started=2, ended=3, call="'b.txt', 1", status="FAILED", error=error),
        row("c", parent="root", created=1, started=2, status="RETRYING", attempt=2, reason="attempt 1 of 3: Odd"),
        row("d", parent="root", created=1, started=2, reason="started"),
    ]
    assert [line.note(100) for line in draw(rows, at(4))] == [
        "canceled: a slip",
        "'a.txt', 1",
        "'b.txt', 1  Odd: cannot read",
        "attempt 2  attempt 1 of 3: Odd",
        "",
    ]


def test_a_note_fits_its_room_and_the_error_gets_most_of_it() -> None:
    line = draw(
        [row("root", call="'" + "x" * 38 + "…", status="FAILED", error={"type": "E", "message": "m" * 90})], at(1)
    )[0]
    assert line.note(30) == "'xxxxxxxxxx…  E: mmmmmmmmmmmm…"
    assert len(line.note(30)) == 30


def test_an_error_without_a_message_is_its_type() -> None:
    (line,) = draw([row("root", status="FAILED", error={"type": "builtins.KeyError", "message": ""})], at(1))
    assert line.trouble == "KeyError"


def test_a_limit_keeps_the_longest_children_and_says_what_was_left_out() -> None:
    rows = [row("root", started=0, ended=50)]
    rows += [row(f"n{i:02}", parent="root", created=0, started=0, ended=i + 1) for i in range(20)]
    lines = draw(rows, at(50), limit=3)
    assert [line.name for line in lines[1:]] == [
        "routine.n17@1.0.0",
        "routine.n18@1.0.0",
        "routine.n19@1.0.0",
        "… and 17 shorter",
    ]
    assert lines[-1].status == "COMPLETED"


def test_times_may_come_as_text() -> None:
    rows = [row("root") | {"created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:01Z"}]
    (line,) = draw(rows, at(2), width=4)
    assert line.bar == "░░██"


def test_no_rows_draw_nothing() -> None:
    assert draw([], START) == []


def test_what_is_waited_for_from_outside_is_said() -> None:
    (line,) = draw([row("a", started=0, status="HANGING", waits=["signal 'approved'", "token t1"])], at(9))
    assert line.note(100) == "waits for signal 'approved', token t1"
