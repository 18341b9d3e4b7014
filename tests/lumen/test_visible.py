import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from lumen.visible import visible

OVERRIDING = ('LRE', 'RLE', 'LRO', 'RLO', 'PDF', 'LRI', 'RLI', 'FSI', 'PDI')


def test_what_steers_is_shown_as_what_it_is():
    assert visible('Ada\u202emoc.elpmaxe@live') == 'Ada\\u202emoc.elpmaxe@live'
    assert visible('a\x00b\x1b[31m\x9b1A') == 'a\\u0000b\\u001b[31m\\u009b1A'
    assert visible('one\ntwo\r\u2028three') == 'one\\u000atwo\\u000d\\u2028three'
    assert visible('half \ud83d') == 'half \\ud83d'


def test_what_people_write_stays_as_it_is():
    for text in ('Zoë O’Neill', '研究', 'עדה לאבלייס', 'أدا', '👩‍💻 🎉', '<img src=x>', '', 'a\u200eb'):
        assert visible(text) == text


def test_what_is_escaped_in_json_means_the_same():
    value = {'name': 'a\u202eb\x9b\u2028', 'list': [1]}
    assert json.loads(visible(json.dumps(value, ensure_ascii=False, indent=2), lines=True)) == value


def test_lines_stay_where_there_may_be_lines():
    assert visible('one\n\ttwo\r\n\x1b', lines=True) == 'one\n\ttwo\\u000d\n\\u001b'


@given(st.text(alphabet=st.characters(categories=['Cc', 'Cf', 'Cs', 'Zl', 'Zp', 'Lu']), max_size=30))
def test_nothing_that_is_shown_controls_or_overrides(text: str):
    for character in visible(text):
        assert unicodedata.category(character) not in ('Cc', 'Cs', 'Zl', 'Zp')
        assert unicodedata.bidirectional(character) not in (
            'LRE',
            'RLE',
            'LRO',
            'RLO',
            'PDF',
            'LRI',
            'RLI',
            'FSI',
            'PDI',
        )
