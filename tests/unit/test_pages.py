"""Charts and pages: the same values give the same bytes, and a page loads nothing and runs no script."""

import base64
import re
import subprocess
import sys

from tasks.engine.export.charts import bar_chart
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.export.pages import html_page

VALUES = [("jan", 3), ("feb", 0), ("mar", 12.5)]


def svg_of(chart: str) -> str:
    return base64.b64decode(re.findall(r"base64,([^)]*)\)", chart)[0]).decode()


def test_same_values_give_the_same_chart_in_another_process() -> None:
    chart = bar_chart("Orders", VALUES)
    assert bar_chart("Orders", VALUES) == chart
    code = f"from tasks.engine.export.charts import bar_chart; print(bar_chart('Orders', {VALUES!r}))"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert again == chart


def test_chart_holds_no_date_and_asks_for_nothing() -> None:
    svg = svg_of(bar_chart("Orders", VALUES))
    assert "<!--" not in svg
    assert not re.search(r"\d{4}-\d{2}-\d{2}", svg)
    assert not re.findall(r"(?:href|src)=.(?!#)[^\"']+", svg)
    assert "<script" not in svg


def test_charts_of_other_values_differ() -> None:
    assert bar_chart("Orders", VALUES) != bar_chart("Orders", VALUES[:2])
    assert "12.5" in svg_of(bar_chart("Orders", VALUES))


def test_page_shows_tables_and_pictures() -> None:
    page = html_page(
        "Shop", f"# Shop\n\n{markdown_table(['figure', 'value'], [('late', 1234)])}\n\n{bar_chart('x', VALUES)}"
    )
    assert "<td>1,234</td>" in page
    assert page.count('<img src="data:image/svg+xml;base64,') == 1
    assert page.startswith("<!doctype html>")


def test_page_shows_html_and_links_of_the_data_as_text() -> None:
    evil = "<script>alert(1)</script> [x](https://example.com) ![y](https://example.com/y.png)"
    for text in (markdown_table(["name"], [(evil,)]), evil):
        page = html_page("<b>", text)
        assert "<script>" not in page
        assert "<title>&lt;b&gt;</title>" in page
        assert not re.search(r"(?:href|src)=", page)


def test_link_leads_to_a_heading_of_the_page() -> None:
    page = html_page("Shop", "[late](#shopslate_orders-by-day)\n\n## `shop.s`late_orders by day!\n")
    assert '<a href="#shopslate_orders-by-day">late</a>' in page
    assert '<h2 id="shopslate_orders-by-day">' in page
