"""The coordinator's rows as people's code reads them."""

from __future__ import annotations

import json

import pytest

from longshore.client.fields import row, rows


def test_a_row_is_read_by_key_and_by_attribute_and_is_json() -> None:
    run = row({"run_id": "r1", "status": "FAILED", "error": {"type": "E", "message": "no"}, "why_waiting": None})
    assert run.status == run["status"] == "FAILED"
    assert run.error.message == "no"
    assert run.why_waiting is None
    assert json.loads(json.dumps(run)) == run
    assert [one.seq for one in rows([{"seq": 1}, {"seq": 2}])] == [1, 2]


def test_a_field_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(AttributeError, match="no field 'state'; there are run_id, status"):
        _ = row({"run_id": "r1", "status": "FAILED"}).state
