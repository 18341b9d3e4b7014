"""The whole schema: every table of Lumen, as Peewee models.

Conventions: `*_at` columns are whole microseconds since the Unix epoch (UTC). Money is whole nanocoins (10**-9 coin)
in 64-bit integers. Models, prices, groups and rules of access live in `config.yaml`; rows here refer to them by name.
Only `lumen/ledger/` writes a balance, a hold or a counter.
"""

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    Check,
    CompositeKey,
    DatabaseProxy,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

database = DatabaseProxy()

CLIENT = 'client'
USER = 'user'


class Table(Model):
    class Meta:
        database = database
        legacy_table_names = False


class Account(Table):
    """What clients and users have in common: a pool and counters, on one row.

    `handle` is what makes an account unique within its kind: a client's case-folded name, a user's case-folded e-mail.
    The law of every pool: `granted + accrued - (spent - spent_unlimited) = balance`.
    """

    id = BigAutoField()
    kind = CharField(max_length=8, constraints=[Check("kind in ('client', 'user')")])
    handle = CharField(max_length=320)
    name = CharField(max_length=320)
    email = CharField(max_length=320, default='')
    active = BooleanField(default=True)
    created_at = BigIntegerField()
    created_by = CharField(max_length=320)

    balance = BigIntegerField(default=0, constraints=[Check('balance >= 0')])
    held = BigIntegerField(default=0, constraints=[Check('held >= 0')])
    granted = BigIntegerField(default=0)
    accrued = BigIntegerField(default=0, constraints=[Check('accrued >= 0')])
    spent = BigIntegerField(default=0, constraints=[Check('spent >= 0')])
    spent_unlimited = BigIntegerField(default=0, constraints=[Check('spent_unlimited >= 0')])
    touched_at = BigIntegerField()
    refill_remainder = BigIntegerField(default=0)
    """What the last refill left below one nanocoin, in units of 1/3_600_000_000 nanocoin."""

    requests = BigIntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)

    class Meta:
        indexes = ((('kind', 'handle'), True),)
        constraints = [
            Check('held <= balance'),
            Check('granted + accrued - (spent - spent_unlimited) = balance'),
        ]


class Manager(Table):
    """A user who looks after a client. At most one of a client's managers is its owner."""

    id = BigAutoField()
    client_id: int
    client = ForeignKeyField(Account, backref='managers', lazy_load=False, on_delete='RESTRICT')
    user_id: int
    user = ForeignKeyField(Account, backref='manages', lazy_load=False, on_delete='RESTRICT')
    is_owner = BooleanField(default=False)
    added_at = BigIntegerField()
    added_by = CharField(max_length=320)

    class Meta:
        indexes = ((('client', 'user'), True),)


Manager.add_index(Manager.index(Manager.client, unique=True, where=Manager.is_owner, name='manager_owner'))


class ApiKey(Table):
    """A key of an account. The key itself is never stored, only its HMAC (`digest`) and a `hint` to recognise it by."""

    id = BigAutoField()
    account_id: int
    account = ForeignKeyField(Account, backref='keys', lazy_load=False, on_delete='RESTRICT')
    name = CharField(max_length=64)
    digest = CharField(max_length=64, unique=True)
    hint = CharField(max_length=32)
    created_at = BigIntegerField()
    created_by = CharField(max_length=320)
    expires_at = BigIntegerField(null=True)
    revoked_at = BigIntegerField(null=True)
    last_used_at = BigIntegerField(null=True)
    requests = BigIntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)
    spent = BigIntegerField(default=0, constraints=[Check('spent >= 0')])


class Acknowledgement(Table):
    """An account's acceptance of a model's message, recognised by the digest of the text that was accepted."""

    id = BigAutoField()
    account = ForeignKeyField(Account, backref='acknowledgements', lazy_load=False, on_delete='RESTRICT')
    model = CharField(max_length=200)
    message_digest = CharField(max_length=64)
    acknowledged_at = BigIntegerField()
    acknowledged_by = CharField(max_length=320)

    class Meta:
        indexes = ((('account', 'model', 'message_digest'), True),)


class Process(Table):
    """A serving process and its last sign of life. Holds of a process that is gone are settled by another."""

    id = CharField(max_length=32, primary_key=True)
    role = CharField(max_length=16)
    started_at = BigIntegerField()
    heartbeat_at = BigIntegerField()


class Hold(Table):
    """Coins set aside for a call in flight: the most that it could cost. Gone when the call is settled."""

    id = BigAutoField()
    request_id = CharField(max_length=64, unique=True)
    account_id: int
    account = ForeignKeyField(Account, lazy_load=False, on_delete='RESTRICT', index=False)
    key_id: int
    key = ForeignKeyField(ApiKey, lazy_load=False, on_delete='RESTRICT', index=False)
    process_id = CharField(max_length=32)
    model = CharField(max_length=200)
    amount = BigIntegerField(constraints=[Check('amount >= 0')])
    unlimited = BooleanField(default=False)
    input_price = BigIntegerField()
    output_price = BigIntegerField()
    audio_price = BigIntegerField(default=0, constraints=[SQL('DEFAULT 0')])
    expected_input_tokens = BigIntegerField()
    expected_output_tokens = BigIntegerField()
    expected_audio_us = BigIntegerField(default=0, constraints=[SQL('DEFAULT 0')])
    streamed = BooleanField()
    created_at = BigIntegerField()


