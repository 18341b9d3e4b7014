"""What may be said over one socket: hands never come near it."""

from __future__ import annotations

from types import SimpleNamespace

from lumen_ui.socket_rates import BURST, BYTES_OF_ONE, MESSAGES_A_SECOND, SocketRates


class Socket(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]  # each is itself, whatever it says


class Moment:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def said(rates: SocketRates, socket: Socket, times: int) -> int:
    return sum(rates.may_say(socket) for _ in range(times))


def test_a_burst_passes_and_then_so_many_a_second():
    moment = Moment()
    rates, socket = SocketRates(moment), Socket()
    assert said(rates, socket, 1000) == BURST
    moment.seconds = 1.0
    assert said(rates, socket, 1000) == MESSAGES_A_SECOND
    assert said(rates, Socket(), 1000) == BURST, 'each socket is counted by itself'
    moment.seconds = 1000.0
    assert said(rates, socket, 1000) == BURST, 'quiet saves no more than a burst'


def test_a_key_that_repeats_for_minutes_is_heard():
    moment = Moment()
    rates, socket = SocketRates(moment), Socket()
    for number in range(10_000):
        moment.seconds = number / 45
        assert rates.may_say(socket)


def test_a_large_message_counts_as_several():
    rates, socket = SocketRates(Moment()), Socket()
    assert sum(rates.may_say(socket, 10 * BYTES_OF_ONE) for _ in range(100)) == BURST // 11
