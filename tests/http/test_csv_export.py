"""Lists as CSV: exact, quoted, harmless in a spreadsheet, in bounded pages, and never silently short."""

import csv
import gzip
import io
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from app.http import csv_export
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.money import confirmed, funded_protocol, request_payment
from tests.support.processes import until
from tests.support.stack import ROOT

pytestmark = pytest.mark.database("sqlite")  # the export reads the same pages as the lists

LISTS = {"payments": "payments", "pool/entries": "pool-entries", "vulnerabilities": "vulnerabilities"}
CSV = {"Accept": "text/csv"}


def rows_of(answer):
    text = answer.body.decode("utf-8")
    assert "\n" not in text.replace("\r\n", "") or '"' in text, "lines end with CRLF"
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def protocol_id(api, monkeypatch):
    """A protocol with five rows or more in each list; pages are of two rows."""
    monkeypatch.setattr(csv_export, "PAGE_ROWS", 2)
    protocol_id = funded_protocol(api, "999999999.123456")
    for _ in range(5):
        request_payment(api, confirmed(api, protocol_id, bounty="0.000001"))
    return protocol_id


@pytest.mark.parametrize("path", LISTS)
def test_the_csv_has_every_item_of_the_list_in_its_order(api, protocol_id, path):
    items = api.viewer.get(f"/protocols/{protocol_id}/{path}?limit=200").expect(200)["items"]

    answer = api.viewer.get(f"/protocols/{protocol_id}/{path}?limit=1", **CSV)

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{protocol_id}-{LISTS[path]}.csv"'
    assert "Accept" in answer.headers["vary"].split(", ")
    found = rows_of(answer)
    assert len(found) == len(items) >= 5
    texts = {None: "", True: "true", False: "false"}
    assert found == [{name: texts.get(value, value) for name, value in each.items()} for each in items]


def test_filters_apply_and_invalid_ones_are_problems(api, protocol_id):
    path = f"/protocols/{protocol_id}/pool/entries"
    assert [each["amount"] for each in rows_of(api.viewer.get(f"{path}?changeType=DEPOSIT", **CSV))] == [
        "999999999.123456"
    ]
    nothing = api.viewer.get(f"{path}?from=2200-01-01", **CSV)
    assert (nothing.status, nothing.body.count(b"\r\n"), nothing.body[:3]) == (200, 1, b"id,")
    assert api.viewer.get(f"{path}?from=2200-01-01&to=2100-01-01", **CSV).code == "VALIDATION_FAILED"
    assert api.viewer.get("/protocols/never-made/pool/entries", **CSV).code == "PROTOCOL_NOT_FOUND"
    assert api.as_("viewer", protocols=["other"]).get(path, **CSV).code == "PROTOCOL_NOT_FOUND"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝"])
def test_a_text_that_a_spreadsheet_would_compute_gets_an_apostrophe(api, start):
    protocol_id = make_protocol(api)
    title = f'{start}HYPERLINK("http://evil","x"),1'
    inner = f"a;{start}1\t{start}2; no - 1\n{start}3"
    file_vulnerability(api, protocol_id, title=title, description=f'{start}1\ntwo, "lines"')
    file_vulnerability(api, protocol_id, title=f"b;{start}1", description=inner)

    split, found = rows_of(api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities", **CSV))

    assert (found["title"], found["description"]) == ("'" + title, f'\'{start}1\ntwo, "lines"')
    # The parts that a spreadsheet makes of a cell where it splits at semicolons, and does not see the quotes.
    assert split["title"] == f"b;'{start}1"
    assert split["description"] == f"a;'{start}1\t'{start}2; no - 1\n'{start}3"


def test_tabs_and_line_breaks_at_the_start_are_quoted_and_other_text_is_exact(api):
    protocol_id = make_protocol(api, id="P:1.csv_export")
    file_vulnerability(api, protocol_id, title="Ünïcode 漏洞 - 1+1=2", description="\t=1+1")
    deposit(api, protocol_id, "1000.10", reference="-tx")

    answer = api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities", **CSV)
    (entry,) = rows_of(api.viewer.get(f"/protocols/{protocol_id}/pool/entries", **CSV))

    (found,) = rows_of(answer)
    assert (found["title"], found["description"]) == ("Ünïcode 漏洞 - 1+1=2", "'\t'=1+1")
    assert (entry["amount"], entry["reference"], entry["protocolId"]) == ("1000.10", "'-tx", "P:1.csv_export")
    assert answer.headers["content-disposition"] == 'attachment; filename="P_1.csv_export-vulnerabilities.csv"'


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("text/csv", True),
        ("TEXT/CSV;q=0.2", True),
        ("text/csv, */*;q=0.1", True),
        ("text/csv, */*", True),
        ("text/csv; charset=utf-8", True),
        ("text/csv; header=present, application/json;q=0.5", True),
        ("text/csv; charset=utf-8;q=0.5, application/json", False),
        ("text/*", True),
        ("application/json;q=0.5, text/csv;q=0.8", True),
        ("application/json, text/csv", False),
        ("text/csv, application/json", False),
        ("text/csv;q=0.5, application/json", False),
        ("text/csv;q=0, */*", False),
        ("*/*", False),
        ("", False),
        ("application/xml", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/csv;q=x" + "," * 600, False),
    ],
)
def test_the_caller_chooses_and_json_is_the_default(api, accept, is_csv):
    answer = api.viewer.get(f"/protocols/{make_protocol(api)}/payments", Accept=accept)

    assert answer.status == 200
    assert answer.headers["content-type"].partition(";")[0] == ("text/csv" if is_csv else "application/json")
    assert "Accept" in answer.headers["vary"].split(", ")


