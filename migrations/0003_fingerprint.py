"""By what the encryption key is recognised. A frozen copy of the model as it was."""

from typing import Any

from peewee import CharField, Database, Model


class Fingerprint(Model):
    name = CharField(max_length=32, primary_key=True)
    value = CharField(max_length=64)

    class Meta:
        legacy_table_names = False


def up(migrator: Any, db: Database) -> None:
    with db.bind_ctx([Fingerprint]):
        db.create_tables([Fingerprint], safe=False)


def down(migrator: Any, db: Database) -> None:
    with db.bind_ctx([Fingerprint]):
        db.drop_tables([Fingerprint])
