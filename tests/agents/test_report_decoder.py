"""The compiled report decoder accepts only reports that the schema accepts, and produces the same events."""

import json
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError, fields, validate

from app.agents.report_decoder import BATCH, ReportDecoder, event_json
from app.agents.schemas import Batch, BatchUpdate, Percentage, ProgressReport
from app.agents.task_changes import event_data
from app.core.schemas import Identifier, Name, is_identifier
from app.core.values import to_wire

PATH = "/api/v1/agents/A1/progress"
decoder = ReportDecoder()

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
# Dates in the form of RFC 3339, also at the ends of the calendar, in lower case, with any fraction and offset.
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
    """Assert that the schema accepts `body` too and that both produce the same event."""
    fields = schema.load(json.loads(body))
    agent_id = fields.pop("agent_id", "A1")
    expected = to_wire(event_data(agent_id, fields))
    assert json.loads(event_json(agent_id, decoded) + "}") == expected


def _is_known(*ids):
    """The fast path accepts only ids of existing objects, which are valid."""
    return all(is_identifier(each) for each in ids)


@settings(max_examples=600)
@given(reports)
def test_a_report_that_the_decoder_accepts_is_valid_and_makes_the_same_event(report):
    body = _as_text(report)
    for _, decoded in decoder.decode(body, "/api/v1/agents/A1/progress"):
        if _is_known(decoded.protocol_id) and decoder.are_valid([decoded]):
            _compare(body, ProgressReport(), decoded)


@settings(max_examples=200)
@given(st.lists(st.tuples(ids, reports), min_size=1, max_size=3))
def test_each_report_of_a_batch_that_the_decoder_accepts_is_valid(updates):
    body = _as_text({"updates": [{"agentId": agent_id, **report} for agent_id, report in updates]})
    for number, (_, decoded) in enumerate(decoder.decode(body, BATCH)):
        if _is_known(decoded.agent_id, decoded.protocol_id) and decoder.are_valid([decoded]):
            _compare(_as_text(json.loads(body)["updates"][number]), BatchUpdate(), decoded)


@settings(max_examples=300)
@given(dates)
def test_a_date_that_the_decoder_accepts_is_the_same_moment_in_both(moment):
    body = _as_text({"protocolId": "P1", "task": "scan", "progress": 5, "estimatedCompletion": moment})
    for _, decoded in decoder.decode(body, PATH):
        if decoder.are_valid([decoded]):
            _compare(body, ProgressReport(), decoded)


@pytest.mark.parametrize(
    "moment", ["2026-11-22T20:30:00Z", "2026-11-22t20:30:00z", "2026-11-22T20:30:00.9999999+05:30"]
)
def test_decoder_and_schema_accept_dates_of_rfc_3339(moment):
    body = _as_text({"protocolId": "P1", "task": "scan", "progress": 5, "estimatedCompletion": moment})
    ((_, decoded),) = decoder.decode(body, PATH)
    assert decoder.are_valid([decoded])
    _compare(body, ProgressReport(), decoded)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_date_beyond_the_calendar_is_left_to_flask(moment):
    body = _as_text({"protocolId": "P1", "task": "scan", "progress": 5, "estimatedCompletion": moment})
    assert not any(decoder.are_valid([decoded]) for _, decoded in decoder.decode(body, PATH))
    with pytest.raises(ValidationError):
        ProgressReport().load(json.loads(body))


@given(reports, st.integers(0, 300), st.binary(min_size=1, max_size=4))
def test_bytes_that_are_not_utf8_are_left_to_flask(report, at, noise):
    text = _as_text(report)
    body = text[:at] + noise + text[at:]
    try:
        body.decode()
    except UnicodeDecodeError:
        assert decoder.decode(body, PATH) == []
        assert decoder.decode(b'{"updates":[' + body + b"]}", BATCH) == []


