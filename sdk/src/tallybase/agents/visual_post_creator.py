"""`VisualPostCreatorAgent`: finds background images for posts and pays a fixed price before it looks."""

from __future__ import annotations

from dataclasses import dataclass

from tallybase.agents import _image_model
from tallybase.crew import BaseCrew
from tallybase.decorators import consumes_credits

_MAX_PIXELS = 8192


@dataclass(frozen=True, slots=True)
class BackgroundImage:
    """A background image.

    Attributes:
        prompt: what it was made for.
        svg: the image.
        palette: its colours, from dark to light, as `#rrggbb`.
        moods: what was read from the prompt.
        width: in pixels.
        height: in pixels.
    """

    prompt: str
    svg: str
    palette: tuple[str, str, str]
    moods: tuple[str, ...]
    width: int
    height: int


class VisualPostCreatorAgent(BaseCrew):
    """Makes visual posts. Charged before the work: a refusal means that no image was asked for."""

    @consumes_credits()
    def find_background_image(self, prompt: str, *, width: int = 1080, height: int = 1080) -> BackgroundImage:
        """Find a background image that fits a prompt; the same prompt finds the same image.

        Args:
            prompt: what the post is about.
            width: in pixels, 1 to 8,192.
            height: in pixels, 1 to 8,192.

        Raises:
            SpendRefused: there are too few credits; nothing was done.
            ValueError: for a size out of range.
        """
        if not (1 <= width <= _MAX_PIXELS and 1 <= height <= _MAX_PIXELS):
            raise ValueError(f"width and height must be 1 to {_MAX_PIXELS} pixels, not {width} x {height}")
        return BackgroundImage(
            prompt=prompt,
            svg=_image_model.paint(prompt, width, height),
            palette=_image_model.palette_of(prompt),
            moods=tuple(_image_model.moods_of(prompt)),
            width=width,
            height=height,
        )