class Line(Table):
    """Since when a call stands first for an account's coins in a process; not seen lately, it does no more."""

    account_id: int
    account = ForeignKeyField(Account, lazy_load=False, on_delete='RESTRICT', index=False)
    process_id = CharField(max_length=32)
    since = BigIntegerField()
    seen_at = BigIntegerField()

    class Meta:
        primary_key = CompositeKey('account', 'process_id')


class Request(Table):
    """One settled call. Append-only."""

    id = BigAutoField()
    request_id = CharField(max_length=64, unique=True)
    account_id: int
    account = ForeignKeyField(Account, lazy_load=False, on_delete='RESTRICT', index=False)
    key_id: int
    key = ForeignKeyField(ApiKey, lazy_load=False, on_delete='RESTRICT', index=False)
    model = CharField(max_length=200)
    endpoint = CharField(max_length=500, default='')
    outcome = CharField(max_length=32)
    status = IntegerField()
    streamed = BooleanField()
    input_tokens = BigIntegerField()
    output_tokens = BigIntegerField()
    audio_us = BigIntegerField(default=0, constraints=[SQL('DEFAULT 0')])
    estimated = BooleanField(default=False)
    cost = BigIntegerField(constraints=[Check('cost >= 0')])
    shortfall = BigIntegerField(default=0, constraints=[Check('shortfall >= 0')])
    started_at = BigIntegerField()
    settled_at = BigIntegerField()
    duration_us = BigIntegerField()
    time_to_first_byte_us = BigIntegerField(null=True)

    class Meta:
        indexes = ((('account', 'settled_at'), False),)


class Repeat(Table):
    """The first call with an idempotency key, by a name that only its caller can make, who alone can read `answer`."""

    name = CharField(max_length=64, primary_key=True)
    key = ForeignKeyField(ApiKey, lazy_load=False, on_delete='RESTRICT', index=False)
    request_id = CharField(max_length=64)
    asked = CharField(max_length=64)
    ended = BooleanField(default=False)
    answer = BlobField(null=True)
    created_at = BigIntegerField(index=True)


class HourlyUsage(Table):
    """Usage summed over one UTC hour of settlement. `hour` is whole hours since the Unix epoch."""

    id = BigAutoField()
    account = ForeignKeyField(Account, lazy_load=False, on_delete='RESTRICT', index=False)
    key = ForeignKeyField(ApiKey, lazy_load=False, on_delete='RESTRICT', index=False)
    model = CharField(max_length=200)
    outcome = CharField(max_length=32)
    hour = BigIntegerField(index=True)
    requests = BigIntegerField()
    input_tokens = BigIntegerField()
    output_tokens = BigIntegerField()
    spent = BigIntegerField()
    last_used_at = BigIntegerField()

    class Meta:
        indexes = ((('account', 'key', 'model', 'outcome', 'hour'), True),)


class CarriedTotal(Table):
    """What requests removed by retention had cost, so that totals still add up to the counters."""

    account = ForeignKeyField(Account, primary_key=True, lazy_load=False, on_delete='RESTRICT')
    requests = BigIntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)
    spent = BigIntegerField(default=0)


class AuditEvent(Table):
    """Who did what, when, with the state before and after as JSON text. Append-only."""

    id = BigAutoField()
    at = BigIntegerField()
    actor = CharField(max_length=320)
    actor_account = ForeignKeyField(Account, null=True, lazy_load=False, on_delete='RESTRICT')
    via = CharField(max_length=16)
    action = CharField(max_length=64)
    account = ForeignKeyField(Account, null=True, lazy_load=False, on_delete='RESTRICT')
    subject = CharField(max_length=320)
    before = TextField(default='{}')
    after = TextField(default='{}')


class Session(Table):
    """A signed-in browser: the hash of its opaque cookie, whose it is, until when."""

    id = BigAutoField()
    digest = CharField(max_length=64, unique=True)
    user_id: int
    user = ForeignKeyField(Account, backref='sessions', lazy_load=False, on_delete='RESTRICT')
    created_at = BigIntegerField()
    expires_at = BigIntegerField(index=True)
    ended_at = BigIntegerField(null=True)


class EndpointHealth(Table):
    """What gateways know of an endpoint, none while `changed_at` is 0; it rests, and is being tried, until then."""

    id = BigAutoField()
    model = CharField(max_length=200)
    url = CharField(max_length=500)
    healthy = BooleanField(default=True)
    changed_at = BigIntegerField()
    rests_until = BigIntegerField(default=0)
    tried_until = BigIntegerField(default=0)
    detail = CharField(max_length=500, default='')

    class Meta:
        indexes = ((('model', 'url'), True),)


class Revision(Table):
    """A number per topic that grows with every change, polled by processes to know when to empty a cache."""

    topic = CharField(max_length=32, primary_key=True)
    number = BigIntegerField(default=0)


class Fingerprint(Table):
    """By what a secret is recognised that the database must not hold: its HMAC of a text that everybody knows."""

    name = CharField(max_length=32, primary_key=True)
    value = CharField(max_length=64)


TABLES: tuple[type[Table], ...] = tuple(Table.__subclasses__())
"""In the order of this file."""
