"""Where Lumen starts: `python app.py` and the `lumen` command are the same. Wires, decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from lumen.config.source import Configuration
    from lumen.database import Database


def main() -> None:
    from lumen.cli import command_line

    command_line(obj=make_pages)


def make_pages(configuration: Configuration, database: Database, key_secret: bytes) -> ASGIApp:
    """The pages, for a server that serves some. Imported only then: commands and gateways start without them."""
    from lumen_ui.app import mount
    from lumen_ui.services import Services

    return mount(Services(configuration, database, key_secret))


if __name__ == '__main__':
    main()
