"""Signing in and out: the page, and the two endpoints that set and end the session cookie."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote

import structlog
from nicegui import Client, app, ui
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lumen.config.settings import Settings
from lumen.errors import DatabaseUnavailable, LumenError
from lumen.identity import people, sessions
from lumen_ui import session_cookie
from lumen_ui.components.markup import tag, text
from lumen_ui.guard import SIGN_IN, safe_next, visitor_of
from lumen_ui.layout import frame, link
from lumen_ui.limiter import TooMany
from lumen_ui.pages import errors
from lumen_ui.services import services_of

log = structlog.get_logger()

PROBLEMS = {
    'account_deactivated': 'This account is deactivated. Ask an administrator to activate it again.',
    'forbidden': 'You may not sign in with this address.',
}
MAX_FORM_BYTES = 64 * 1024
FORWARDED = ('forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via')


@ui.page(SIGN_IN)
async def sign_in_page(request: Request) -> Response | None:
    wanted = safe_next(request.query_params.get('next'))
    if await visitor_of(request) is not None:
        return RedirectResponse(wanted, status_code=303)
    settings = services_of(request).settings
    with frame('Sign in', None), tag('div', 'sign-in'):
        text('h1', settings.app.name, 'sign-in-title')
        if settings.app.tagline:
            text('p', settings.app.tagline, 'muted')
        problem = PROBLEMS.get(request.query_params.get('problem', ''))
        if problem:
            text('p', problem, 'problem', role='alert')
        _dev_users(request, settings, wanted)
        if settings.app.support_email:
            with tag('p', 'muted'):
                text('span', 'Questions? ')
                link(settings.app.support_email, f'mailto:{settings.app.support_email}')
    return None


@app.post('/sign-in/dev')
async def sign_in_dev(request: Request) -> Response:
    """Start a session for one of the configured dev users. A plain form, so that it works before any script does."""
    if not is_local(request):
        return await errors.refusal(
            request, 403, 'You cannot sign in like this', 'Dev users can only sign in on this machine, from this page.'
        )
    length = request.headers.get('content-length', '')
    if not length.isdigit() or int(length) > MAX_FORM_BYTES:
        return await errors.refusal(request, 413, 'You cannot sign in like this', 'This form is too large.')
    form = await request.form()
    wanted, email = safe_next(str(form.get('next', ''))), str(form.get('email', ''))
    services = services_of(request)
    settings = services.settings
    try:
        await services.limiter.count_sign_in(email, request.scope)
    except TooMany as refusal:
        response = await errors.refusal(request, refusal.status, 'Too many attempts', refusal.message)
        response.headers['retry-after'] = str(refusal.retry_after_seconds)
        return response

    def begin() -> str:
        if (former := session_cookie.read(request, settings)) is not None:
            sessions.end(former)
        return sessions.start(people.sign_in_dev(email, settings))

    try:
        cookie = await services.database.write(begin)
    except DatabaseUnavailable:
        raise
    except LumenError as error:
        problem = error.code if error.code in PROBLEMS else 'forbidden'
        return RedirectResponse(f'{SIGN_IN}?problem={problem}&next={quote(wanted, safe="/")}', status_code=303)
    response = RedirectResponse(wanted, status_code=303)
    session_cookie.give(response, cookie, request, settings)
    return response


@app.post('/sign-out')
async def sign_out(request: Request) -> Response:
    """End the session on the server, and send every page that it has open to the sign-in page."""
    services = services_of(request)
    settings = services.settings
    cookie = session_cookie.read(request, settings)
    if cookie is not None:
        await services.database.write(sessions.end, cookie)
        for client in list(Client.instances.values()):
            if client.has_socket_connection and session_cookie.read(client.request, settings) == cookie:
                client.open(SIGN_IN)
    response = RedirectResponse(SIGN_IN, status_code=303)
    session_cookie.take_away(response, request, settings)
    return response


def is_local(request: Request) -> bool:
    """Whether the request comes straight from this machine and names it: no proxy, no other host name."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    host = request.url.hostname or ''
    return _is_loopback(request.client.host) and (host == 'localhost' or _is_loopback(host))


def _dev_users(request: Request, settings: Settings, wanted: str) -> None:
    if not settings.login.dev_users:
        text('p', 'No way to sign in is configured.', 'muted')
        return
    if not is_local(request):
        text('p', 'Dev users can only sign in on the machine that Lumen runs on.', 'muted')
        return
    with tag('form', 'sign-in-form', method='post', action='/sign-in/dev'):
        text('p', 'Sign in as', 'muted')
        tag('input', type='hidden', name='next', value=wanted)
        for user in settings.login.dev_users:
            with tag('button', 'sign-in-user', type='submit', name='email', value=user.email):
                text('span', user.name, 'sign-in-name')
                text('span', user.email, 'muted')


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.split('%')[0])
    except ValueError:
        return False
    mapped = getattr(address, 'ipv4_mapped', None)
    return (mapped or address).is_loopback
