"""Small column charts, as SVG for HTML pages and as images for the Prefect UI."""

import base64
import html
from collections.abc import Sequence


def column_chart(title: str, values: Sequence[tuple[str, float]], unit: str = "") -> str:
    """A small column chart as SVG, which takes its colours from the page: `currentColor` and the class `columns`.

    Args:
        title: What the columns show, for screen readers.
        values: Label and value of each column, from left to right.
        unit: Unit of the values, for the tooltips.
    """
    width, height, most = 300, 64, max((value for _, value in values), default=0) or 1
    step = width / max(len(values), 1)
    columns = "".join(
        f'<rect x="{place * step:.2f}" y="{height - max(value / most * height, 1 if value else 0):.2f}"'
        f' width="{max(step * 0.8, 1):.2f}" height="{max(value / most * height, 1 if value else 0):.2f}">'
        f"<title>{html.escape(label)}: {value:,.10g}{html.escape(unit)}</title></rect>"
        for place, (label, value) in enumerate(values)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 1}" role="img"'
        f' preserveAspectRatio="none" class="columns" fill="currentColor"><title>{html.escape(title)}</title>{columns}'
        f'<rect x="0" y="{height}" width="{width}" height="1"/></svg>'
    )


def svg_image(title: str, svg: str) -> str:
    """An SVG as a Markdown image with an opaque background. The UI strips inline SVG, but shows a data URI."""
    opaque = svg.replace('preserveAspectRatio="none"', 'width="600" height="130" style="background:#fff;color:#3b6fd4"')
    label = "".join(one for one in title if one.isalnum() or one in " -.,%")
    return f"![{label}](data:image/svg+xml;base64,{base64.b64encode(opaque.encode()).decode()})"
