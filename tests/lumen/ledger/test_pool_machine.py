"""A pool against a plain model of it: whatever is done in whatever order, both hold the same coins."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import models
from lumen.coins import Price
from lumen.config.settings import Settings
from lumen.database import Database
from lumen.errors import Forbidden, InsufficientCoins
from lumen.ledger import Held, Settled, operations
from lumen.ledger.check import differences
from tests.conftest import Clock
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings

PROCESS = 'process'
MAXIMA = {'-2': None, '0': 0, '0.9': 900_000_000, '3': 3 * COIN, '12.000000001': 12 * COIN + 1}
REFRESHES = {'0': 0, '0.333333333': 333_333_333, '7': 7 * COIN}
STARTING = 2 * COIN
PRICES = (Price(0, 0), Price(2 * COIN * 1000, 4 * COIN * 1000), Price(1_234_567_891, 3_333_333_333_333))
HOUR_US = 3_600_000_000

pools = st.tuples(st.sampled_from(['3', '12.000000001', *MAXIMA]), st.sampled_from(sorted(REFRESHES)))
tokens = st.integers(0, 300)
sizes = st.integers(0, 200) | st.integers(500, 3000)
asks = st.tuples(st.sampled_from(PRICES), st.integers(1, 100), sizes, st.integers(0, 16))
"""Price, most tokens of input and of output, and how many sixteenths of that are expected."""


@dataclass
class Call:
    """A call in flight, as the model knows it."""

    price: Price
    amount: int
    unlimited: bool
    expected: tuple[int, int]


@dataclass
class Model:
    """What a pool is, in exact fractions of a nanocoin, without any of the ledger's tricks."""

    maximum: int | None
    refresh: int
    moment: int
    coins: Fraction = Fraction(STARTING)
    granted: int = STARTING
    spent: int = 0
    spent_unlimited: int = 0
    shortfall: int = 0
    is_active: bool = True
    calls: dict[str, Call] = field(default_factory=dict)
    settled: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def balance(self) -> int:
        return int(self.coins)

    @property
    def held(self) -> int:
        return sum(call.amount for call in self.calls.values())

    def touch(self, moment: int) -> None:
        """Take in what time brought since the last touch, up to the maximum; time that runs backwards brings none."""
        passed, self.moment = max(0, moment - self.moment), max(moment, self.moment)
        if self.maximum is None or self.balance >= self.maximum:
            self.coins = Fraction(self.balance) if passed else self.coins
        else:
            more = self.coins + Fraction(self.refresh * passed, HOUR_US)
            self.coins = min(Fraction(self.maximum), more) if more >= self.maximum else more

    def amount_for(self, price: Price, bound: tuple[int, int], expected: tuple[int, int]) -> int | None:
        """What is set aside for a call; None when the pool cannot pay."""
        if self.maximum is None:
            return 0
        most, usual = cost(price, *bound), cost(price, *expected)
        if most <= self.balance - self.held:
            return most
        writes_some = bound[1] == 0 or cost(price, expected[0], 1) <= self.balance
        return self.balance if self.held == 0 and usual <= self.balance and writes_some else None

    def settle(self, request_id: str, used: tuple[int, int]) -> tuple[int, int]:
        """What a call is charged, and what the pool could not pay of it."""
        call = self.calls[request_id]
        due = cost(call.price, *used)
        paid = due if call.unlimited else min(due, call.amount + self.balance - self.held)
        del self.calls[request_id]
        self.spent += paid
        if call.unlimited:
            self.spent_unlimited += paid
        else:
            self.coins -= paid
        self.settled[request_id] = paid, due - paid
        return self.settled[request_id]


def cost(price: Price, read: int, written: int) -> int:
    """Nanocoins, rounded half up once."""
    return int(Fraction(read * price.input + written * price.output, 1_000_000) + Fraction(1, 2))


