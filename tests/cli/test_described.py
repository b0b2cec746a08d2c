"""Plain data as lines for people."""

from rich.text import Text

from metad2a.cli.described import described


def test_lines() -> None:
    content = {
        "name": "mine [bold]",
        "nothing": None,
        "counts": {"labels": 12345, "failed": 0, "unknown": None},
        "made": {"seed": 0, "rate": 0.0123456, "flip": True, "note": "", "split": {"name": "own", "of": {}}},
        "sources": {"a": "MIT, with thanks", "b": "mine"},
        "edges": [[0, 1], [1, 2]],
        "pixels": list(range(100, 110)),
        "parts": [{"name": "x"}, {"name": "y", "size": 3}],
    }
    assert [Text.from_markup(line).plain for line in described(content)] == [
        "name: mine [bold]",
        "counts: labels 12,345, failed 0",
        "made: seed 0, rate 0.01235, flip yes",
        "  split: name own",
        "sources: b mine",
        "  a: MIT, with thanks",
        "edges: 0-1, 1-2",
        "pixels: 100, 101, 102, 103, 104, 105, 106, 107 ... (10)",
        "parts:",
        "  1: name x",
        "  2: name y, size 3",
    ]
