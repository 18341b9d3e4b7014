"""Who is here and what may they open: from cookie to session to person, again at every question to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse

from lumen.config.settings import Settings
from lumen.errors import NotAuthenticated
from lumen.identity import permissions, sessions
from lumen.identity.permissions import Action, Actor, Person
from lumen_ui import session_cookie
from lumen_ui.services import Services, services_of

P = ParamSpec('P')
T = TypeVar('T')

SIGN_IN = '/sign-in'
DATABASE_ANSWERS_WITHIN_SECONDS = 2.0
"""Less than what the framework gives a page to be built, after which it would answer with a page of its own."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody signed in, with a page open. `person` is who they were when the page was built, good for drawing only.

    A page's socket does not check the cookie again, so every read and write goes through here: the session is looked up
    in the same transaction, and the function that is called loads its actor afresh.
    """

    services: Services
    person: Person
    cookie: str = field(repr=False)
    page_due: float
    """When the page that is being built has to know what it shows, in the seconds of the event loop."""

    @property
    def actor(self) -> Actor:
        return Actor(self.person.account_id)

    @property
    def settings(self) -> Settings:
        return self.services.settings

    def may(self, action: Action) -> bool:
        """What to draw, for actions that concern no particular client. Never what to allow."""
        return permissions.may(self.person, action)

    async def read(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in a read. Raises NotAuthenticated when the session has ended, and what `call` raises."""
        return await self.services.database.read(self._within_session, lambda: call(*args, **kwargs))

    async def read_for_page(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` while the page is being built. Raises TimeoutError before the framework would give the page up."""
        async with asyncio.timeout_at(self.page_due):
            return await self.read(call, *args, **kwargs)

    async def write(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in a write, and return after its commit. Raises as `read` does."""
        return await self.services.database.write(self._within_session, lambda: call(*args, **kwargs))

    def _within_session(self, call: Callable[[], T]) -> T:
        if sessions.find(self.cookie) != self.person.account_id:
            raise NotAuthenticated('You are not signed in any more.', code='not_signed_in')
        return call()


async def visitor_of(request: Request) -> Visitor | None:
    """The visitor that the request's cookie stands for; None when nobody is signed in.

    Raises what a database that is gone raises, or TimeoutError.
    """
    services = services_of(request)
    cookie = session_cookie.read(request, services.settings)
    if not cookie:
        return None
    due = asyncio.get_running_loop().time() + DATABASE_ANSWERS_WITHIN_SECONDS
    async with asyncio.timeout_at(due):
        person = await services.database.read(_person, cookie, services.settings)
    visitor = None if person is None else Visitor(services, person, cookie, due)
    request.state.visitor = visitor
    return visitor


def known_visitor(request: Request) -> Visitor | None:
    """Whom `visitor_of` found for this request, without asking anything again: for a page about what broke."""
    visitor: Visitor | None = getattr(request.state, 'visitor', None)
    return visitor


def to_sign_in(request: Request) -> RedirectResponse:
    """The way to the sign-in page, which leads back to where the request wanted to go."""
    return RedirectResponse(sign_in_address(wanted_by(request)), status_code=303)


def wanted_by(request: Request) -> str:
    return request.url.path + (f'?{request.url.query}' if request.url.query else '')


def sign_in_address(wanted: str) -> str:
    """That of the sign-in page that leads to `wanted` afterwards."""
    return SIGN_IN if wanted == '/' else f'{SIGN_IN}?next={quote(wanted, safe="/")}'


def safe_next(address: str | None) -> str:
    """`address` when it is a path on this very site, else `/`."""
    if not address or not address.startswith('/') or address.startswith('//') or '\\' in address:
        return '/'
    if any(character.isspace() or not character.isprintable() for character in address):
        return '/'
    try:
        parts = urlsplit(address)
    except ValueError:
        return '/'
    return '/' if parts.scheme or parts.netloc else address


def _person(cookie: str, settings: Settings) -> Person | None:
    account_id = sessions.find(cookie)
    if account_id is None:
        return None
    try:
        return permissions.load(Actor(account_id), settings)
    except NotAuthenticated:
        return None
