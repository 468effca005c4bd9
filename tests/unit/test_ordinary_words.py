"""A pipeline may have a name that is also a word of the shared code."""

import tomllib
from pathlib import Path

from deployments.scaffold.ordinary_words import shared_words, with_ordinary_word

ROOT = Path(__file__).resolve().parents[2]


def test_word_of_the_shared_code_is_listed_once_for_each_pipeline() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert with_ordinary_word("parcels_of_nobody", project, ROOT) == project
    listed: list[str] = tomllib.loads(project)["tool"]["tally"]["ordinary-words"]
    words = ["access", "prices"]
    assert {*words} <= shared_words(ROOT)
    for word in words:
        project = with_ordinary_word(word, project, ROOT)
    assert tomllib.loads(project)["tool"]["tally"]["ordinary-words"] == [*listed, *words]
