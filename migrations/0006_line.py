"""Who stands first for an account's coins in each process. A frozen copy of the models as they were."""

from typing import Any

from peewee import BigAutoField, BigIntegerField, CharField, CompositeKey, Database, ForeignKeyField, Model


class Table(Model):
    class Meta:
        legacy_table_names = False


class Account(Table):
    id = BigAutoField()


class Line(Table):
    account = ForeignKeyField(Account, lazy_load=False, on_delete='RESTRICT', index=False)
    process_id = CharField(max_length=32)
    since = BigIntegerField()
    seen_at = BigIntegerField()

    class Meta:
        primary_key = CompositeKey('account', 'process_id')


def up(migrator: Any, db: Database) -> None:
    with db.bind_ctx([Account, Line], bind_refs=False, bind_backrefs=False):
        db.create_tables([Line], safe=False)


def down(migrator: Any, db: Database) -> None:
    with db.bind_ctx([Account, Line], bind_refs=False, bind_backrefs=False):
        db.drop_tables([Line])
