"""Plain data as lines for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape

_SHOWN = 8  # entries of a list
_SHORT = 40  # letters of a text that stands in a line with others


def described(content: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Yield ``name: value`` as rich's markup; plain values of a mapping stand in its line, others below it.

    What is empty is left out, long lists are cut.

    Args:
        content: texts, numbers, lists of these, and mappings.
        depth: how far in.
    """
    for name, value in content.items():
        if _is_empty(value):
            continue
        inner = value if isinstance(value, Mapping) else _numbered(value)
        nested = {key: one for key, one in inner.items() if _has_lines(one)}
        words = [f"{key} {_words(one)}" for key, one in inner.items() if key not in nested and not _is_empty(one)]
        text = ", ".join(words) if inner else _words(value)
        yield f"{'  ' * depth}[bold]{escape(str(name))}[/bold]: {escape(text)}".rstrip()
        yield from described(nested, depth + 1)


def _is_empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_empty, value.values()))
    return value is None or (isinstance(value, str | list | tuple) and not value)


def _has_lines(value: Any) -> bool:
    """Return whether a value inside another one has lines of its own."""
    return (
        len(value) > _SHORT or " " in value
        if isinstance(value, str)
        else isinstance(value, Mapping) or bool(_numbered(value))
    )


def _numbered(value: Any) -> dict[str, Any]:
    """Return a list of mappings as one; of other values nothing."""
    if isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
        return {str(number): one for number, one in enumerate(value, start=1)}
    return {}


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        pair = "-" if all(isinstance(one, int) for one in value) and len(value) == 2 else ", "
        more = f" ... ({len(value):,})" if len(value) > _SHOWN else ""
        return pair.join(map(_words, value[:_SHOWN])) + more
    return str(value)
