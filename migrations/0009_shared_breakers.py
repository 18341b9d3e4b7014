"""Processes share which endpoints rest. The table is made anew: what it knows is learnt again with the next calls.

A frozen copy of the models as they were.
"""

from typing import Any

from peewee import BigAutoField, BigIntegerField, BooleanField, CharField, Database, Model


class Before(Model):
    id = BigAutoField()
    model = CharField(max_length=200)
    url = CharField(max_length=500)
    healthy = BooleanField(default=True)
    changed_at = BigIntegerField()
    detail = CharField(max_length=500, default='')

    class Meta:
        table_name = 'endpoint_health'
        indexes = ((('model', 'url'), True),)


class EndpointHealth(Model):
    id = BigAutoField()
    model = CharField(max_length=200)
    url = CharField(max_length=500)
    healthy = BooleanField(default=True)
    changed_at = BigIntegerField()
    rests_until = BigIntegerField(default=0)
    tried_until = BigIntegerField(default=0)
    detail = CharField(max_length=500, default='')

    class Meta:
        legacy_table_names = False
        indexes = ((('model', 'url'), True),)


def _replace(db: Database, old: type[Model], new: type[Model]) -> None:
    with db.bind_ctx([old, new], bind_refs=False, bind_backrefs=False):
        db.drop_tables([old])
        db.create_tables([new], safe=False)


def up(migrator: Any, db: Database) -> None:
    _replace(db, Before, EndpointHealth)


def down(migrator: Any, db: Database) -> None:
    _replace(db, EndpointHealth, Before)
