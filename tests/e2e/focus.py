"""Moving the focus by keyboard alone, and whether it is seen where it is: by what is drawn with it and without it."""

from __future__ import annotations

import base64
import re

from playwright.sync_api import Page

STEPS = 80
MARGIN = 6
"""How far around an element something is looked for that shows its focus, in pixels."""
CONTRAST = 3
"""What WCAG asks between a place with the focus and without it: here of as many pixels as half of its edge has."""

FOCUSED = """(margin) => {
    const element = document.activeElement;
    const box = (element.closest('label') ?? element).getBoundingClientRect();
    const words = element.cloneNode(true);
    words.querySelectorAll('.q-icon, script, style').forEach((part) => part.remove());
    const left = Math.max(0, box.left - margin), right = Math.min(innerWidth, box.right + margin);
    const top = Math.max(0, box.top - margin), bottom = Math.min(innerHeight, box.bottom + margin);
    const parts = [document.body, element.parentElement?.parentElement, element.parentElement, element];
    return {
        isPage: element === document.body,
        name: element.getAttribute('aria-label') || element.labels?.[0]?.textContent
            || words.textContent.trim().slice(0, 80) || element.querySelector('img')?.alt,
        kind: parts.map((part) => `${part?.tagName} ${part?.className}`).join(' > '),
        place: { x: left, y: top, width: right - left, height: bottom - top },
    };
}"""
TAKE_AWAY = '() => { window.had_focus = document.activeElement; window.had_focus.blur(); }'
GIVE_BACK = '() => window.had_focus.focus({ preventScroll: true })'
CHANGED = """async ([contrast, ...pictures]) => {
    const read = async (encoded) => {
        const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
        const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
        const context = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
        context.drawImage(picture, 0, 0);
        return context.getImageData(0, 0, picture.width, picture.height).data;
    };
    const linear = (value) => (value <= 10 ? value / 3295 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    const light = (data, at) =>
        0.2126 * linear(data[at]) + 0.7152 * linear(data[at + 1]) + 0.0722 * linear(data[at + 2]) + 0.05;
    const [one, other] = await Promise.all(pictures.map(read));
    let changed = 0;
    for (let at = 0; at < one.length; at += 4)
        if (Math.abs(Math.log(light(one, at) / light(other, at))) >= Math.log(contrast)) changed++;
    return changed;
}"""
SETTLED = """() => !document.querySelector('.q-dialog') || document.activeElement.closest('.q-dialog')"""
"""A dialog has taken the focus, or is gone and has given it back."""

_seen: set[str] = set()
"""The kinds of elements whose focus was looked at. Those of a kind are drawn by the same rules."""


def tab_to(page: Page, name: str, *, key: str = 'Tab') -> None:
    """Press Tab until the focus is on what a person calls `name`. Each stop on the way must be visible as one."""
    met = []
    page.wait_for_function(SETTLED)
    for _ in range(STEPS):
        page.keyboard.press(key)
        found = look_at_focus(page)
        if not found:
            continue  # the browser's own controls come between the last one of the page and its first
        met.append(found)
        if re.search(rf'(^|\b){re.escape(name)}', found):
            return
    raise AssertionError(f'{name!r} cannot be reached; the focus went over {met}')


def press(page: Page, name: str) -> None:
    tab_to(page, name)
    page.keyboard.press('Enter')


def look_at_focus(page: Page) -> str:
    """What a person calls that which has the focus, empty for the page itself. It must look as if it had it."""
    focused = page.evaluate(FOCUSED, MARGIN)
    if focused['isPage']:
        return ''
    name, kind, place = str(focused['name']), focused['kind'], focused['place']
    assert name, f'the focus is on something without a name: {kind}'
    assert min(place['width'], place['height']) > 2 * MARGIN, f'the focus is on what is not there: {name!r}'
    if kind not in _seen:
        pictures = [page.screenshot(clip=place)]
        page.evaluate(TAKE_AWAY)
        pictures.append(page.screenshot(clip=place))
        page.evaluate(GIVE_BACK)
        changed = page.evaluate(CHANGED, [CONTRAST, *(base64.b64encode(picture).decode() for picture in pictures)])
        assert changed >= place['width'] + place['height'], f'nobody sees where the focus is: {name!r} ({kind})'
        _seen.add(kind)
    return name
