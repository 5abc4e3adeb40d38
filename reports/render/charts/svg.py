"""A matplotlib figure as SVG for a strict page: no style attributes, unique ids, adaptive ink.

matplotlib writes `style="..."` on every element and one `<style>` block; a page under a strict
content policy drops both and the chart turns black. So every declaration becomes an attribute of
its element, the ids get the chart's name, and the ink becomes `currentColor`. The result depends on
the run metrics alone: same run, same bytes.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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


def render_standalone(figure: Figure) -> bytes:
    """A file of its own: white ground, no date; letters as paths where matplotlib's font has all.

    Else letters stay text, since the viewer's fonts may know more of them.
    """
    return _render_svg(figure, "path" if _has_all_glyphs(figure) else "none", facecolor="white")


def _has_all_glyphs(figure: Figure) -> bool:
    """Whether matplotlib's font has all letters of a figure. A route may be named in any script."""
    known_codes = get_font(findfont(FontProperties())).get_charmap()
    used_letters: set[str] = set()
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            used_letters.update(text.get_text())
    return all(ord(letter) in known_codes for letter in used_letters if letter.isprintable())


@contextmanager
def _ignore_glyph_warnings() -> Iterator[None]:
    """Where a letter is missing matplotlib draws a box, and would say so once for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            message=r"Glyph \d+ .* missing from font|Matplotlib currently does not support",
        )
        yield


def _render_svg(figure: Figure, font_type: str, facecolor: str) -> bytes:
    out = io.BytesIO()
    figure.set_facecolor(facecolor)
    with (
        _ignore_glyph_warnings(),
        mpl.rc_context(
            {"svg.fonttype": font_type, "svg.hashsalt": "atonce", "path.simplify": True}
        ),
    ):
        canvas: Any = FigureCanvasSVG(figure)  # `savefig` would draw it twice
        canvas.print_svg(out, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def render_png(figure: Figure) -> bytes:
    """A picture for slides and for places that show no SVG."""
    out = io.BytesIO()
    figure.set_facecolor("white")
    figure.set_dpi(_PNG_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    with _ignore_glyph_warnings():
        canvas.print_png(out, metadata={"Software": None})
    return out.getvalue()


def render_inline(figure: Figure, stem: str, title: str, description: str) -> str:
    """SVG to stand inside a page, with its title and description for those who cannot see it."""
    ET.register_namespace("", SVG_NAMESPACE)
    ET.register_namespace("xlink", _XLINK_NAMESPACE)
    # Matplotlib's own output
    root = ET.fromstring(_render_svg(figure, "none", facecolor="none"))  # noqa: S314
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{SVG_NAMESPACE}}}style", f"{{{SVG_NAMESPACE}}}metadata"}:
                parent.remove(child)
    defaults = {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # what the style block said
    for element in root.iter():
        _expand_style(element)
        _prefix_ids(element, stem)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib.update(
        {
            **defaults,
            "role": "img",
            "aria-labelledby": f"{stem}-title {stem}-desc",
            "font-family": "sans-serif",
        }
    )
    for i, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{SVG_NAMESPACE}}}{tag}", {"id": f"{stem}-{tag}"})
        element.text = text
        root.insert(i, element)
    redundant = (  # a tenth of the letters
        r"(?<=>)\s+(?=<)| transform=\"rotate\(-0 [^\"]*\"|<g />|<defs></defs>"
    )
    return re.sub(redundant, "", ET.tostring(root, encoding="unicode")).replace(INK, "currentColor")


def _expand_style(element: ET.Element) -> None:
    """Turn the style attribute into single attributes; the page chooses the font family."""
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            element.attrib.update(_parse_font(value))
        elif name and name != "font-family":
            element.attrib[name] = value
    for name in ("d", "transform", "x", "y"):
        if name in element.attrib:
            element.attrib[name] = re.sub(
                r"(\d+\.\d{2})\d+", r"\1", " ".join(element.attrib[name].split())
            )


def _parse_font(shorthand: str) -> dict[str, str]:
    """Size and weight alone of a CSS font shorthand: `700 13px 'DejaVu Sans', sans-serif`."""
    size = re.search(r"([\d.]+)px", shorthand)
    weight = re.match(r"(bold|[1-9]00)\b", shorthand)
    return {
        "font-size": size[1] if size else "10",
        **({"font-weight": weight[1]} if weight else {}),
    }


def _prefix_ids(element: ET.Element, stem: str) -> None:
    """Make ids unique on a page: those referred to get the chart's name, all others go."""
    for name, value in list(element.attrib.items()):
        if name == "id":
            if value.startswith(
                (
                    "figure",
                    "axes",
                    "patch",
                    "line2d",
                    "text",
                    "matplotlib",
                    "xtick",
                    "ytick",
                    "PathPatch",
                )
            ):
                del element.attrib[name]
            else:
                element.attrib[name] = f"{stem}-{value}"
        elif name == f"{{{_XLINK_NAMESPACE}}}href" and value.startswith("#"):
            element.attrib[name] = f"#{stem}-{value[1:]}"
        elif "url(#" in value:
            element.attrib[name] = value.replace("url(#", f"url(#{stem}-")
