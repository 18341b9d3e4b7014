"""PNGs of a third of the size: 256 colours are enough for a page, and the browser that took a picture finds them.

A colour that is near one in more use takes its place; how near is the least that leaves 256.
"""

from __future__ import annotations

import base64
import struct
import zlib

from playwright.async_api import Page

REDUCE = r"""async (encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
    const counts = new Map();
    for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
    const colours = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
    const distance = (a, b) => {
        const red = (a & 255) - (b & 255);
        const green = ((a >> 8) & 255) - ((b >> 8) & 255);
        const blue = ((a >> 16) & 255) - ((b >> 16) & 255);
        return red * red + green * green + blue * blue;
    };
    let palette = colours;
    for (let near = 48; palette.length > 256; near *= 1.6) {
        palette = [];
        for (const colour of colours) {
            if (palette.every((chosen) => distance(chosen, colour) > near)) palette.push(colour);
            if (palette.length > 256) break;
        }
    }
    const places = new Map();
    for (const colour of colours) {
        let nearest = 0, least = Infinity;
        for (let place = 0; place < palette.length && least > 0; place++) {
            const far = distance(palette[place], colour);
            if (far < least) [nearest, least] = [place, far];
        }
        places.set(colour, nearest);
    }
    const indexes = new Uint8Array(pixels.length);
    for (let at = 0; at < pixels.length; at++) indexes[at] = places.get(pixels[at]);
    const encode = (array) => {
        let text = "";
        for (let at = 0; at < array.length; at += 32768)
            text += String.fromCharCode(...array.subarray(at, at + 32768));
        return btoa(text);
    };
    const colourBytes = new Uint8Array(palette.flatMap((c) => [c & 255, (c >> 8) & 255, (c >> 16) & 255]));
    return { width, height, palette: encode(colourBytes), indexes: encode(indexes) };
}"""


async def reduce(png: bytes, workshop: Page) -> bytes:
    """The picture with a palette of at most 256 colours. `workshop` is an empty page of the browser."""
    found = await workshop.evaluate(REDUCE, base64.b64encode(png).decode())
    width, height = found['width'], found['height']
    indexes = base64.b64decode(found['indexes'])
    lines = b''.join(b'\0' + indexes[at : at + width] for at in range(0, width * height, width))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        (
            _chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 3, 0, 0, 0)),
            _chunk(b'PLTE', base64.b64decode(found['palette'])),
            _chunk(b'IDAT', zlib.compress(lines, 9)),
            _chunk(b'IEND', b''),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))
