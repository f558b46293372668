"""An image model without a network: it paints a background, as SVG, from the moods of a prompt."""

from __future__ import annotations

import colorsys
import hashlib
import re
from collections.abc import Mapping

#: Hue in degrees and saturation in percent of moods that a prompt may name.
_MOODS: Mapping[str, tuple[int, int]] = {
    "autumn": (28, 70),
    "beach": (195, 60),
    "calm": (210, 35),
    "city": (230, 25),
    "coffee": (25, 45),
    "desert": (38, 65),
    "energy": (12, 85),
    "forest": (130, 45),
    "fire": (10, 90),
    "garden": (105, 50),
    "gold": (45, 80),
    "love": (345, 70),
    "mountain": (215, 30),
    "night": (245, 55),
    "ocean": (205, 75),
    "rose": (340, 60),
    "sea": (200, 70),
    "sky": (200, 65),
    "snow": (205, 15),
    "spring": (95, 55),
    "summer": (48, 85),
    "sunrise": (20, 80),
    "sunset": (16, 85),
    "technology": (220, 70),
    "winter": (210, 20),
}
_DARK = frozenset({"dark", "dusk", "midnight", "moody", "night"})

_SHAPES = 9


def moods_of(prompt: str) -> list[str]:
    """Return the moods that a prompt names, in the order of the prompt; plurals count."""
    words = re.findall(r"[a-z]+", prompt.lower())
    found = [word if word in _MOODS else word.removesuffix("s") for word in words]
    return list(dict.fromkeys(word for word in found if word in _MOODS))


def palette_of(prompt: str) -> tuple[str, str, str]:
    """Return three colours, from dark to light, as `#rrggbb`."""
    digest = hashlib.sha256(prompt.encode()).digest()
    moods = moods_of(prompt)
    hue, saturation = _MOODS[moods[0]] if moods else (digest[0] * 360 // 256, 50)
    second_hue = _MOODS[moods[1]][0] if len(moods) > 1 else hue + 20 + digest[1] % 30
    is_dark = any(word in _DARK for word in re.findall(r"[a-z]+", prompt.lower()))
    low, middle, high = (12, 28, 48) if is_dark else (38, 60, 82)
    return (
        _colour(hue, saturation, low),
        _colour(hue, saturation, middle),
        _colour(second_hue, saturation, high),
    )


def paint(prompt: str, width: int, height: int) -> str:
    """Paint the background: a gradient in the palette of the prompt, with soft discs placed by its digest."""
    dark, middle, light = palette_of(prompt)
    digest = hashlib.sha256(f"{prompt}\n{width}x{height}".encode()).digest()
    discs = "".join(
        f'<circle cx="{digest[i] * width // 256}" cy="{digest[i + 9] * height // 256}" '
        f'r="{(digest[i + 18] % 64 + 16) * min(width, height) // 200}" fill="{light}" fill-opacity="0.18"/>'
        for i in range(_SHAPES)
    )
    gradient = (
        f'<linearGradient id="g" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="{dark}"/>'
        f'<stop offset="0.6" stop-color="{middle}"/><stop offset="1" stop-color="{light}"/></linearGradient>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<defs>{gradient}</defs><rect width="{width}" height="{height}" fill="url(#g)"/>{discs}</svg>'
    )


def _colour(hue: int, saturation: int, lightness: int) -> str:
    channels = colorsys.hls_to_rgb(hue % 360 / 360, lightness / 100, saturation / 100)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in channels)
