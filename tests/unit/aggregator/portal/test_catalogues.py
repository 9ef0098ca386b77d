"""The texts: every one is there, in both languages, with the same placeholders, in the words of the glossary."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parents[4]
PORTAL = ROOT / "aggregator" / "portal"
# en -> ja, as the design's glossary has them
GLOSSARY = {
    "floor": "最低残量",
    "Ready by": "出発時刻",
    "to the grid": "電力網へ送電",
    "Consent": "同意",
    "Apply": "適用",
    "Settlement": "精算",
}


def catalogue(language: str) -> dict[str, str]:
    with (PORTAL / "locale" / language / "LC_MESSAGES" / "django.po").open("rb") as file:
        found: Catalog = read_po(file)
    assert not list(found.obsolete)
    assert all("fuzzy" not in message.flags for message in found if message.id)
    return {message.id: message.string for message in found if message.id}


@pytest.fixture(scope="module")
def english() -> dict[str, str]:
    return catalogue("en")


@pytest.fixture(scope="module")
def japanese() -> dict[str, str]:
    return catalogue("ja")


def placeholders(text: str) -> set[str]:
    named = {field for _, field, _, _ in Formatter().parse(re.sub(r"%\(\w+\)[sd]|%%", "", text)) if field}
    return named | set(re.findall(r"%\(\w+\)[sd]", text))


def test_the_catalogues_hold_exactly_what_the_code_says(english: dict[str, str], japanese: dict[str, str]) -> None:
    with (PORTAL / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    said = {found[2] for found in extract_from_dir(ROOT / "aggregator", methods, options)}
    assert len(said) > 300
    assert said == set(english) == set(japanese)


def test_no_text_is_empty_and_placeholders_agree(english: dict[str, str], japanese: dict[str, str]) -> None:
    for key, text in english.items():
        assert text.strip() and japanese[key].strip(), key
        assert placeholders(text) == placeholders(japanese[key]), key
        if not key.startswith("sentence."):
            assert text == key


def test_japanese_is_japanese(japanese: dict[str, str]) -> None:
    same = {
        key for key, text in japanese.items() if not re.search(r"[ぁ-んァ-ヶ一-龠]", re.sub(r"%\(\w+\)[sd]", "", text))
    }
    assert same == {"Parked power"}


def test_the_glossary_is_kept(english: dict[str, str], japanese: dict[str, str]) -> None:
    for word, translation in GLOSSARY.items():
        assert japanese[word] == translation
    assert not [key for key, text in japanese.items() if "活性化" in text]
    for key, text in english.items():
        if re.search(r"\bfloor\b", text):
            assert "最低残量" in japanese[key], key
        if re.search(r"\bestimates?\b", text):
            assert "推定" in japanese[key], key


def test_sentences_are_short_and_say_no_negative_numbers(english: dict[str, str], japanese: dict[str, str]) -> None:
    for key, text in english.items():
        if key.startswith("sentence."):
            assert len(re.sub(r"\{\w+\}", "00.0", text)) <= 130, key
            assert len(re.sub(r"\{\w+\}", "00.0", japanese[key])) <= 80, key
            assert text.count(". ") <= 2, key
