"""What a page holds, and a name that does harm where it is not escaped."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = "</script><script>alert(1)</script>|`$x_1^2$`\\input{x}\n=1+1 & <b>%{x}"


class Page(HTMLParser):
    """Tags with their attributes, texts, and scripts by type, of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[tuple[str | None, list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), []))

    def handle_data(self, data: str) -> None:
        is_script = bool(self.tags) and self.tags[-1][0] == "script"
        (self.scripts[-1][1] if is_script else self.texts).append(data)

    def addresses(self) -> list[str]:
        return [v or "" for _, attrs in self.tags for k, v in attrs.items() if k in {"href", "src"}]
