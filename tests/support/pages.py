"""Pages of evidence as a strict reader sees them."""

from __future__ import annotations

from html.parser import HTMLParser

ACTS_OR_LOADS = {"script", "img", "a", "link", "iframe", "object", "form", "image", "use"}


class StrictPage(HTMLParser):
    """Every element is closed in order, and none is of a kind that could act or load.

    Attributes:
        tags: Every element, in order.
        text: All text.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ACTS_OR_LOADS
        assert not any(name.startswith("on") or name.endswith(("src", "href")) for name, _ in attrs)
        self.tags.append(tag)
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
