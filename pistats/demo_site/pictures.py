"""A drawing for each article, made from its name: the site needs no files and no other host."""

from hashlib import blake2b
from itertools import pairwise

_PALETTES = {
    "world": ("#1b4965", "#62b6cb", "#f4d58d"),
    "business": ("#2d3047", "#93b7be", "#e0ca3c"),
    "technology": ("#22223b", "#7d7abc", "#f2a65a"),
    "science": ("#0b132b", "#3a7ca5", "#f9dc5c"),
    "sport": ("#14532d", "#52b788", "#f8f4a6"),
    "culture": ("#4a1942", "#c06c84", "#f8b195"),
    "travel": ("#134074", "#8da9c4", "#ffb563"),
    "food": ("#5f0f40", "#e36414", "#ffd6a5"),
}


def picture(section: str, slug: str, *, label: str = "") -> str:
    """An SVG landscape with a sun and three ridges, the same for the same article; `label` is its alternative text."""
    dark, middle, light = _PALETTES[section]
    digest = blake2b(slug.encode(), digest_size=16).digest()
    sun_x, sun_y, sun_r = 60 + digest[0], 40 + digest[1] % 70, 22 + digest[2] % 30
    ridges = "".join(
        f'<path d="{_ridge(digest[4 + 4 * n :], 130 + 32 * n)}" fill="{dark}" opacity="{0.35 + 0.3 * n:.2f}"/>'
        for n in range(3)
    )
    return (
        f'<svg viewBox="0 0 400 225" preserveAspectRatio="xMidYMid slice" role="img" aria-label="{label}">'
        f'<rect width="400" height="225" fill="{middle}"/>'
        f'<circle cx="{sun_x}" cy="{sun_y}" r="{sun_r}" fill="{light}"/>{ridges}</svg>'
    )


def _ridge(heights: bytes, base: int) -> str:
    """A smooth line through four heights, closed at the bottom."""
    points = [(x, base - height % 60) for x, height in zip((0, 133, 266, 400), heights[:4], strict=True)]
    line = f"M0 {points[0][1]}"
    for (x0, y0), (x1, y1) in pairwise(points):
        line += f" C{x0 + 60} {y0} {x1 - 60} {y1} {x1} {y1}"
    return f"{line} V225 H0Z"
