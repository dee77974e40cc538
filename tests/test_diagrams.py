"""The diagrams of the documentation are drawn from their source, and each is on a page."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
SVG = "{http://www.w3.org/2000/svg}"
# Of the size of the letters, on average: more than what Helvetica and Arial take.
WIDTH_OF_A_LETTER = 0.56

sys.path.insert(0, str(DOCS))
diagrams = pytest.importorskip("diagrams", exc_type=ModuleNotFoundError)  # drawsvg


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("diagrams")
    diagrams.write_all(made)
    return made


def shown() -> dict[str, str]:
    """The pictures on the pages, with what is said of each to who cannot see it."""
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    found = re.findall(r"\{image\} _generated/(\w+)\.svg\n:alt: (.+)", pages)
    return dict(found)


def test_each_picture_is_on_a_page_and_in_words() -> None:
    assert set(shown()) == set(diagrams.PICTURES)
    assert [name for name, words in shown().items() if len(words) < 80] == []


@pytest.mark.parametrize("name", diagrams.PICTURES)
def test_it_is_drawn_with_a_title_and_all_text_inside(folder: Path, name: str) -> None:
    root = ET.parse(folder / f"{name}.svg").getroot()
    assert root.find(f".//{SVG}title") is not None
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    texts = root.findall(f".//{SVG}text")
    assert texts
    for text in texts:
        words = "".join(text.itertext())
        half = len(words) * float(text.attrib["font-size"]) * WIDTH_OF_A_LETTER / 2
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        assert text.attrib["text-anchor"] == "middle"
        assert half <= x <= width - half, words
        assert 12 <= y <= height - 4, words


@pytest.mark.parametrize("name", diagrams.PICTURES)
def test_the_text_of_a_box_fits_it(folder: Path, name: str) -> None:
    root = ET.parse(folder / f"{name}.svg").getroot()
    boxes = [
        tuple(float(box.attrib[side]) for side in ("x", "y", "width", "height"))
        for box in root.findall(f".//{SVG}rect")
        if box.attrib.get("fill") in (diagrams.BLUE, diagrams.GREEN, diagrams.SAND)
    ]
    assert boxes
    for text in root.findall(f".//{SVG}text"):
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        words = "".join(text.itertext())
        for left, top, width, height in boxes:
            if left < x < left + width and top < y < top + height:
                needed = len(words) * float(text.attrib["font-size"]) * WIDTH_OF_A_LETTER
                assert needed <= width, words
                assert y + 4 <= top + height, words


def test_the_same_source_gives_the_same_picture(folder: Path, tmp_path: Path) -> None:
    diagrams.write_all(tmp_path)
    for picture in folder.iterdir():
        assert (tmp_path / picture.name).read_bytes() == picture.read_bytes()
