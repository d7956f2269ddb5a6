"""Chunked bodies are decoded whatever the chunk sizes; malformed and endless ones raise BrokenBody."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.server.streams import CHUNK_COST, MAX_ENCODED_BYTES, MAX_LINE, MAX_TRAILERS, BrokenBody, ChunkedBody
from tests.security.raw_http import chunked

NEXT = b"GET /next HTTP/1.1\r\n\r\n"


def body_of(sent: bytes) -> tuple[ChunkedBody, io.BytesIO, list[bool]]:
    """The reader, the stream below it, and a list that grows when the body is broken."""
    stream, broken = io.BytesIO(sent), []
    return ChunkedBody(stream, lambda: broken.append(True)), stream, broken


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.integers(1, 60))
def test_a_body_is_the_content_of_its_chunks_and_later_input_is_untouched(parts: list[bytes], size: int) -> None:
    body, stream, broken = body_of(chunked(*parts) + NEXT)

    assert b"".join(iter(lambda: body.read(size), b"")) == b"".join(parts)
    assert (body.read(), stream.read(), broken) == (b"", NEXT, [])


@pytest.mark.parametrize(
    "sent",
    [
        b"5;name=value\r\nhello\r\n0\r\n\r\n",
        b'5 ;a="b c"\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n',
        b"05\r\nhello\r\n000\r\n\r\n",
    ],
)
def test_chunk_extensions_and_trailers_are_ignored(sent: bytes) -> None:
    assert body_of(sent)[0].read() == b"hello"


def test_lines_are_found_across_chunks() -> None:
    body = body_of(chunked(b"a\nb", b"c\nd"))[0]

    assert body.readline(1) == b"a"
    assert body.readlines() == [b"\n", b"bc\n", b"d"]


BROKEN = {
    "no size": b"zz\r\n",
    "a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "bare newline": b"5\nhello\r\n0\r\n\r\n",
    "an empty line": b"\r\n",
    "cut off in a size": b"5",
    "cut off in a chunk": b"5\r\nhel",
    "cut off before the end": b"5\r\nhello\r\n",
    "cut off in the trailers": b"5\r\nhello\r\n0\r\n",
    "longer than its size": b"3\r\nhello\r\n0\r\n\r\n",
    "a trailer that is none": b"5\r\nhello\r\n0\r\njunk\r\n\r\n",
    "an endless size": b"5;" + b"a" * 2 * MAX_LINE,
    "an endless trailer": b"0\r\nX: " + b"a" * 2 * MAX_LINE,
    "endless trailers": b"0\r\n" + b"X: y\r\n" * (MAX_TRAILERS + 1) + b"\r\n",
    "a size beyond all": b"fffffffff\r\nhello",
    "more chunks than anybody needs": chunked(*[b"x"] * (MAX_ENCODED_BYTES // CHUNK_COST)),
    "more than anybody needs": chunked(*[b"x" * 65536] * (MAX_ENCODED_BYTES // 65536 + 1)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_every_read_of_a_broken_body_raises_instead_of_reporting_its_end(what: str) -> None:
    body, stream, broken = body_of(BROKEN[what])

    for _ in range(3):
        with pytest.raises(BrokenBody):
            list(iter(lambda: body.read(65536), b""))

    assert broken
    assert stream.tell() <= MAX_ENCODED_BYTES + MAX_LINE
