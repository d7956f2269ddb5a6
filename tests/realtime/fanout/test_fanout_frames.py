"""Frames are parsed alike wherever the stream is cut, and encoded as in RFC 6455."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.realtime.fanout.frames import BINARY, PING, TEXT, FrameError, FrameReader, frame, unmask

MASK = b"\x37\xfa\x21\x3d"


def masked(payload, opcode=TEXT, final=True):
    size = len(payload)
    if size < 126:
        head = bytes((size | 0x80,))
    elif size < 1 << 16:
        head = b"\xfe" + size.to_bytes(2)
    else:
        head = b"\xff" + size.to_bytes(8)
    first = opcode | (0x80 if final else 0)
    return bytes((first,)) + head + MASK + unmask(payload, MASK)


def read(data, cuts=(), limit=1 << 20):
    reader, messages, start = FrameReader(limit), [], 0
    for cut in [*sorted(cuts), len(data)]:
        messages += reader.feed(data[start:cut])
        start = cut
    return messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_the_length_of_a_frame_is_encoded_as_rfc_6455_demands(size):
    written = frame(b"x" * size)
    head = written[: len(written) - size]
    if size <= 125:
        assert head == bytes((0x81, size))
    elif size < 1 << 16:
        assert head == b"\x81\x7e" + size.to_bytes(2)
    else:
        assert head == b"\x81\x7f" + size.to_bytes(8)


def test_the_masked_hello_of_rfc_6455_is_read():
    assert read(bytes.fromhex("818537fa213d7f9f4d5158")) == [(TEXT, "Hello")]


def test_the_fragmented_hello_of_rfc_6455_is_read():
    data = masked(b"Hel", final=False) + masked(b"ping", PING) + masked(b"lo", 0)
    assert read(data) == [(PING, b"ping"), (TEXT, "Hello")]


@given(
    st.lists(st.one_of(st.text(max_size=300), st.binary(max_size=300)), max_size=8),
    st.lists(st.integers(0, 3000), max_size=12),
)
def test_messages_are_the_same_however_the_stream_is_cut(messages, cuts):
    data = b"".join(masked(each.encode()) if isinstance(each, str) else masked(each, BINARY) for each in messages)
    expected = [(TEXT if isinstance(each, str) else BINARY, each) for each in messages]
    assert read(data, [cut for cut in cuts if cut < len(data)]) == expected


@given(st.binary(max_size=200), st.binary(min_size=4, max_size=4))
def test_unmasking_is_the_xor_of_every_byte_with_the_repeated_mask(payload, mask):
    assert unmask(payload, mask) == bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def test_a_message_is_refused_by_its_length_before_it_has_arrived():
    with pytest.raises(FrameError) as refusal:
        read(masked(b"x" * 1001)[:10], limit=1000)
    assert refusal.value.code == 1009


def test_fragments_are_refused_when_their_total_is_too_long():
    with pytest.raises(FrameError) as refusal:
        read(masked(b"x" * 600, final=False) + masked(b"x" * 600, 0), limit=1000)
    assert refusal.value.code == 1009


def test_a_control_frame_is_not_part_of_the_message_it_interrupts():
    data = masked(b"x" * 1000, final=False) + masked(b"p" * 125, PING) + masked(b"", 0)
    assert read(data, limit=1000) == [(PING, b"p" * 125), (TEXT, "x" * 1000)]


@pytest.mark.parametrize(("frames", "allowed"), [(masked(b"", PING), 100), (masked(b""), 2000)])
def test_frames_beyond_the_budget_of_a_second_are_refused(frames, allowed, monkeypatch):
    monkeypatch.setattr("app.realtime.fanout.frames.time.monotonic", lambda: 5.0)
    reader = FrameReader(1000, budget=2000)
    assert len(list(reader.feed(frames * allowed))) == allowed
    with pytest.raises(FrameError) as refusal:
        list(reader.feed(frames))
    assert refusal.value.code == 1008
    monkeypatch.setattr("app.realtime.fanout.frames.time.monotonic", lambda: 6.0)
    assert len(list(reader.feed(frames * allowed))) == allowed


def test_fragments_count_towards_the_frame_budget(monkeypatch):
    monkeypatch.setattr("app.realtime.fanout.frames.time.monotonic", lambda: 5.0)
    reader = FrameReader(1000, budget=20)
    assert list(reader.feed(masked(b"", final=False) + masked(b"", 0, final=False) * 19)) == []
    with pytest.raises(FrameError):
        list(reader.feed(masked(b"", 0)))


def test_a_reader_stops_after_the_requested_frames_and_continues_later():
    reader = FrameReader(1000)
    data = b"".join(masked(b"%d" % number) for number in range(5))
    assert list(reader.feed(data, 3)) == [(TEXT, "0"), (TEXT, "1"), (TEXT, "2")]
    assert reader.has_more
    assert list(reader.feed(b"", 3)) == [(TEXT, "3"), (TEXT, "4")]
    assert not reader.has_more


def test_messages_before_a_violation_are_yielded():
    messages = FrameReader(1000).feed(masked(b"first") + b"\x81\x02hi")
    assert next(messages) == (TEXT, "first")
    with pytest.raises(FrameError):
        next(messages)


def test_a_reader_holds_no_bytes_of_a_complete_message():
    reader = FrameReader(1 << 20)
    assert list(reader.feed(masked(b"x" * 60_000))) == [(TEXT, "x" * 60_000)]
    assert reader._buffer == b""
