"""Charts for the Prefect UI and for HTML pages."""

import base64
import hashlib
import html
from collections.abc import Sequence
from typing import Any

import pygal
from pygal.style import Style

# An opaque background, because the UI has a dark and a light theme.
_STYLE = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#444444",
    foreground_strong="#111111",
    foreground_subtle="#dddddd",
    colors=("#7da7f7",),
    opacity="1",
    font_family="sans-serif",
    title_font_size=18,
    label_font_size=13,
    major_label_font_size=13,
    value_font_size=13,
)


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


def bar_chart(title: str, values: Sequence[tuple[str, float]]) -> str:
    """A horizontal bar chart as a Markdown image, the first value on top; the same values give the same bytes."""
    chart = pygal.HorizontalBar(
        title=title,
        style=_STYLE,
        width=900,
        height=100 + 34 * len(values),
        show_legend=False,
        print_values=True,
        show_x_labels=False,
        show_x_guides=False,
        show_y_guides=False,
        js=[],
    )
    chart.value_formatter = lambda value: f"{round(value, 1):,}"
    chart.x_labels = [value for value, _ in reversed(values)]
    chart.add("", [count for _, count in reversed(values)])
    # By default pygal writes a random id, the date, and a script for tooltips, which an image cannot run.
    chart.uuid = hashlib.sha256(repr((title, values)).encode()).hexdigest()
    chart.add_xml_filter(_picture_alone)
    image = base64.b64encode(chart.render()).decode()
    # The UI strips inline SVG from Markdown, but shows a data URI.
    return f"![{title}](data:image/svg+xml;base64,{image})"


def _picture_alone(root: Any) -> Any:
    for parent in list(root.iter()):
        for node in list(parent):
            if callable(node.tag) or node.tag.endswith("script"):  # callable: a comment
                parent.remove(node)
    return root
