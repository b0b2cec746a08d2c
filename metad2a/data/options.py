"""Options behind the name of a data set: ``NAME?key=value&key=value``."""

from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote

from metad2a.errors import DataError, unknown_name


def parse_options(query: str, known: Collection[str] | None, *, what: str) -> dict[str, str]:
    """Return the options that stand behind the question mark of a data set's name.

    Args:
        query: like ``split=test&root=my%20folder``; a plus is a plus.
        known: names there are; anything goes when None.
        what: has them, for messages.

    Raises:
        DataError: it is not of this form, or says something twice.
        UnknownNameError: there is no such option.
    """
    try:
        # A plus is left alone: names of columns and folders have some more often than they have spaces for them.
        pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise DataError(f"{what}?{query}: {error}. Write options as ?key=value&key=value.") from error
    options = dict(pairs)
    if len(options) < len(pairs):
        raise DataError(f"{what}?{query}: an option is given twice.")
    unknown = [] if known is None else sorted(options.keys() - set(known))
    if unknown:
        raise unknown_name(f"option of {what}", unknown[0], known or ())
    return options


def with_options(base: str, options: Mapping[str, str]) -> str:
    """Return the text that ``parse_options`` takes apart."""
    query = "&".join(f"{key}={quote(value, safe='/:[]%,')}" for key, value in options.items())
    return f"{base}?{query}" if query else base


def absolute(path: str) -> str:
    """Return a path that means the same in another working folder."""
    return str(Path(path).expanduser().absolute())
