"""The first calls with an idempotency key. A frozen copy of the models as they were."""

from typing import Any

from peewee import (
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    Database,
    ForeignKeyField,
    Model,
)


class Table(Model):
    class Meta:
        legacy_table_names = False


class ApiKey(Table):
    id = BigAutoField()


class Repeat(Table):
    name = CharField(max_length=64, primary_key=True)
    key = ForeignKeyField(ApiKey, lazy_load=False, on_delete='RESTRICT', index=False)
    request_id = CharField(max_length=64)
    asked = CharField(max_length=64)
    ended = BooleanField(default=False)
    answer = BlobField(null=True)
    created_at = BigIntegerField(index=True)


def up(migrator: Any, db: Database) -> None:
    with db.bind_ctx([ApiKey, Repeat], bind_refs=False, bind_backrefs=False):
        db.create_tables([Repeat], safe=False)


def down(migrator: Any, db: Database) -> None:
    with db.bind_ctx([ApiKey, Repeat], bind_refs=False, bind_backrefs=False):
        db.drop_tables([Repeat])