def test_minus_zero_is_zero_in_both():
    body = b'{"protocolId":"P1","task":"scan","progress":-0.0}'
    ((_, decoded),) = decoder.decode(body, PATH)
    _compare(body, ProgressReport(), decoded)
    assert '"progress":"0"' in event_json("A1", decoded)


def test_the_decoder_accepts_an_ordinary_report():
    body = b'{"protocolId":"P1","task":"scan","progress":65.5,"estimatedCompletion":"2026-11-22T20:30:00.123Z"}'
    ((agent_id, report),) = decoder.decode(body, "/api/v1/agents/A1/progress")
    event = json.loads(event_json(agent_id, report) + "}")
    assert (event["agentId"], event["progress"]) == ("A1", "65.5")


def test_the_decoder_leaves_terminal_updates_and_invalid_reports_to_flask():
    path = "/api/v1/agents/A1/progress"
    assert decoder.decode(b'{"protocolId":"P1","task":"t","status":"COMPLETED"}', path) == []
    assert decoder.decode(b'{"protocolId":"P1","task":"t","progress":NaN}', path) == []
    assert decoder.decode(b"[" * 100_000, path) == []
    assert decoder.decode(b'{"protocolId":"P1","task":"t","progress":5}', "/api/v1/agents/A1/x/progress") == []


def test_the_schema_rejects_invalid_reports():
    for wrong in (
        {"protocolId": "P1", "task": "t", "progress": 101},
        {"protocolId": "P 1", "task": "t", "progress": 1},
    ):
        try:
            ProgressReport().load(wrong)
        except ValidationError:
            continue
        raise AssertionError(wrong)


class UpTo50(Percentage):
    maximum = 50


class ChangedReport(ProgressReport):
    """ProgressReport with another limit in every kind of field."""

    REQUIRED: ClassVar = ProgressReport.REQUIRED | {"RUNNING": {"progress", "next_task"}}
    EXCLUDED: ClassVar = {"RUNNING": {"error", "estimated_completion"}}
    task = Name(required=True, longest=5)
    progress = UpTo50(load_default=None)
    next_task = fields.String(load_default=None, validate=validate.NoneOf(["reserved"]))
    status = fields.String(load_default="RUNNING", validate=validate.OneOf(["RUNNING", "PAUSED", "FAILED"]))


class ChangedUpdate(ChangedReport):
    agent_id = Identifier(required=True)


class ChangedBatch(Batch):
    updates = fields.List(fields.Raw(), validate=validate.Length(min=1, max=2))


def _accepts(decoder, reports):
    return bool(reports) and decoder.are_valid(report for _, report in reports)


@pytest.mark.parametrize(
    ("change", "accepted"),
    [
        ({}, True),
        ({"task": "scans"}, True),
        ({"task": "a scan"}, False),
        ({"progress": 51}, False),
        ({"status": "PAUSED"}, True),
        ({"nextTask": None}, False),
        ({"nextTask": "reserved"}, False),
        ({"nextTask": "a\nb"}, True),
        ({"estimatedCompletion": "2026-11-22T20:30:00Z"}, False),
    ],
)
def test_a_rule_changed_in_the_schema_changes_the_decoder(change, accepted):
    changed = ReportDecoder(ChangedReport, ChangedUpdate, ChangedBatch)
    report = {"protocolId": "P1", "task": "scan", "progress": 50, "nextTask": "fuzz"} | change
    update = report | {"agentId": "A1"}

    assert _accepts(changed, changed.decode(_as_text(report), PATH)) is accepted
    assert _accepts(changed, changed.decode(_as_text({"updates": [update] * 2}), BATCH)) is accepted
    assert changed.decode(_as_text({"updates": [update] * 3}), BATCH) == []


def test_a_required_field_that_cannot_be_compiled_stops_the_import():
    class Unknown(ProgressReport):
        tags = fields.Dict(required=True)

    with pytest.raises(TypeError, match="has no compiled form"):
        ReportDecoder(Unknown)
