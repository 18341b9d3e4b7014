"""What batches keep in mind is so, whoever writes, and whatever is taken back."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import models
from lumen.coins import Price
from lumen.database import Database
from lumen.errors import Forbidden, InsufficientCoins, NotAuthenticated
from lumen.ledger import Ask, Ledger, Settled, known, statements
from lumen.ledger.check import differences
from lumen.ledger.operations import Extend, Operation, Place, Settle, carry_out, settle
from lumen.writer import Work
from tests.conftest import Clock
from tests.lumen.ledger.accounts import COIN, account, ask, open_client, outcome, settings
from tests.lumen.ledger.test_ledger import Poisoned, Source

TEN = settings(max='10', refresh='0', starting='10')
only_sqlite = pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)

Client = tuple[int, int]
Write = Callable[[str], None]


@pytest.fixture
def client(database: Database) -> Client:
    """One of which the last batch knows account and key."""
    client = database.write_now(open_client, TEN)
    held = done(database, Place(asked(database, client), 'here', TEN))
    assert held.amount == COIN
    assert done(database, Settle(held.request_id, outcome(0, 0), TEN)) == Settled(0, 0)
    return client


@pytest.fixture(params=['over another connection', 'over the same connection'])
def write(request: pytest.FixtureRequest, database: Database, database_url: str) -> Write:
    """Carries out a statement that the ledger does not know of."""

    def here(statement: str) -> None:
        database.write_now(database.engine.execute_sql, statement)

    def elsewhere(statement: str) -> None:
        if database.is_sqlite:
            with closing(sqlite3.connect(database.engine.database, timeout=10)) as other, other:
                other.execute(statement)
        else:
            with psycopg.connect(database_url, autocommit=True) as other:
                other.execute(statement)

    return here if request.param == 'over the same connection' else elsewhere


def asked(database: Database, client: Client, **changes: Any) -> Ask:
    return database.read_now(lambda: ask(*client, **changes))


def done(database: Database, operation: Operation) -> Any:
    """What came of it: a value, or the refusal."""
    [(value, refusal)] = database.write_now(carry_out, [operation])
    return refusal if refusal is not None else value


def selects(database: Database, *operations: Operation) -> list[str]:
    """What was asked of an SQLite database to carry them out, other than whether anybody else wrote."""
    heard: list[str] = []
    database.write_now(lambda: models.database.connection().set_trace_callback(heard.append))
    database.write_now(carry_out, operations)
    database.write_now(lambda: models.database.connection().set_trace_callback(None))
    return [each for each in heard if each.lower().startswith('select')]


@only_sqlite
def test_what_is_known_is_not_read_again(database: Database, client: Client):
    first, second = asked(database, client), asked(database, client)
    assert selects(database, Place(first, 'here', TEN), Place(second, 'here', TEN)) == []
    assert selects(database, Settle(first.request_id, outcome(1, 1), TEN), Extend(second.request_id, 1, TEN)) == []
    assert selects(database, Settle(second.request_id, None, TEN)) == []
    assert database.read_now(differences) == []


@only_sqlite
async def test_a_sign_of_life_is_no_reason_to_forget(database: Database):
    client = await database.write(open_client, TEN)
    ledger = Ledger(database, Source(TEN))
    await ledger.start('all')
    first, second = [await database.read(ask, *client) for _ in range(2)]
    held = await ledger.hold(first)
    await ledger.beat()
    heard: list[str] = []
    await database.write(lambda: models.database.connection().set_trace_callback(heard.append))
    await ledger.hold(second)
    assert not [each for each in heard if each.startswith('select')]
    assert held.amount == COIN


async def test_a_sign_of_life_hides_nothing_that_was_written_before_it(database: Database):
    client = await database.write(open_client, TEN)
    ledger = Ledger(database, Source(TEN))
    await ledger.start('all')
    await ledger.hold(await database.read(ask, *client))
    await database.write(models.Account.update(active=False).where(models.Account.id == client[0]).execute)
    await ledger.beat()
    with pytest.raises(Forbidden):
        await ledger.hold(await database.read(ask, *client))


def test_a_client_that_was_deactivated_is_refused(database: Database, client: Client, write: Write):
    write(f'update account set active = false where id = {client[0]}')
    assert isinstance(done(database, Place(asked(database, client), 'here', TEN)), Forbidden)


def test_a_key_that_was_revoked_is_refused(database: Database, client: Client, write: Write):
    write(f'update api_key set revoked_at = 1 where id = {client[1]}')
    assert isinstance(done(database, Place(asked(database, client), 'here', TEN)), NotAuthenticated)


def test_coins_that_were_taken_are_not_held(database: Database, client: Client, write: Write):
    write(f'update account set balance = 0, granted = 0 where id = {client[0]}')
    refused = done(database, Place(asked(database, client), 'here', TEN))
    assert isinstance(refused, InsufficientCoins)
    assert refused.balance == 0


def test_coins_that_were_granted_can_be_held_at_once(database: Database, client: Client, write: Write):
    write(f'update account set balance = {30 * COIN}, granted = {30 * COIN} where id = {client[0]}')
    assert (
        done(database, Place(asked(database, client, output_bound=5000), 'here', TEN)).amount == 20 * COIN + COIN // 5
    )
    assert database.read_now(differences) == []


def test_a_hold_that_another_settled_is_not_charged_again(
    database: Database, client: Client, database_url: str, new_database: Callable[[str], Database]
):
    held = done(database, Place(asked(database, client), 'here', TEN))
    other = new_database(database_url)
    assert other.write_now(settle, held.request_id, outcome(10, 20), settings=TEN) == Settled(COIN // 10, 0)
    models.database.initialize(database.engine)
    assert done(database, Extend(held.request_id, 2 * COIN, TEN)) is None
    again = done(database, Settle(held.request_id, outcome(100, 200), TEN))
    assert (again, again.is_new) == (Settled(COIN // 10, 0), False)
    assert database.read_now(account, client[0]).spent == COIN // 10
    assert database.read_now(differences) == []


def test_a_hold_that_another_extended_is_as_that_one_left_it(
    database: Database, client: Client, database_url: str, new_database: Callable[[str], Database]
):
    held = done(database, Place(asked(database, client), 'here', TEN))
    other = new_database(database_url)
    assert done(other, Extend(held.request_id, 3 * COIN, TEN)) == 3 * COIN
    models.database.initialize(database.engine)
    assert done(database, Extend(held.request_id, 2 * COIN, TEN)) == 3 * COIN
    assert done(database, Settle(held.request_id, outcome(0, 0), TEN)) == Settled(0, 0)
    assert database.read_now(account, client[0]).held == 0


class Undone(Exception):
    pass


def test_what_was_taken_back_with_its_transaction_is_not_believed(database: Database, client: Client):
    def place_and_fail() -> None:
        carry_out([Place(call, 'here', TEN)])
        raise Undone

    call = asked(database, client, output_bound=2400)
    with pytest.raises(Undone):
        database.write_now(place_and_fail)
    assert done(database, Place(call, 'here', TEN)).amount == 9 * COIN + 8 * COIN // 10
    assert database.read_now(lambda: models.Hold.select().count()) == 1


@pytest.mark.parametrize('how', ['beside others', 'within its own'])
def test_what_was_taken_back_with_a_savepoint_is_not_believed(database: Database, client: Client, how: str):
    def place_and_fail() -> None:
        carry_out([Place(call, 'here', TEN)])
        raise Undone

    def fail_within() -> None:
        with pytest.raises(Undone), models.database.atomic():
            place_and_fail()

    call = asked(database, client, output_bound=2400)
    if how == 'within its own':
        database.write_now(fail_within)
    else:
        beside_others(database, place_and_fail)
    assert done(database, Place(call, 'here', TEN)).amount == 9 * COIN + 8 * COIN // 10
    assert database.read_now(lambda: models.Hold.select().count()) == 1


def beside_others(database: Database, call: Callable[[], None]) -> None:
    """Let `call` fail within a transaction that is committed."""
    futures = Future[None](), Future[None]()
    database._writer.queue.put([Work(futures[0], call), Work(futures[1], lambda: None)])
    assert isinstance(futures[0].exception(30), Undone)
    assert futures[1].result(30) is None


@pytest.mark.parametrize('failure', [peewee.IntegrityError, peewee.OperationalError, peewee.InternalError])
def test_what_could_not_be_committed_is_not_believed(
    database: Database, client: Client, failure: type[Exception], monkeypatch: pytest.MonkeyPatch
):
    commit = type(database.engine).commit
    left = [1]

    def fail_once(engine: Any) -> None:
        if left:
            left.pop()
            raise failure('not now')
        commit(engine)

    call = asked(database, client, output_bound=2400)
    monkeypatch.setattr(type(database.engine), 'commit', fail_once)
    try:
        database.write_now(carry_out, [Place(call, 'here', TEN)])
    except peewee.DatabaseError:
        assert done(database, Place(call, 'here', TEN)).amount == 9 * COIN + 8 * COIN // 10
    assert not left
    assert database.read_now(account, client[0]).held == 9 * COIN + 8 * COIN // 10
    assert done(database, Settle(call.request_id, outcome(0, 0), TEN)) == Settled(0, 0)
    assert database.read_now(differences) == []


def test_what_a_batch_that_failed_had_in_mind_is_not_believed_even_where_its_failure_is_borne(
    database: Database, client: Client
):
    def bear_it() -> None:
        poisoned = Poisoned(TEN, handle)
        with pytest.raises(ZeroDivisionError):
            carry_out([Place(first, 'here', TEN), Settle(held.request_id, outcome(0, 0), poisoned)])  # type: ignore[arg-type]

    held = done(database, Place(asked(database, client), 'here', TEN))
    handle = database.read_now(account, client[0]).handle
    first, second = (asked(database, client, output_bound=2150) for _ in range(2))
    database.write_now(bear_it)
    assert done(database, Place(second, 'here', TEN)).amount == 8 * COIN + 8 * COIN // 10
    assert database.read_now(account, client[0]).held == 9 * COIN + 8 * COIN // 10


def test_a_hold_that_another_placed_is_found_and_stays_as_it_is(
    database: Database, client: Client, database_url: str, new_database: Callable[[str], Database]
):
    call, beside = asked(database, client), asked(database, client)
    first = done(database, Place(call, 'here', TEN))
    database.write_now(forget_holds)
    results = database.write_now(carry_out, [Place(beside, 'here', TEN), Place(call, 'here', TEN)])
    assert [value.amount for value, _ in results] == [COIN, COIN]
    assert results[1][0] == first
    assert database.read_now(account, client[0]).held == 2 * COIN
    assert database.read_now(differences) == []


def test_a_hold_that_is_placed_again_stays_as_it_is_though_it_would_be_refused_by_now(
    database: Database, client: Client, write: Write
):
    call, beside = asked(database, client), asked(database, client)
    first = done(database, Place(call, 'here', TEN))
    write(f'update account set active = false where id = {client[0]}')
    assert isinstance(done(database, Place(beside, 'here', TEN)), Forbidden)  # what this one read is all that is known
    assert done(database, Place(call, 'here', TEN)) == first


def forget_holds() -> None:
    """As if there had been too many of them."""
    if (found := getattr(models.database.connection(), 'known', None)) is not None:
        found.holds.clear()


@only_sqlite
def test_only_so_much_is_kept_in_mind(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(known, 'MOST', 3)
    clients = [database.write_now(open_client, TEN) for _ in range(8)]
    calls = [asked(database, client) for client in clients]
    for call in calls:
        assert done(database, Place(call, 'here', TEN)).amount == COIN
        found = database.write_now(lambda: models.database.connection().known)
        assert max(map(len, (found.accounts, found.keys, found.holds))) <= 3
    for call in calls:
        assert done(database, Settle(call.request_id, outcome(10, 20), TEN)) == Settled(COIN // 10, 0)
    assert database.read_now(differences) == []


@only_sqlite
def test_batches_of_every_size_are_written_whole(database: Database):
    unlimited = settings(max='-2')
    client = database.write_now(open_client, unlimited)
    largest = 2 * statements.SIZES[-1] + 1
    for size in (*range(1, 40), 100, largest - 1, largest):
        calls = database.read_now(lambda size=size: [ask(*client) for _ in range(size)])
        database.write_now(carry_out, [Place(call, 'here', unlimited) for call in calls])
        assert database.read_now(lambda: models.Hold.select().count()) == size
        database.write_now(carry_out, [Settle(call.request_id, outcome(1, 1), unlimited) for call in calls])
        assert database.read_now(lambda: models.Hold.select().count()) == 0
    assert database.read_now(differences) == []


@only_sqlite
def test_large_batches_make_no_files_beside_the_database(database: Database, client: Client):
    in_memory = 2
    assert database.write_now(lambda: models.database.execute_sql('pragma temp_store').fetchone()[0]) == in_memory
    assert database.read_now(lambda: models.database.execute_sql('pragma temp_store').fetchone()[0]) != in_memory


# With the memory and without it, the same rows come of the same operations.

POOLS = [settings(max=maximum, refresh='3600', starting='5') for maximum in ('6', '9', '-2', '0')]
numbers = st.integers(0, 5)
tokens = st.integers(0, 400)
step = st.one_of(
    st.tuples(st.just('place'), numbers, tokens, tokens),
    st.tuples(st.just('settle'), numbers, tokens, tokens),
    st.tuples(st.just('interrupt'), numbers, tokens, tokens),
    st.tuples(st.just('extend'), numbers, tokens, tokens),
)
batches = st.tuples(
    st.lists(step, min_size=1, max_size=5),
    st.integers(0, 3),
    st.sampled_from(['kept', 'kept', 'kept', 'taken back', 'deactivated', 'revoked', 'granted', 'activated']),
    st.integers(-1000, 3_000_000),
)


@pytest.fixture
def two(tmp_path: Path, sqlite_template: Path, clock: Clock) -> Iterator[list[Database]]:
    databases = []
    for name in ('with', 'without'):
        shutil.copyfile(sqlite_template, tmp_path / name)
        databases.append(Database(f'sqlite:///{tmp_path / name}', clock=clock))
    yield databases
    for database in databases:
        database.close()


class Story:
    """Random batches, as they are told to one database after the other."""

    def __init__(self, number: int):
        self.number = number
        self.clients: list[Client] = []
        self.ended: set[str] = set()

    def open(self) -> None:
        for which in range(3):
            name = f'client-{self.number}-{which}'
            self.clients.append(_open(name))

    def operations(self, steps: list[tuple[str, int, int, int]], pool: int) -> Iterator[Operation]:
        for what, number, read, written in steps:
            request_id = f'req-{self.number}-{number}'
            if what == 'place' and request_id in self.ended:
                continue  # no call has the id of an earlier one
            if what == 'place':
                client = self.clients[number % 3]
                handle = f'client-{self.number}-{number % 3}'
                call = Ask(
                    request_id,
                    *client,
                    kind='client',
                    handle=handle,
                    model='echo',
                    price=Price(2 * COIN * 1000, 4 * COIN * 1000),
                    input_bound=read,
                    output_bound=written,
                    choices=1,
                    expected_input_tokens=read // 2,
                    expected_output_tokens=written // 2,
                    streamed=False,
                )
                yield Place(call, 'here', POOLS[pool])
            elif what == 'extend':
                yield Extend(request_id, (read + written) * COIN // 100, POOLS[pool])
            else:
                self.ended.add(request_id)
                yield Settle(request_id, outcome(read, written) if what == 'settle' else None, POOLS[pool])


def _open(name: str) -> Client:
    account_id, key_id = open_client(POOLS[0], name)
    models.ApiKey.update(digest=f'digest-of-{name}').where(models.ApiKey.id == key_id).execute()
    return account_id, key_id


def rows() -> list[Any]:
    tables = (models.Account, models.ApiKey, models.Hold, models.Request, models.HourlyUsage)
    return [list(table.select().order_by(table.id).tuples()) for table in tables]


@hypothesis_settings(
    deadline=None,
    max_examples=60,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=st.lists(batches, min_size=1, max_size=12))
def test_the_same_rows_come_of_it_with_and_without_what_is_kept_in_mind(
    two: list[Database], clock: Clock, batches: list[Any]
):
    begun, number = clock.microseconds, _next()
    found = []
    for database in two:
        models.database.initialize(database.engine)
        clock.microseconds = begun
        is_kept_in_mind = database is two[0]
        story = Story(number)
        database.write_now(story.open)
        results = [told(database, story, batch, clock, is_kept_in_mind) for batch in batches]
        found.append((results, database.read_now(rows), database.read_now(differences)))
    assert found[0] == found[1]
    assert found[0][2] == []


def told(database: Database, story: Story, batch: Any, clock: Clock, is_kept_in_mind: bool) -> list[str]:
    steps, pool, what, microseconds = batch
    clock.advance(microseconds=microseconds)
    results: list[Any] = []

    def do() -> None:
        if not is_kept_in_mind:
            models.database.connection().known = None
        results.extend(carry_out(list(story.operations(steps, pool))))
        if what == 'taken back':
            raise Undone

    try:
        database.write_now(do)
    except (Undone, peewee.IntegrityError) as error:
        results.append(repr(error))
    outside(database, story, what)
    return [repr(each) for each in results]


def outside(database: Database, story: Story, what: str) -> None:
    """What somebody else does, over another connection."""
    account_id, key_id = story.clients[0]
    statements = {
        'deactivated': f'update account set active = 0 where id = {account_id}',
        'activated': f'update account set active = 1 where id = {account_id}',
        'revoked': f'update api_key set revoked_at = 1 where id = {key_id}',
        'granted': f'update account set balance = balance + {COIN}, granted = granted + {COIN} where id = {account_id}',
    }
    if what in statements:
        with closing(sqlite3.connect(database.engine.database, timeout=10)) as other, other:
            other.execute(statements[what])


_count = [0]


def _next() -> int:
    _count[0] += 1
    return _count[0]
