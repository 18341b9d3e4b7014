"""A quiet way from a part of a page to the help text that explains it."""

from __future__ import annotations

from lumen_ui.components.markup import tag, text

TOPICS = {
    'clients': 'Clients',
    'configuring-clients': 'Configuring Clients',
    'api': 'API',
    'coins': 'Coins',
}
"""Each is a text in `lumen_ui/help/` and a page `/help/<topic>`."""


def help_link(topic: str, label: str) -> None:
    """A link in words, for a sentence or a line of its own."""
    text('a', label, 'link', href=_address(topic))


def help_mark(topic: str) -> None:
    """A question mark beside a heading. What it leads to is said on hover and to screen readers."""
    address = _address(topic)
    said = f'Help: {TOPICS[topic]}'
    # The style sheet draws the mark: an icon would put its name among the figures of a card.
    tag('a', 'help-mark', href=address, aria_label=said, title=said)


def _address(topic: str) -> str:
    if topic not in TOPICS:
        raise ValueError(f'there is no help about {topic}')
    return f'/help/{topic}'
