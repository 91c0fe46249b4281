"""The sampling rule agrees with OpenTelemetry's own samplers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, Sampler, TraceIdRatioBased

from longshore.telemetry.sampling import Sampling, sampling

trace_ids = st.integers(1, 2**128 - 1)


def _theirs(sampler: Sampler, trace_id: int) -> bool:
    return sampler.should_sample(None, trace_id, "span").decision is Decision.RECORD_AND_SAMPLE


@given(trace_ids, st.floats(0, 1))
def test_a_ratio_samples_the_same_traces_as_the_sdk(trace_id: int, ratio: float) -> None:
    rule, complaint = sampling("parentbased_traceidratio", repr(ratio))
    assert complaint == ""
    assert rule.samples_root(trace_id) == _theirs(TraceIdRatioBased(ratio), trace_id)


@pytest.mark.parametrize("prefix", ["", "parentbased_"])
@given(trace_id=trace_ids)
def test_always_on_and_always_off_are_what_they_say(prefix: str, trace_id: int) -> None:
    assert sampling(prefix + "always_on", "")[0].samples_root(trace_id) == _theirs(ALWAYS_ON, trace_id)
    assert sampling(prefix + "always_off", "")[0].samples_root(trace_id) == _theirs(ALWAYS_OFF, trace_id)


@given(trace_ids, st.booleans())
def test_parent_based_rules_follow_the_flag_and_the_others_do_not(trace_id: int, flag: bool) -> None:
    assert sampling("parentbased_always_off", "")[0].samples(trace_id, flag) is flag
    assert sampling("always_off", "")[0].samples(trace_id, flag) is False
    assert sampling("always_on", "")[0].samples(trace_id, flag) is True


def test_only_a_rule_of_its_own_that_takes_nothing_turns_telemetry_off() -> None:
    assert sampling("always_off", "")[0].nothing
    assert sampling("traceidratio", "0")[0].nothing
    assert not sampling("parentbased_always_off", "")[0].nothing


@pytest.mark.parametrize("argument", ["", "half", "nan", "1.1", "-0.1", "inf"])
def test_a_ratio_that_is_none_is_complained_about_and_everything_is_sampled(argument: str) -> None:
    rule, complaint = sampling("traceidratio", argument)
    assert rule.samples_root(2**128 - 1)
    assert "OTEL_TRACES_SAMPLER_ARG" in complaint


def test_an_unknown_sampler_is_complained_about_and_the_default_is_used() -> None:
    assert sampling("jaeger_remote", "") == (
        Sampling(),
        "OTEL_TRACES_SAMPLER is unknown: 'jaeger_remote'; using parentbased_always_on",
    )
    assert sampling("", "") == (Sampling(), "")
