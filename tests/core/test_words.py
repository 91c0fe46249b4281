"""Small words of the core: names on the bus, errors that carry data, near names."""

from __future__ import annotations

from longshore.core import errors
from longshore.core.envelope import Names


def test_names_on_the_bus_begin_with_the_namespace() -> None:
    names = Names("lab")
    made = {names.commands, names.dead, names.reports, names.workers, names.replies, names.events}
    assert len(made) == 6 and all(name.startswith("lab.") for name in made)


def test_errors_carry_what_a_program_needs() -> None:
    assert errors.SettingsError("BROKER_URL", "missing").variable == "BROKER_URL"
    assert errors.ArgumentError("no", parameter="x").parameter == "x"
    assert errors.EncodingError("no", path="$[1]").path == "$[1]"
    assert errors.Rejected("tags", "too many", run_id="r").rule == "tags"
    assert errors.BrokerUnavailableError("no", run_id="r", may_have_been_sent=True).may_have_been_sent
    assert errors.NotYetAccepted("wait", run=1).run == 1
    assert errors.RunFailed("no", run_id="r", status="FAILED").status == "FAILED"
    assert errors.TokenExpired("late", token="t").token == "t"
    assert errors.TokenFailed("no", token="t").token == "t"
    aborted = errors.BatchAborted("half of it came", batch_id="b", info={"runs": 7})
    assert (str(aborted), aborted.batch_id, aborted.info) == ("half of it came", "b", {"runs": 7})
    assert str(errors.RemoteError("x.E", "boom")) == "x.E: boom"
    assert str(errors.RemoteError("x.E", "")) == "x.E"
    assert str(errors.RetryAfter(2.5)) == "retry after 2.5 s"


def test_near_names_are_the_most_alike_first() -> None:
    assert errors.nearest("trian", ["train", "trail", "zebra"])[0] == "train"
