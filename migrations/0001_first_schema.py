"""The first schema. A frozen copy of the models as they were: it never follows later changes of `models.py`."""

from typing import Any

from peewee import (
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    Check,
    Database,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)


class Table(Model):
    class Meta:
        legacy_table_names = False


class Account(Table):
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
    id = BigAutoField()
    client = ForeignKeyField(Account, backref='managers', lazy_load=False, on_delete='RESTRICT')
    user = ForeignKeyField(Account, backref='manages', lazy_load=False, on_delete='RESTRICT')
    is_owner = BooleanField(default=False)
    added_at = BigIntegerField()
    added_by = CharField(max_length=320)

    class Meta:
        indexes = ((('client', 'user'), True),)


Manager.add_index(Manager.index(Manager.client, unique=True, where=Manager.is_owner, name='manager_owner'))


class ApiKey(Table):
    id = BigAutoField()
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
    id = BigAutoField()
    account = ForeignKeyField(Account, backref='acknowledgements', lazy_load=False, on_delete='RESTRICT')
    model = CharField(max_length=200)
    message_digest = CharField(max_length=64)
    acknowledged_at = BigIntegerField()
    acknowledged_by = CharField(max_length=320)

    class Meta:
        indexes = ((('account', 'model', 'message_digest'), True),)


class Process(Table):
    id = CharField(max_length=32, primary_key=True)
    role = CharField(max_length=16)
    started_at = BigIntegerField()
    heartbeat_at = BigIntegerField()


class Hold(Table):
    id = BigAutoField()
    request_id = CharField(max_length=64, unique=True)
    account = ForeignKeyField(Account, lazy_load=False, on_delete='RESTRICT')
    key = ForeignKeyField(ApiKey, lazy_load=False, on_delete='RESTRICT')
    process_id = CharField(max_length=32, index=True)
    model = CharField(max_length=200)
    amount = BigIntegerField(constraints=[Check('amount >= 0')])
    unlimited = BooleanField(default=False)
    input_price = BigIntegerField()
    output_price = BigIntegerField()
    expected_input_tokens = BigIntegerField()
    expected_output_tokens = BigIntegerField()
    streamed = BooleanField()
    created_at = BigIntegerField()


class Request(Table):
    id = BigAutoField()
    request_id = CharField(max_length=64, unique=True)
    account = ForeignKeyField(Account, lazy_load=False, on_delete='RESTRICT', index=False)
    key = ForeignKeyField(ApiKey, lazy_load=False, on_delete='RESTRICT', index=False)
    model = CharField(max_length=200)
    endpoint = CharField(max_length=500, default='')
    outcome = CharField(max_length=32)
    status = IntegerField()
    streamed = BooleanField()
    input_tokens = BigIntegerField()
    output_tokens = BigIntegerField()
    estimated = BooleanField(default=False)
    cost = BigIntegerField(constraints=[Check('cost >= 0')])
    shortfall = BigIntegerField(default=0, constraints=[Check('shortfall >= 0')])
    started_at = BigIntegerField()
    settled_at = BigIntegerField()
    duration_us = BigIntegerField()
    time_to_first_byte_us = BigIntegerField(null=True)

    class Meta:
        indexes = ((('account', 'settled_at'), False),)


class HourlyUsage(Table):
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
    account = ForeignKeyField(Account, primary_key=True, lazy_load=False, on_delete='RESTRICT')
    requests = BigIntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)
    spent = BigIntegerField(default=0)


class AuditEvent(Table):
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
    id = BigAutoField()
    digest = CharField(max_length=64, unique=True)
    user = ForeignKeyField(Account, backref='sessions', lazy_load=False, on_delete='RESTRICT')
    created_at = BigIntegerField()
    expires_at = BigIntegerField(index=True)
    ended_at = BigIntegerField(null=True)


class EndpointHealth(Table):
    id = BigAutoField()
    model = CharField(max_length=200)
    url = CharField(max_length=500)
    healthy = BooleanField(default=True)
    changed_at = BigIntegerField()
    detail = CharField(max_length=500, default='')

    class Meta:
        indexes = ((('model', 'url'), True),)


class Revision(Table):
    topic = CharField(max_length=32, primary_key=True)
    number = BigIntegerField(default=0)


TABLES = (
    Account,
    Manager,
    ApiKey,
    Acknowledgement,
    Process,
    Hold,
    Request,
    HourlyUsage,
    CarriedTotal,
    AuditEvent,
    Session,
    EndpointHealth,
    Revision,
)


def up(migrator: Any, db: Database) -> None:
    with db.bind_ctx(TABLES, bind_refs=False, bind_backrefs=False):
        db.create_tables(TABLES, safe=False)


def down(migrator: Any, db: Database) -> None:
    with db.bind_ctx(TABLES, bind_refs=False, bind_backrefs=False):
        db.drop_tables(TABLES)
