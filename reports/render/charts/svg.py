"""Writes a matplotlib figure as PNG, as SVG file, and as SVG for a page under a strict policy.

matplotlib writes `style="..."` on every element and one `<style>` block; a page under a strict
content policy drops both and the chart turns black. So every declaration becomes an attribute of
its element, the ids get the chart's name, and the ink becomes `currentColor`. The result depends on
the run metrics alone: same run, same bytes.
"""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text

from reports.render.charts.style import INK

SVG_NAMESPACE, _XLINK_NAMESPACE = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_PNG_DPI = 160
# the beginnings of ids that matplotlib gives and nothing refers to
_UNUSED_IDS = (
    *("figure", "axes", "patch", "line2d", "text", "matplotlib", "xtick", "ytick", "PathPatch"),
)
_REDUNDANT = re.compile(  # a tenth of the letters
    r"(?<=>)\s+(?=<)| transform=\"rotate\(-0 [^\"]*\"|<g />|<defs></defs>"
)


def render_standalone(figure: Figure) -> bytes:
    """Write a file of its own: white ground, no date; letters as paths where the font has all.

    Else letters stay text, since the viewer's fonts may know more of them than matplotlib's.
    """
    return _render_svg(figure, "path" if _has_all_glyphs(figure) else "none", "white")


def render_png(figure: Figure) -> bytes:
    """Write a picture for slides and for places that show no SVG."""
    figure.set_dpi(_PNG_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    return _print_figure(figure, "white", canvas.print_png, {"Software": None})


def render_inline(figure: Figure, stem: str, title: str, description: str) -> str:
    """Write an SVG for a page, with its title and description for readers who cannot see it."""
    ET.register_namespace("", SVG_NAMESPACE)
    ET.register_namespace("xlink", _XLINK_NAMESPACE)
    # Matplotlib's own output
    root = ET.fromstring(_render_svg(figure, "none", "none"))  # noqa: S314
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{SVG_NAMESPACE}}}style", f"{{{SVG_NAMESPACE}}}metadata"}:
                parent.remove(child)
    for element in root.iter():
        _expand_style(element)
        _prefix_ids(element, stem)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {
        "stroke-linejoin": "round",  # what the style block said
        "stroke-linecap": "butt",
        "role": "img",
        "aria-labelledby": f"{stem}-title {stem}-desc",
        "font-family": "sans-serif",
    }
    for i, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{SVG_NAMESPACE}}}{tag}", {"id": f"{stem}-{tag}"})
        element.text = text
        root.insert(i, element)
    return _REDUNDANT.sub("", ET.tostring(root, encoding="unicode")).replace(INK, "currentColor")


def _has_all_glyphs(figure: Figure) -> bool:
    """Whether matplotlib's font has all letters of a figure. A route may be named in any script."""
    known_codes = get_font(findfont(FontProperties())).get_charmap()
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    return all(ord(letter) in known_codes for letter in set("".join(texts)) if letter.isprintable())


def _render_svg(figure: Figure, font_type: str, ground: str) -> bytes:
    options: dict[Any, Any] = {"svg.fonttype": font_type, "svg.hashsalt": "atonce"}
    with mpl.rc_context({**options, "path.simplify": True}):
        canvas: Any = FigureCanvasSVG(figure)  # `savefig` would draw it twice
        metadata = {"Date": None, "Creator": None}
        return _print_figure(figure, ground, canvas.print_svg, metadata)


def _print_figure(
    figure: Figure, ground: str, write: Callable[..., None], metadata: dict[str, None]
) -> bytes:
    """Print a figure; matplotlib draws a box for a missing letter and would warn once for each."""
    out = io.BytesIO()
    figure.set_facecolor(ground)
    missing = r"Glyph \d+ .* missing from font|Matplotlib currently does not support"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=missing)
        write(out, metadata=metadata)
    return out.getvalue()


def _expand_style(element: ET.Element) -> None:
    """Turn the style attribute into single attributes; the page chooses the font family.

    Of a font such as `700 13px 'DejaVu Sans', sans-serif` only size and weight stay.
    """
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            size = re.search(r"([\d.]+)px", value)
            element.set("font-size", size[1] if size else "10")
            if weight := re.match(r"(bold|[1-9]00)\b", value):
                element.set("font-weight", weight[1])
        elif name and name != "font-family":
            element.set(name, value)
    for name in ("d", "transform", "x", "y"):
        if name in element.attrib:
            numbers = " ".join(element.attrib[name].split())
            element.set(name, re.sub(r"(\d+\.\d{2})\d+", r"\1", numbers))


def _prefix_ids(element: ET.Element, stem: str) -> None:
    """Make ids unique on a page: those referred to get the chart's name, all others go."""
    if element.get("id", "").startswith(_UNUSED_IDS):
        del element.attrib["id"]
    for name, value in element.attrib.items():
        if name == "id":
            element.set(name, f"{stem}-{value}")
        elif name == f"{{{_XLINK_NAMESPACE}}}href":
            element.set(name, value.replace("#", f"#{stem}-", 1))
        elif "url(#" in value:
            element.set(name, value.replace("url(#", f"url(#{stem}-"))