class Pool(RuleBasedStateMachine):
    """The ledger's own functions on a real database, and the model beside them."""

    database: Database
    other: Database
    """The same one, as another process has it."""
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.settings = configured('3', '7')
        self.client = self.database.write_now(open_client, self.settings)
        self.model = Model(MAXIMA['3'], REFRESHES['7'], self.clock())

    @rule(calls=st.lists(asks, min_size=1, max_size=4))
    def hold(self, calls: list[tuple[Price, int, int, int]]) -> None:
        for price, read, written, sixteenths in calls:
            self.hold_one(price, read, written, sixteenths)

    def hold_one(self, price: Price, read: int, written: int, sixteenths: int) -> None:
        expected = read * sixteenths // 16, written * sixteenths // 16
        asked = self.database.read_now(
            lambda: ask(
                *self.client,
                price=price,
                input_bound=read,
                output_bound=written,
                expected_input_tokens=expected[0],
                expected_output_tokens=expected[1],
            )
        )
        if not self.model.is_active or self.model.maximum == 0:
            assert isinstance(self.placed(asked), Forbidden)
            return
        self.model.touch(self.clock())
        amount = self.model.amount_for(price, (read, written), expected)
        placed = self.placed(asked)
        if amount is None:
            assert isinstance(placed, InsufficientCoins)
            assert (placed.balance, placed.held) == (self.model.balance, self.model.held)
            return
        assert isinstance(placed, Held), placed
        assert (placed.amount, placed.unlimited) == (amount, self.model.maximum is None)
        if placed.bounded_by_pool:
            assert cost(price, expected[0], placed.output_bound) <= amount
            assert cost(price, expected[0], placed.output_bound + 1) > amount
        else:
            assert placed.output_bound == written
        self.model.calls[asked.request_id] = Call(price, amount, placed.unlimited, expected)

    @precondition(lambda self: self.model.calls)
    @rule(number=st.integers(0, 9), read=tokens, written=tokens, how=st.sampled_from(['success', 'disconnected']))
    def settle(self, number: int, read: int, written: int, how: str) -> None:
        request_id = self.some_call(number)
        self.model.touch(self.clock())
        used = outcome(read, written, outcome=how, estimated=how != 'success')
        assert self.settled(request_id, used) == Settled(*self.model.settle(request_id, (read, written)))

    @precondition(lambda self: self.model.calls)
    @rule(number=st.integers(0, 9))
    def interrupt(self, number: int) -> None:
        request_id = self.some_call(number)
        self.model.touch(self.clock())
        expected = self.model.calls[request_id].expected
        assert self.settled(request_id, None) == Settled(*self.model.settle(request_id, expected))

    @precondition(lambda self: self.model.settled)
    @rule(number=st.integers(0, 9), read=tokens)
    def settle_again(self, number: int, read: int) -> None:
        request_id = sorted(self.model.settled)[number % len(self.model.settled)]
        assert self.settled(request_id, outcome(read, read)) == Settled(*self.model.settled[request_id])

    @precondition(lambda self: self.model.calls)
    @rule(number=st.integers(0, 9), wanted=st.sampled_from([COIN // 10, COIN, 20 * COIN]))
    def extend(self, number: int, wanted: int) -> None:
        request_id = self.some_call(number)
        call = self.model.calls[request_id]
        found = self.done(operations.Extend(request_id, wanted, self.settings))
        if call.unlimited:
            assert found is None
            return
        self.model.touch(self.clock())
        call.amount += max(0, min(wanted - call.amount, self.model.balance - self.model.held))
        assert found == call.amount

    @rule(microseconds=st.integers(-(10**10), 3 * 10**10))
    def time_passes(self, microseconds: int) -> None:
        self.clock.advance(microseconds=microseconds)

    @rule(pool=pools)
    def configure(self, pool: tuple[str, str]) -> None:
        self.settings = configured(*pool)
        self.model.maximum, self.model.refresh = MAXIMA[pool[0]], REFRESHES[pool[1]]

    @rule(active=st.sampled_from([True, True, False]))
    def activate(self, active: bool) -> None:
        row = models.Account.update(active=active).where(models.Account.id == self.client[0])
        self.database.write_now(row.execute)
        self.model.is_active = active

    @rule(coins=st.sampled_from([COIN, 1, 5 * COIN]), elsewhere=st.booleans())
    def grant(self, coins: int, elsewhere: bool) -> None:
        self.write(
            f'update account set balance = balance + {coins}, granted = granted + {coins} where id = {self.client[0]}',
            elsewhere,
        )
        self.model.coins += coins
        self.model.granted += coins

    @precondition(lambda self: self.model.calls)
    @rule(number=st.integers(0, 9), elsewhere=st.booleans())
    def settle_for_another(self, number: int, elsewhere: bool) -> None:
        """A call is settled by who does not know this process."""
        request_id = self.some_call(number)
        self.model.touch(self.clock())
        expected = self.model.calls[request_id].expected
        operation = operations.Settle(request_id, None, self.settings)
        database = self.other if elsewhere else self.database
        models.database.initialize(database.engine)
        [(settled, _)] = database.write_now(operations.carry_out, [operation])
        models.database.initialize(self.database.engine)
        assert settled == Settled(*self.model.settle(request_id, expected))

    @precondition(lambda self: self.model.calls)
    @rule(number=st.integers(0, 9))
    def take_back(self, number: int) -> None:
        """A settlement and a hold of all that is left, in a transaction that is not committed."""
        request_id = self.some_call(number)
        asked = self.database.read_now(lambda: ask(*self.client, price=PRICES[0]))

        def settle_and_fail() -> None:
            operations.carry_out(
                [
                    operations.Settle(request_id, outcome(1, 1), self.settings),
                    operations.Place(asked, PROCESS, self.settings),
                ]
            )
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            self.database.write_now(settle_and_fail)

    @invariant()
    def both_hold_the_same(self) -> None:
        row = self.database.read_now(account, self.client[0])
        model = self.model
        assert (row.balance, row.held) == (model.balance, model.held)
        assert (row.spent, row.spent_unlimited) == (model.spent, model.spent_unlimited)
        assert row.granted == model.granted
        assert row.granted + row.accrued - (row.spent - row.spent_unlimited) == row.balance
        assert 0 <= row.held <= row.balance

    def teardown(self) -> None:
        self.clock.advance(hours=1000)  # beyond every moment that a pool was touched
        for request_id in tuple(self.model.calls):
            self.settled(request_id, outcome(1, 1))
        assert self.database.read_now(account, self.client[0]).held == 0
        assert self.database.read_now(differences) == []

    def write(self, statement: str, elsewhere: bool) -> None:
        database = self.other if elsewhere else self.database
        database.write_now(database.engine.execute_sql, statement)

    def some_call(self, number: int) -> str:
        return sorted(self.model.calls)[number % len(self.model.calls)]

    def settled(self, request_id: str, used: Any) -> Any:
        return self.done(operations.Settle(request_id, used, self.settings))

    def placed(self, asked: Any) -> Any:
        return self.done(operations.Place(asked, PROCESS, self.settings))

    def done(self, operation: operations.Operation) -> Any:
        """What came of it: a value, or the refusal."""
        [(value, refusal)] = self.database.write_now(operations.carry_out, [operation])
        return refusal if refusal is not None else value


def configured(maximum: str, refresh: str) -> Settings:
    return settings(max=maximum, refresh=refresh, starting='2')


def test_whatever_is_done_a_pool_holds_what_a_plain_model_of_it_does(
    database: Database, database_url: str, clock: Clock
):
    class Machine(Pool):
        pass

    with closing(Database(database_url, clock=clock)) as other:
        models.database.initialize(database.engine)
        Machine.database, Machine.other, Machine.clock = database, other, clock
        run(Machine, 40 if database.is_sqlite else 15)


def run(machine: type[Pool], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            deadline=None,  # a transaction takes as long as the disk does
            max_examples=examples,
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
