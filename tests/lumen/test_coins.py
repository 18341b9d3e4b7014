from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumen import coins
from lumen.coins import Price

nanocoins = st.integers(-(2**63) + 1, 2**63 - 1)
prices = st.builds(Price, st.integers(0, 10**13), st.integers(0, 10**13))
tokens = st.integers(0, 10**7)
timed = st.builds(Price, st.integers(0, 10**13), st.integers(0, 10**13), st.integers(0, 10**13))
microseconds = st.integers(0, 10**12)


@given(nanocoins)
def test_what_is_shown_exactly_is_read_back(amount: int):
    assert coins.from_text(coins.exact(amount)) == amount


@given(nanocoins)
def test_short_is_rounded_half_up_to_two_decimals(amount: int):
    rounded = (abs(Decimal(amount)) / 10**9).quantize(Decimal('0.01'), ROUND_HALF_UP)
    assert Decimal(coins.short(amount).replace(',', '')) == rounded.copy_sign(amount) + 0


def test_thousands_are_separated_and_nothing_has_no_sign():
    assert coins.short(1_234_567_891_000_000) == '1,234,567.89'
    assert coins.short(-1) == '0.00'
    assert coins.short(-1_005_000_000) == '-1.01'


@given(prices, tokens, tokens)
def test_a_cost_is_the_formula_rounded_half_up_once(price: Price, read: int, written: int):
    exact = (Decimal(read) * price.input + Decimal(written) * price.output) / 1_000_000
    assert price.cost(read, written) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@given(timed, tokens, tokens, microseconds)
def test_audio_is_prorated_by_the_microsecond_and_all_is_rounded_once(
    price: Price, read: int, written: int, heard: int
):
    exact = Fraction(read * price.input + written * price.output, 10**6) + Fraction(heard * price.audio, 3600 * 10**6)
    assert price.cost(read, written, heard) == floor(exact + Fraction(1, 2))


@given(timed, st.integers(0, 10**15), tokens, microseconds)
def test_the_affordable_output_is_the_most_that_can_be_paid(price: Price, budget: int, read: int, heard: int):
    most = price.affordable_output_tokens(budget, read, heard)
    if most > 0:
        assert price.cost(read, most, heard) <= budget
    if price.output:
        assert price.cost(read, most + 1, heard) > budget or price.cost(read, 0, heard) > budget


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('1', 10**9),
        ('0.05', 50_000_000),
        ('1e-9', 1),
        ('-2', -2 * 10**9),
        (' 7 ', 7 * 10**9),
        ('1_000', 10**12),
        ('-0', 0),
    ],
)
def test_coins_are_read_from_decimal_text(text: str, expected: int):
    assert coins.from_text(text) == expected


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', 'number'),
        ('ten', 'number'),
        ('nan', 'finite'),
        ('inf', 'finite'),
        ('0.0000000001', '9 decimals'),
        ('0.1234567890000000000000000000000000001', '9 decimals'),
        ('1e-400', '9 decimals'),
        ('1e400', 'too large'),
        ('9223372036.854775808', 'too large'),
    ],
)
def test_what_is_no_amount_of_coins_says_why(text: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        coins.from_text(text)
