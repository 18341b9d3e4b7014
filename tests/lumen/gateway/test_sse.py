import itertools

from hypothesis import given
from hypothesis import strategies as st

from lumen.gateway.sse import BOM, Event, Parser

ENDS = st.sampled_from([b'\n', b'\r\n', b'\r'])
LINES = st.sampled_from(
    [
        b'data: one',
        b'data:two',
        b'data',
        b'data: \xf0\x9f\x98\x80',
        b': comment',
        b'event: error',
        b'id: 7',
        b'',
        b'x: y',
    ]
)
streams = st.lists(st.tuples(LINES, ENDS)).map(lambda lines: b''.join(line + end for line, end in lines))


def parsed(chunks: list[bytes]) -> list[Event]:
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)] + list(parser.close())


def cut(content: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(edges)]


@given(content=st.one_of(streams, st.binary(max_size=200)), places=st.lists(st.integers(0, 10_000), max_size=12))
def test_however_the_bytes_are_cut_the_events_are_the_same(content: bytes, places: list[int]):
    assert parsed(cut(content, places)) == parsed([content])
    assert parsed([bytes([byte]) for byte in content]) == parsed([content])


@given(content=st.one_of(streams, st.binary(max_size=200)))
def test_no_byte_is_lost_or_made_up(content: bytes):
    assert b''.join(event.raw for event in parsed([content])) == content


@given(texts=st.lists(st.text(st.characters(blacklist_characters='\r\n', codec='utf-8')), max_size=5), end=ENDS)
def test_data_comes_out_as_it_went_in(texts: list[str], end: bytes):
    lines = [b'data: ' + text.encode() + end for text in texts]
    (event,) = parsed([b''.join(lines) + end])
    assert event.data == ('\n'.join(texts) if texts else None)


def test_the_three_ways_to_end_a_line_may_be_mixed():
    events = parsed([b'data: a\r\n\r\ndata: b\n\ndata: c\r\revent: e\ndata: d\n\n'])
    assert [(event.name, event.data) for event in events] == [('', 'a'), ('', 'b'), ('', 'c'), ('e', 'd')]


def test_a_byte_order_mark_is_no_part_of_the_first_field():
    (event,) = parsed([BOM + b'data: a\n\n'])
    assert event.data == 'a'


def test_an_event_is_there_as_soon_as_its_blank_line_is():
    parser = Parser()
    assert list(parser.feed(b'data: a\n')) == []
    assert [event.data for event in parser.feed(b'\n')] == ['a']


def test_what_is_unfinished_is_passed_on_at_the_end():
    assert [event.raw for event in parsed([b'data: a\n\ndata: b'])] == [b'data: a\n\n', b'data: b']
