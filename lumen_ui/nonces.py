"""Inline scripts and styles carry the nonce of the content security policy, so that no others have any effect."""

from __future__ import annotations

import re

from jinja2 import Environment, FunctionLoader
from nicegui import ui
from nicegui.client import templates

SCOPE_KEY = 'lumen.nonce'
"""Where `lumen.server.headers` puts the nonce of a request."""

INLINE = re.compile(r'<(script(?![^>]*\bsrc=)|style)\b')
ADDED = re.compile(r'{{ (head_html|body_html) \| safe }}')
NONCE = f"request.scope.get('{SCOPE_KEY}', '')"


def install() -> None:
    """Once. NiceGUI has no setting for this, so its template is changed as it is loaded."""
    environment: Environment = templates.env
    loader = environment.loader
    if loader is None:
        raise RuntimeError('NiceGUI loads its template in another way than before')

    def marked(name: str) -> str:
        source = loader.get_source(environment, name)[0]
        source = INLINE.sub(rf'<\1 nonce="{{{{ {NONCE} }}}}"', source)
        # What components and `ui.add_head_html` bring along is text of ours as well.
        return ADDED.sub(rf'{{{{ \1.replace("<style>", "<style nonce=\'" ~ {NONCE} ~ "\'>") | safe }}}}', source)

    environment.loader = FunctionLoader(marked)


def of_this_page() -> str:
    """The nonce of the page being built, for elements that add styles of their own in the browser."""
    return str(ui.context.client.request.scope.get(SCOPE_KEY, ''))
