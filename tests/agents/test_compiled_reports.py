"""The short way of progress reports takes only what `schemas.ProgressReport` takes, and makes the same event of it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from app.agents import compiled_reports
from app.agents.progress import _event_data
from app.agents.schemas import BatchUpdate, ProgressReport
from app.core.schemas import is_identifier
from app.core.serialization import to_wire

PATH = "/api/v1/agents/A1/progress"

ids = st.one_of(
    st.sampled_from(["P1", "A-b.c:d_e", "0", "x" * 64, "x" * 65, "", "-a", "a b", "a\n", "é", 5, None]),
    st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z"),
)
names = st.one_of(
    st.text(max_size=210),
    st.text("a \u200b\u200d\u202e\u2066\u200f\ufeff\u3164\u2800\u00ad👩💻ש\x85\u2028", max_size=6),
    st.sampled_from(["scan", "", "a\u0000b", "a\nb", " ", "x" * 200, "x" * 201, 7, None, []]),
)
numbers = st.one_of(
    st.integers(-5, 110),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-5, max_value=110),
    st.sampled_from([True, False, None, "50", 10**30, [], {}, 99.999, 0.005, 1e-9, -0.0]),
)
# Whatever looks like RFC 3339, at the ends of the calendar too, in small letters, with any fraction and offset.
dates = st.from_regex(
    r"\A(0001-01-01|9999-12-31|2026-11-(0[1-9]|[123][0-9]))[Tt ](00|[012][0-9]):[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?"
    r"([Zz]|[+-](0[0-9]|1[0-9]|2[0-5]):(00|30|59|60))\Z"
)
moments = st.one_of(
    dates,
    st.none(),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    st.sampled_from(["2026-11-22T20:30:00Z", "2026-11-22 20:30:00Z", "2026-11-22", "x", "2026-11-22T20:30:00", 5, ""]),
)
reports = st.fixed_dictionaries(
    {},
    optional={
        "protocolId": ids,
        "task": names,
        "progress": numbers,
        "status": st.sampled_from(["RUNNING", "COMPLETED", "FAILED", "running", None, 1]),
        "estimatedCompletion": moments,
        "error": st.sampled_from([None, {"message": "m"}, "x", {}]),
        "nextTask": names,
        "unknown": st.just(1),
    },
)


def _as_text(report):
    return json.dumps(report).encode()


def _compare(body, schema, decoded):
    """Whatever the short way takes, marshmallow takes too, and both make one event of it."""
    fields = schema.load(json.loads(body))
    agent_id = fields.pop("agent_id", "A1")
    long_way = to_wire(_event_data(agent_id, fields))
    assert json.loads(compiled_reports.event_json(agent_id, decoded) + "}") == long_way


def _is_known(*ids):
    """The short way takes only ids that exist, which are valid."""
    return all(is_identifier(each) for each in ids)


@settings(max_examples=600)
@given(reports)
def test_what_the_short_way_takes_the_schema_takes_and_both_make_the_same_event(report):
    body = _as_text(report)
    for _, decoded in compiled_reports.single(body, "/api/v1/agents/A1/progress"):
        if _is_known(decoded.protocol_id) and compiled_reports.is_plain(decoded):
            _compare(body, ProgressReport(), decoded)


@settings(max_examples=200)
@given(st.lists(st.tuples(ids, reports), min_size=1, max_size=3))
def test_a_batch_that_the_short_way_takes_is_valid_in_each_part(updates):
    body = _as_text({"updates": [{"agentId": agent_id, **report} for agent_id, report in updates]})
    for number, (_, decoded) in enumerate(compiled_reports.batch(body)):
        if _is_known(decoded.agent_id, decoded.protocol_id) and compiled_reports.is_plain(decoded):
            _compare(_as_text(json.loads(body)["updates"][number]), BatchUpdate(), decoded)


@settings(max_examples=300)
@given(dates)
def test_any_date_that_the_short_way_takes_is_the_same_moment_on_both(moment):
    body = _as_text({"protocolId": "P1", "task": "scan", "progress": 5, "estimatedCompletion": moment})
    for _, decoded in compiled_reports.single(body, PATH):
        if compiled_reports.is_plain(decoded):
            _compare(body, ProgressReport(), decoded)


@pytest.mark.parametrize(
    "moment", ["2026-11-22T20:30:00Z", "2026-11-22t20:30:00z", "2026-11-22T20:30:00.9999999+05:30"]
)
def test_a_date_as_rfc_3339_has_it_is_taken_on_both_ways(moment):
    body = _as_text({"protocolId": "P1", "task": "scan", "progress": 5, "estimatedCompletion": moment})
    ((_, decoded),) = compiled_reports.single(body, PATH)
    assert compiled_reports.is_plain(decoded)
    _compare(body, ProgressReport(), decoded)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_date_beyond_the_calendar_is_left_to_flask(moment):
    body = _as_text({"protocolId": "P1", "task": "scan", "progress": 5, "estimatedCompletion": moment})
    assert not any(compiled_reports.is_plain(decoded) for _, decoded in compiled_reports.single(body, PATH))
    with pytest.raises(ValidationError):
        ProgressReport().load(json.loads(body))


@given(reports, st.integers(0, 300), st.binary(min_size=1, max_size=4))
def test_bytes_that_are_not_utf8_are_left_to_flask(report, at, noise):
    text = _as_text(report)
    body = text[:at] + noise + text[at:]
    try:
        body.decode()
    except UnicodeDecodeError:
        assert compiled_reports.single(body, PATH) == []
        assert compiled_reports.batch(b'{"updates":[' + body + b"]}") == []


def test_minus_zero_is_zero_on_both_ways():
    body = b'{"protocolId":"P1","task":"scan","progress":-0.0}'
    ((_, decoded),) = compiled_reports.single(body, PATH)
    _compare(body, ProgressReport(), decoded)
    assert '"progress":"0"' in compiled_reports.event_json("A1", decoded)


def test_an_ordinary_report_takes_the_short_way():
    body = b'{"protocolId":"P1","task":"scan","progress":65.5,"estimatedCompletion":"2026-11-22T20:30:00.123Z"}'
    ((agent_id, report),) = compiled_reports.single(body, "/api/v1/agents/A1/progress")
    event = json.loads(compiled_reports.event_json(agent_id, report) + "}")
    assert (event["agentId"], event["progress"]) == ("A1", "65.5")


def test_closing_reports_and_faults_are_left_to_flask():
    path = "/api/v1/agents/A1/progress"
    assert compiled_reports.single(b'{"protocolId":"P1","task":"t","status":"COMPLETED"}', path) == []
    assert compiled_reports.single(b'{"protocolId":"P1","task":"t","progress":NaN}', path) == []
    assert compiled_reports.single(b"[" * 100_000, path) == []
    assert compiled_reports.single(b'{"protocolId":"P1","task":"t","progress":5}', "/api/v1/agents/A1/x/progress") == []


def test_the_schema_refuses_what_it_must_so_that_agreeing_with_it_means_something():
    for wrong in (
        {"protocolId": "P1", "task": "t", "progress": 101},
        {"protocolId": "P 1", "task": "t", "progress": 1},
    ):
        try:
            ProgressReport().load(wrong)
        except ValidationError:
            continue
        raise AssertionError(wrong)
