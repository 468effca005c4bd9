"""Pages: convert a Markdown report to a self-contained HTML page."""

import html
import itertools
import re

from markdown_it import MarkdownIt

from tasks.engine.export.markdown_tables import LINE_BREAK

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}"
    "table{border-collapse:collapse}td,th{border:1px solid #ddd;padding:.2em .8em;text-align:left}img{max-width:100%}"
)


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        """Allow only embedded images and links within the page."""
        return url.startswith(("data:image/svg+xml;base64,", "#"))


def anchor(heading: str) -> str:
    """Return the id of a heading, by the rule of GitHub, so that one link serves the Markdown and the page."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def html_page(title: str, markdown: str) -> str:
    """A self-contained page. HTML tags in the Markdown appear as text, and each heading has an id (see `anchor`).

    A browser breaks the lines of tables itself, so the line breaks of `markdown_table` become blanks.
    """
    parser = _Markdown("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown.replace(LINE_BREAK, " "))
    for opening, text in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", anchor(text.content))
    body = parser.renderer.render(tokens, parser.options, {})
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}</body>\n</html>\n"
    )
