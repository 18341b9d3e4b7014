"""What each page is for, in the product itself. The texts are Markdown files in `lumen_ui/help/`."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lumen.identity.permissions import Action
from lumen_ui import guard
from lumen_ui.components.help_link import TOPICS
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.components.picture import with_pictures
from lumen_ui.layout import frame, link
from lumen_ui.pages import errors
from lumen_ui.services import public_address

TEXTS = Path(__file__).parent.parent / 'help'
OVERVIEW = 'overview'
THIS_SITE = 'https://this-site'
"""What the texts call the address that Lumen is reached at."""


@ui.page('/')
async def start_page(request: Request) -> Response:
    visitor = await guard.visitor_of(request)
    if visitor is None:
        return guard.to_sign_in(request)
    return RedirectResponse('/clients' if visitor.may(Action.OPEN_CLIENTS) else '/help', status_code=303)


@ui.page('/help')
async def help_page(request: Request) -> Response | None:
    return await _show(request, OVERVIEW)


@ui.page('/help/{topic}')
async def topic_page(request: Request, topic: str) -> Response | None:
    return await _show(request, topic if topic in TOPICS else None)


async def _show(request: Request, shown: str | None) -> Response | None:
    visitor = await guard.visitor_of(request)
    if visitor is None:
        return guard.to_sign_in(request)
    if shown is None:
        errors.show_not_found(visitor)
        return None
    title = f'{TOPICS[shown]} · Help' if shown in TOPICS else 'Help'
    with frame(title, visitor, current='/help'), tag('div', 'help'):
        with tag('nav', 'help-topics', aria_label='Help topics'):
            for name, label in {OVERVIEW: 'Overview', **TOPICS}.items():
                place = text('a', label, 'place', href='/help' if name == OVERVIEW else f'/help/{name}')
                if name == shown:
                    set_attributes(place, aria_current='page')
        with tag('article', 'help-text'):
            words = (TEXTS / f'{shown}.md').read_text(encoding='utf-8')
            ui.markdown(with_pictures(words).replace(THIS_SITE, public_address(request)))
            support = visitor.settings.app.support_email
            if support:
                with tag('p', 'muted'):
                    text('span', 'Still a question? ')
                    link(support, f'mailto:{support}')
    return None
