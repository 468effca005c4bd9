"""Bar charts for the Prefect UI and for HTML pages. The library takes a tenth of a second to import."""

import base64
import hashlib
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
