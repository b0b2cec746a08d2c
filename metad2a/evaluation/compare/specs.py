"""Methods by text: ``LABEL=KIND:ARGUMENT?option=value``."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from metad2a.data.options import parse_options
from metad2a.errors import ConfigError, unknown_name
from metad2a.evaluation.compare.defaults import Defaults
from metad2a.evaluation.compare.known_cells import best_on_average, most_frequent
from metad2a.evaluation.compare.learned_method import Dataset
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.methods import ListMethod, Method, ProxyMethod, SearcherMethod
from metad2a.evaluation.compare.started_method import SAMPLES, Order, StartedMethod
from metad2a.evaluation.compare.surrogate_method import SurrogateMethod
from metad2a.models.wishes import CONDITIONS
from metad2a.search.metad2a import MetaD2A
from metad2a.search.shipped_checkpoints import checkpoint_file
from metad2a.search.surrogate_ranker import SurrogateRanker

_LEARNED: dict[str, Any] = {"dataset": "own", "queries": False}  # options of whatever is meta-trained
_AIM: dict[str, Any] = {"label_recipe": "", **{f"want_{name}": math.nan for name in CONDITIONS}}  # that is: none
_CHOICES = {"own": get_args(Dataset), "accuracy": get_args(Order)}  # of the options with these defaults
_FORM = re.compile(r"(?:(?P<label>[^:=?]+)=)?(?P<kind>[^:=?]+)(?::(?P<argument>[^?]*))?(?:\?(?P<query>.*))?")


@dataclass(frozen=True)
class _Spec:
    label: str
    kind: str
    argument: str
    options: Mapping[str, Any]
    text: str


def open_methods(texts: Sequence[str], defaults: Defaults) -> list[Method]:
    """Return the methods that ``texts`` name.

    ``random``, ``params``, ``flops``, ``proxy:NAME``, ``searcher:NAME``, ``static`` and ``static_best`` (of a
    database: ``static:FOLDER``), ``metad2a`` (``metad2a:GENERATOR+PREDICTOR?constrained=false``), ``surrogate``
    (``surrogate:FILE``, alone); the last two with ``queries=true`` or ``dataset=shuffled``, too. ``metad2a``
    predicts for ``label_recipe=NAME`` and aims at ``want_accuracy=0.9`` (``want_flops``, ``want_params``). A
    searcher starts from MetaD2A's samples with ``searcher:NAME?first=metad2a`` (``first=metad2a:FILES``). A label
    stands before an equals sign: ``published=metad2a:official.safetensors``.

    Raises:
        ConfigError: a text has another form, or two methods have one label.
        UnknownNameError: there is no such kind, proxy, searcher, checkpoint or option.
    """
    labels_of(texts)
    return [_KINDS[spec.kind](spec, defaults) for spec in map(_parse, texts)]


def labels_of(texts: Sequence[str]) -> list[str]:
    """Return the labels of methods, without opening any.

    Raises:
        ConfigError: a text has another form, there is none, or two methods have one label.
        UnknownNameError: there is no such kind.
    """
    labels = [_parse(text).label for text in texts]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ConfigError(f"methods: two are called '{twice}'. Give one of them a label: OTHER={twice}.")
    if not labels:
        raise ConfigError("methods=[]: name at least one.")
    return labels


def _parse(text: str) -> _Spec:
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"methods: '{text}' cannot be read. Write LABEL=KIND:ARGUMENT?option=value.")
    kind, argument = found["kind"], found["argument"] or ""
    if kind not in _KINDS:
        raise unknown_name("method", kind, _KINDS)
    plain = argument if kind in ("proxy", "searcher") else kind
    options = parse_options(found["query"] or "", None, what=f"the method {kind}")
    label = (found["label"] or plain).strip()
    return _Spec(label, kind, argument, {key: _value(value) for key, value in options.items()}, text)


def _value(text: str) -> Any:
    """Return a number, true, false or null where ``text`` is one."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _metad2a(spec: _Spec, defaults: Defaults) -> Method:
    options = _known(spec, _search_options(defaults) | _LEARNED | _AIM)
    model, told = _aimed(defaults.files_of(spec.argument), options, defaults)
    return MetaMethod(spec.label, model, **told)


