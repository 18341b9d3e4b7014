"""What each page is for, in the product itself. The texts are Markdown files in `lumen_ui/help/`."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lumen.identity.permissions import Action
from lumen_ui import guard
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.layout import frame, link
from lumen_ui.pages import errors

TEXTS = Path(__file__).parent.parent / 'help'
TOPICS = {
    'clients': 'Clients',
    'configuring-clients': 'Configuring Clients',
    'api': 'API',
    'coins': 'Coins',
}


@ui.page('/')
async def start_page(request: Request) -> Response:
    visitor = await guard.visitor_of(request)
    if visitor is None:
        return guard.to_sign_in(request)
    return RedirectResponse('/clients' if visitor.may(Action.OPEN_CLIENTS) else '/help', status_code=303)


@ui.page('/help')
async def help_page(request: Request) -> Response | None:
    return await _show(request, 'clients')


@ui.page('/help/{topic}')
async def topic_page(request: Request, topic: str) -> Response | None:
    return await _show(request, topic)


async def _show(request: Request, topic: str) -> Response | None:
    visitor = await guard.visitor_of(request)
    if visitor is None:
        return guard.to_sign_in(request)
    if topic not in TOPICS:
        errors.show_not_found(visitor)
        return None
    with frame(f'{TOPICS[topic]} · Help', visitor, current='/help'), tag('div', 'help'):
        with tag('nav', 'help-topics', aria_label='Help topics'):
            for name, title in TOPICS.items():
                place = text('a', title, 'place', href=f'/help/{name}')
                if name == topic:
                    set_attributes(place, aria_current='page')
        with tag('article', 'help-text'):
            ui.markdown((TEXTS / f'{topic}.md').read_text(encoding='utf-8'))
            support = visitor.settings.app.support_email
            if support:
                with tag('p', 'muted'):
                    text('span', 'Still a question? ')
                    link(support, f'mailto:{support}')
    return None
