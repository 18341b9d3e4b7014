"""The frame around every page: header, navigation, announcement, footer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui
from starlette.requests import Request

from lumen.config.settings import App, Theme
from lumen.identity.permissions import Action
from lumen.visible import visible
from lumen_ui import theme
from lumen_ui.actions import show_kept_message
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.faults_notice import FaultsNotice
from lumen_ui.guard import Visitor
from lumen_ui.services import services_of

ANNOUNCEMENT_COOKIE = 'lumen_announcement'


@contextmanager
def frame(title: str, visitor: Visitor | None, *, current: str = '') -> Iterator[None]:
    """Everything around a page's content. `current` is the address of the navigation entry that the page belongs to.

    Call it first in a page builder, with None for somebody who is not signed in:

        with frame('Clients', visitor, current='/clients'):
            ...
    """
    request = ui.context.client.request
    settings = services_of(request).settings
    choice = theme.apply(request, settings)
    ui.page_title(visible(f'{title} · {settings.app.name}'))
    with ui.header(fixed=False, wrap=False, add_scroll_padding=False).classes('frame-header'):
        _brand(settings.app)
        if visitor is not None:
            _navigation(visitor, current)
            ui.space()
            _user_menu(visitor, choice)
        else:
            ui.space()
            _theme_choice(choice)
    announcement(request, settings.app)
    if visitor is not None and visitor.person.is_admin:
        FaultsNotice(visitor)
    with tag('div', 'frame-main') as main:  # the page around it is the <main> already
        yield
    ui.skip_link('Skip to content', target=main)
    _footer(settings.app)
    ui.context.client.on_connect(show_kept_message)


def announcement(request: Request, app: App) -> None:
    """The configured announcement, unless this browser dismissed this very text."""
    words = app.announcement.strip()
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    if not words or request.cookies.get(ANNOUNCEMENT_COOKIE) == digest:
        return
    with tag('aside', 'announcement', aria_label='Announcement', data_banner=''):
        ui.icon('campaign').props('aria-hidden=true')
        text('p', words, 'announcement-text')
        button = ui.button(icon='close').props('flat round dense')
        set_attributes(button, aria_label='Dismiss announcement', data_dismiss=digest)


def navigation_of(visitor: Visitor) -> list[tuple[str, str]]:
    """Label and address of every place that the visitor may go to."""
    places = [('Clients', '/clients')] if visitor.may(Action.OPEN_CLIENTS) else []
    return [*places, ('Help', '/help')]


def link(label: str, address: str) -> None:
    """A link to a place that the configuration names: a web or mail address or a path of ours, nothing that runs."""
    if address.startswith(('https://', 'http://', 'mailto:', '/')):
        text('a', label, 'link', href=address, rel='noopener')
    else:
        text('span', label)


def _brand(app: App) -> None:
    with tag('a', 'brand', href='/'):
        tag('span', 'brand-mark', aria_hidden='true')
        if app.institution:
            text('span', app.institution, 'brand-institution')
        text('span', app.name, 'brand-name')


def _navigation(visitor: Visitor, current: str) -> None:
    with tag('nav', 'frame-nav', aria_label='Main'):
        _places(visitor, current)
    button = ui.button(icon='menu').props('flat round').classes('frame-nav-small')
    set_attributes(button, aria_label='Navigation', aria_haspopup='dialog')
    with button, _menu('Navigation'), tag('nav', aria_label='Main'):
        _places(visitor, current)


def _menu(name: str) -> ui.menu:
    """What opens below a button. It holds links and switches, so it is no menu to those who do not see it."""
    menu = ui.menu().classes('menu')
    set_attributes(menu, role='dialog', aria_label=name)
    return menu


def _places(visitor: Visitor, current: str) -> None:
    for label, address in navigation_of(visitor):
        place = text('a', label, 'place', href=address)
        if address == current:
            set_attributes(place, aria_current='page')


def _user_menu(visitor: Visitor, choice: Theme) -> None:
    person = visitor.person
    name = person.name or person.email
    button = ui.button(icon='account_circle').props('flat no-caps').classes('user-button')
    set_attributes(button, aria_label=f'{name}: your account', aria_haspopup='dialog')
    with button:
        text('span', name, 'user-name')
        with _menu('Your account').props('anchor="bottom right" self="top right"'):
            with tag('div', 'user-card'):
                text('div', name, 'user-card-name')
                if person.email != name:
                    text('div', person.email, 'muted')
                if person.is_admin:
                    text('span', 'Admin', 'badge')
            _theme_choice(choice)
            with tag('form', 'user-sign-out', method='post', action='/sign-out'):
                ui.button('Sign out', icon='logout').props('flat no-caps type=submit align=left').classes('full-width')


def _theme_choice(choice: Theme) -> None:
    with tag('div', 'theme-choice', role='group', aria_label='Appearance'):
        for name, icon in (('light', 'light_mode'), ('dark', 'dark_mode'), ('auto', 'brightness_auto')):
            pressed = 'true' if name == choice else 'false'
            with tag('button', type='button', data_theme_choice=name, aria_pressed=pressed):
                ui.icon(icon).props('aria-hidden=true')
                text('span', name.capitalize())


def _footer(app: App) -> None:
    with ui.footer(fixed=False, wrap=True).classes('frame-footer'):
        if app.institution:
            link(app.institution, app.institution_url)
        for item in app.footer_links:
            link(item.label, item.url)
        ui.space()
        if app.github_url:
            link('GitHub Repository', app.github_url)
        if app.feature_url:
            link('Request Feature', app.feature_url)