def test_an_export_is_compressed_for_callers_that_accept_gzip(api, protocol_id):
    path = f"/protocols/{protocol_id}/pool/entries"
    client = api.transport.client
    headers = {"Authorization": f"Bearer {api.token('viewer')}", "Accept-Encoding": "gzip"} | CSV

    zipped = client.get(f"/api/v1{path}", headers=headers)

    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.get_data()) == api.viewer.get(path, **CSV).body


def test_a_token_has_two_exports_at_a_time_until_they_are_closed(api, protocol_id):
    client, path = api.transport.client, f"/api/v1/protocols/{protocol_id}/pool/entries"
    headers = {"Authorization": f"Bearer {api.token('viewer')}"} | CSV

    running = [client.get(path, headers=headers) for _ in range(2)]
    refused = client.get(path, headers=headers)
    other = api.viewer.get(f"/protocols/{protocol_id}/pool/entries", **CSV)
    as_json = client.get(path, headers=headers | {"Accept": "application/json"})
    running[0].close()

    assert (refused.status_code, refused.json["code"]) == (429, "TOO_MANY_EXPORTS")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (other.status, as_json.status_code) == (200, 200)
    assert client.get(path, headers=headers).get_data().count(b"\r\n") > 5
    assert running[1].get_data().count(b"\r\n") > 5
    assert api.transport.client.application.extensions["csv_exports"] == {}


def test_each_page_that_a_client_takes_gives_it_time_for_the_next(api, protocol_id):
    calls = []
    headers = {"Authorization": f"Bearer {api.token('viewer')}"} | CSV

    response = api.transport.client.get(
        f"/api/v1/protocols/{protocol_id}/vulnerabilities",
        headers=headers,
        environ_overrides={"dashboard.extend_deadline": lambda: calls.append(1)},
    )

    assert response.get_data().count(b"\r\n") == 6
    assert len(calls) == 2, "three pages of two rows"


def test_an_error_after_the_first_page_is_raised_logged_and_counted(api, protocol_id, monkeypatch, caplog):
    def fail(_text):
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(csv_export._cursor, "deserialize", fail)
    before = csv_export.metrics.EXPORT_FAILURES._value.get()

    with pytest.raises(RuntimeError, match="the database is gone"):
        api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities", X_Request_Id="export-7", **CSV)

    assert csv_export.metrics.EXPORT_FAILURES._value.get() == before + 1
    assert [each.path for each in caplog.records if each.message == "export.failed"] == [
        f"/api/v1/protocols/{protocol_id}/vulnerabilities"
    ]
    assert api.transport.client.application.extensions["csv_exports"] == {}


def test_the_running_system_streams_the_file_in_chunks(stack):
    api = stack.api
    protocol_id = make_protocol(api)
    for amount in ("1.00", "2.00"):
        deposit(api, protocol_id, amount)

    answer = api.viewer.get(f"/protocols/{protocol_id}/pool/entries", **CSV)

    assert [each["amount"] for each in rows_of(answer)] == ["2.00", "1.00"]
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-encoding"] == "gzip"
    assert "Accept" in answer.headers["vary"].split(", ")


SERVER = """
import app.core.runtime as runtime
runtime.patch()
import logging, sys
from flask import Flask, g, request
from marshmallow import fields
from app.core.pagination import Page, page_of
from app.core.schemas import CamelSchema, doc
from app.http import csv_export
from app.http.csv_export import _Export, _response
from app.http.server import serving

logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
app = Flask("test")
read = 0

class Item(CamelSchema):
    text = fields.String()

def view(query):
    global read
    read += 1
    start = query["cursor"][0] if query["cursor"] else 0
    if request_mode[0] == "broken" and start:
        raise RuntimeError("the database is gone")
    rows = [{"id": start + at + 1, "text": "x" * 50000} for at in range(5)]
    return page_of(rows, 4, lambda row: [row["id"]]) if start < 4000 else Page([], None)

request_mode = [""]

@app.get("/<mode>")
def page(mode):
    g.limit_key = "caller"
    if mode == "count":
        return f"{read} {len(app.extensions.get('csv_exports', {}))}"
    request_mode[0] = mode
    return _response(_Export(view, {}, Item()), "x.csv")

listener = runtime.listen("127.0.0.1", 0)
server = serving._Server(app, listener, 100)
runtime.spawn(server.accept_forever)
print(listener.getsockname()[1], flush=True)
while True:
    runtime.sleep(1)
"""


@pytest.fixture
def port():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        command, pipe = [sys.executable, "-c", SERVER], subprocess.PIPE
        server = stack.enter_context(
            subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        )
        stack.callback(server.kill)
        yield int(server.stdout.readline())


def ask(port, mode, version="1.1"):
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(f"GET /{mode} HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    return client


def read_to_the_end(client):
    received = b""
    try:
        while data := client.recv(1 << 20):
            received += data
    except ConnectionResetError:
        return received, "reset"
    return received, "end"


def test_a_failure_after_the_first_page_resets_the_connection_and_a_client_that_leaves_stops_the_reading(port):
    for version in ("1.1", "1.0"):
        with ask(port, "broken", version) as client:
            received, how = read_to_the_end(client)
        assert how == "reset", version
        assert not received.endswith(b"\r\n0\r\n\r\n")

    with ask(port, "endless") as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")

    def count():
        with ask(port, "count", "1.0") as asking:
            return [int(each) for each in read_to_the_end(asking)[0].split()[-2:]]

    until(lambda: count()[1] == 0, 10, "the export has ended")
    assert count()[0] < 300, "the rest was not read"
