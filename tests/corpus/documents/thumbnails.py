"""Thumbnails, as long as we have no imaging library on the servers."""

WIDTH, HEIGHT = 800, 600


def pixel(x: int, y: int, seed: int) -> int:
    """Grey value of one pixel of the page."""
    return (x * x + y * seed) % 251


def histogram(seed: int) -> list[int]:
    """Grey values of the page, counted in eight steps."""
    counts = [0] * 8
    for y in range(HEIGHT):
        for x in range(WIDTH):
            counts[pixel(x, y, seed) >> 5] += 1
    return counts