def _aimed(files: Sequence[str], options: Mapping[str, Any], defaults: Defaults) -> tuple[MetaD2A, dict[str, Any]]:
    """Return a model that predicts for the recipe of ``options``, and these with what its generator is told."""
    recipe = options["label_recipe"] or None
    want = {name: float(value) for name in CONDITIONS if not math.isnan(value := options[f"want_{name}"])}
    model = MetaD2A.open(*files, device=defaults.device, label_recipe=recipe)
    return model, {name: value for name, value in options.items() if name not in _AIM} | {"want": want}


def _search_options(defaults: Defaults) -> dict[str, Any]:
    return {"candidates": defaults.candidates, "constrained": True, "refinements": None}


def _surrogate(spec: _Spec, defaults: Defaults) -> Method:
    model = SurrogateRanker.open(*map(checkpoint_file, defaults.files_of(spec.argument)))
    return SurrogateMethod(spec.label, model, **_known(spec, _LEARNED))


def _proxy(spec: _Spec, defaults: Defaults) -> Method:
    name = spec.argument if spec.kind == "proxy" else spec.kind
    options = _known(spec, {"candidates": defaults.proxy_candidates, "batch_size": None})
    return ProxyMethod(spec.label, name, **options)


def _searcher(spec: _Spec, defaults: Defaults) -> Method:
    name = spec.argument if spec.kind == "searcher" else spec.kind
    if spec.kind == "searcher" and "first" in spec.options:
        return _started(spec, name, defaults)
    if name == "random":
        _known(spec, {})
    return SearcherMethod(spec.label, name, spec.options)


def _started(spec: _Spec, name: str, defaults: Defaults) -> Method:
    """Return a searcher that starts from MetaD2A's samples; what is no option of theirs is one of the searcher."""
    kind, _, argument = str(spec.options["first"]).partition(":")
    if kind != "metad2a":
        raise ConfigError(
            f"methods: '{spec.text}': first={spec.options['first']} cannot be used. Write first=metad2a, or "
            "first=metad2a:GENERATOR+PREDICTOR."
        )
    known = {"samples": SAMPLES, "order": "accuracy", "dataset": "own", **_search_options(defaults), **_AIM}
    mine = {key: value for key, value in spec.options.items() if key in known}
    options = {key: value for key, value in spec.options.items() if key not in (*known, "first")}
    model, told = _aimed(defaults.files_of(argument), _known(replace(spec, options=mine), known), defaults)
    return StartedMethod(spec.label, model, name, options, **told)


def _static(spec: _Spec, defaults: Defaults) -> Method:
    _known(spec, {})
    worth = most_frequent if spec.kind == "static" else best_on_average
    database = defaults.database_of(spec.argument)
    if database is None:
        raise ConfigError(
            f"methods: '{spec.text}': no database of the space '{defaults.meant}' is shipped. Give "
            f"database=FOLDER, or {spec.kind}:FOLDER."
        )
    return ListMethod(spec.label, worth(database))


def _known(spec: _Spec, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the options of ``spec`` in the places of their own.

    Raises:
        UnknownNameError: an option is not among them.
        ConfigError: it is of another type, or a number below 1.
    """
    for name, value in spec.options.items():
        if name not in values:
            raise unknown_name(f"option of the method {spec.kind}", name, values)
        if not _usable(value, values[name]):
            default = "none" if name in _AIM else values[name]
            raise ConfigError(f"methods: '{spec.text}': {name}={value} cannot be used; its default is {default}.")
    return {**values, **spec.options}


def _usable(value: Any, default: Any) -> bool:
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, str):
        return value in _CHOICES[default] if default else isinstance(value, str)
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is int and value >= (0 if default is None else 1)


_KINDS: dict[str, Callable[[_Spec, Defaults], Method]] = {
    "metad2a": _metad2a,
    "surrogate": _surrogate,
    "random": _searcher,
    "searcher": _searcher,
    "params": _proxy,
    "flops": _proxy,
    "proxy": _proxy,
    "static": _static,
    "static_best": _static,
}
