"""A round's counts as bars: the same in text and image, bounded, and an image that stands alone."""

from __future__ import annotations

from xml.etree import ElementTree

from prefect_gatehouse.workload.histogram import histogram

SVG = "{http://www.w3.org/2000/svg}"


def test_circuits_are_added_up() -> None:
    """Most frequent first, equal ones by their bits; an outcome that never came is none."""
    drawn = histogram([{"00": 30, "11": 10}, {"01": 20, "11": 10, "10": 0}])
    assert (drawn.bars, drawn.others, drawn.rest, drawn.shots) == ((("00", 30), ("01", 20), ("11", 20)), 0, 0, 70)
    assert drawn.heading == "3 distinct outcomes in 70 shots, entropy 1.6 bits"
    assert [line.split()[0] for line in drawn.lines] == ["00", "01", "11"] and drawn.lines[0].count("█") == 32
    assert drawn.lines[0].endswith(" 30") and 20 <= drawn.lines[1].count("█") <= 22


def test_many_outcomes_are_bounded() -> None:
    """Sixteen bars, the rest in a line; long bit strings lose their middle, in both forms."""
    drawn = histogram([{format(place, "0100b"): place + 1 for place in range(1000)}])
    assert (len(drawn.bars), drawn.others) == (16, 984) and drawn.shots == 500_500
    assert all(len(line) < 80 for line in drawn.lines) and drawn.lines[-1] == f"and 984 more with {drawn.rest:,} shots"
    assert len(drawn.svg) < 8_000


def test_one_outcome_and_none() -> None:
    """No entropy, no minus zero, no division by nothing."""
    assert histogram([{"1": 9}]).heading == "1 distinct outcome in 9 shots, entropy 0.0 bits"
    assert histogram([]).heading == "0 distinct outcomes in 0 shots, entropy 0.0 bits" and ElementTree.fromstring(histogram([]).svg) is not None


def test_the_image_stands_alone() -> None:
    """Well-formed, titled, light and dark, bars as long as their shots; nothing that loads or acts."""
    drawn = histogram([{"00": 30, "11": 15}])
    root = ElementTree.fromstring(drawn.svg)
    title = root.find(f"{SVG}title")
    assert title is not None and title.text == drawn.heading and "prefers-color-scheme:dark" in drawn.svg
    long, short = (float(each.attrib["width"]) for each in root.iter(f"{SVG}rect") if each.attrib["class"] == "bar")
    assert long == 2 * short
    assert {each.tag for each in root.iter()} == {f"{SVG}{name}" for name in ("svg", "title", "style", "rect", "g", "text")}
    assert "http" not in drawn.svg.replace("http://www.w3.org/2000/svg", "") and "url(" not in drawn.svg
