"""What pages need from the rest of Lumen, handed to `mount` once and reached through the request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nicegui import app
from starlette.requests import Request

from lumen.config.settings import Settings
from lumen.database import Database
from lumen_ui.limiter import Limiter

if TYPE_CHECKING:
    from lumen.config.source import Configuration


@dataclass(frozen=True, slots=True)
class Services:
    configuration: Configuration
    database: Database
    key_secret: bytes = field(repr=False)
    limiter: Limiter = field(default_factory=Limiter)

    @property
    def settings(self) -> Settings:
        """The configuration in force. Ask again at every event; it changes while a page is open."""
        return self.configuration.current


def services_of(request: Request) -> Services:
    """The services of the app that answers `request`."""
    services: Services = request.app.state.services
    return services


def provide(services: Services) -> None:
    """Make `services` what `services_of` finds."""
    app.state.services = services


def public_address(request: Request) -> str:
    """Scheme and host under which people and programs reach Lumen: as configured, or as this request did."""
    configured = services_of(request).settings.app.url
    return configured.rstrip('/') or f'{request.url.scheme}://{request.url.netloc}'
