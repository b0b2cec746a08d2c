"""Hydra configurations: found, composed with readable errors, and turned into objects."""

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser  # tells overrides from flags exactly as Hydra will
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metad2a.cli import schemas
from metad2a.cli.refusal import leaving_nothing
from metad2a.errors import ConfigError, unknown_name
from metad2a.runtime import check_writable, new_run_id, shipped

# Keys whose values are plain texts, mostly paths: quoted, so that Hydra's grammar never reads them.
PLAIN_TEXT = (
    *("dataset", "oracle", "oracle_column", "json", "html"),
    *("database", "out", "runs", "init", "note", "name", "label_recipe", "arch", "test"),
    *("baseline", "csv", "svg", "volume_svg", "kept", "seconds_column", "meta_validation"),
    "recipe.supernet",
)
# Keys whose values are lists of such texts.
PLAIN_LISTS = ("images", "checkpoint", "methods", "datasets", "oracles", "noise_columns", "drawn")
_ELEMENT = re.compile(r"\s*('[^']*'|\"[^\"]*\"|[^,]*?)\s*(?:,|$)")
_PLAIN_PART = re.compile(r"label_source\.[^.]+\.(source|images|licence|task_list)")
_NULL = ("init=null", "label_recipe=null", "checkpoint=null", "database=null")  # no text, but nothing
# Keys whose values may be swept over, so that a comma is one, and what makes a value no word of Hydra's.
_REFERENCES = {"embedder": "?", "checkpoint": ""}
_ALLOWED_TARGETS = ("metad2a.", "torch.optim.")


def prepare() -> None:
    """Register schemas and resolvers; safe to call again."""
    schemas.register()
    OmegaConf.register_new_resolver("run_id", new_run_id, use_cache=True, replace=True)


def launch(config_name: str, overrides: Sequence[str], job: Callable[[DictConfig], Any]) -> None:
    """Compose ``config_name`` with ``overrides`` and run ``job``, once or (with ``-m``) for every combination.

    Raises:
        ConfigError: the configuration cannot be composed; the message has no traceback of Hydra's in it.
    """
    prepare()
    arguments = [quote(text) for text in overrides]
    given = get_args_parser().parse_intermixed_args(arguments)
    place = Path()
    if given.config_dir is None:  # else only Hydra itself knows every option
        cfg = compose(config_name, given.overrides, first_of_sweep=True)
        place = Path(cfg.runs) / cfg.task_name
        check_writable(place / "run")
    # Hydra reads `-m seed=0,1` only where nothing but flags follows the overrides.
    flags = [text for text in arguments if text not in given.overrides]
    program = [f"metad2a-{config_name}", *given.overrides, *flags]
    with _as_program(program) as run_id, leaving_nothing(place / run_id):
        hydra.main(version_base="1.3", config_path=str(shipped("conf")), config_name=config_name)(job)()


@contextmanager
def _as_program(argv: list[str]) -> Iterator[str]:
    """Let Hydra see ``argv`` and one run id, which is yielded; leave the process as it was."""
    before, given, run_id = sys.argv, os.environ.get("METAD2A_RUN_ID"), new_run_id()
    sys.argv, os.environ["METAD2A_RUN_ID"] = argv, run_id
    try:
        yield run_id
    finally:
        sys.argv = before
        if given is None:
            del os.environ["METAD2A_RUN_ID"]
        GlobalHydra.instance().clear()


def compose(config_name: str, overrides: Sequence[str], *, first_of_sweep: bool = False) -> DictConfig:
    """Return the composed configuration, ``hydra`` node excluded.

    Args:
        config_name: primary configuration.
        overrides: as on the command line.
        first_of_sweep: take the first value of a sweep such as ``seed=0,1,2``.

    Raises:
        ConfigError: see ``launch``.
    """
    prepare()
    try:
        if first_of_sweep:
            overrides = [_first_value(text) for text in overrides]
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(shipped("conf")), version_base="1.3"):
            return hydra.compose(config_name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(_explain(error, config_name, overrides)) from error


def instantiate_node(node: Any, name: str) -> Any:
    """Make the object that a node of the configuration describes; None stays None.

    Raises:
        ConfigError: its target is not one of those allowed, or it refuses its arguments.
    """
    if node is None:
        return None
    _check_targets(OmegaConf.to_container(node), name)
    try:
        made = instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error  # Hydra hides the error of the thing itself
        raise ConfigError(f"{name}: {type(cause).__name__}: {cause}") from cause
    return _telling(made, name) if isinstance(made, partial) else made


def _telling(make: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return ``make``, which says where in the configuration the values are that it refuses."""

    def made(*args: Any, **kwargs: Any) -> Any:
        try:
            return make(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{name} cannot be made from its values in the configuration: {error}.") from error

    return made


def check_at_least(cfg: DictConfig, smallest: Mapping[str, int]) -> None:
    """Refuse numbers that are too small; a key that is absent or null is not checked.

    Args:
        cfg: the configuration.
        smallest: the least good value by dotted key.

    Raises:
        ConfigError: it names the key.
    """
    for key, least in smallest.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and value < least:
            raise ConfigError(f"{key}={value}: give a number of at least {least}.")


def check_choice(cfg: DictConfig, key: str, choices: Sequence[str]) -> None:
    """Refuse a text that is none of ``choices``.

    Raises:
        ConfigError: it names the key and the choices.
    """
    value = OmegaConf.select(cfg, key)
    if value not in choices:
        raise ConfigError(f"{key}={value}: choose one of {', '.join(choices)}.")


def plain(cfg: Any) -> Any:
    """Return the configuration as plain data, interpolations resolved."""
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


def run_dir() -> Path:
    """Return the folder Hydra made for the running job."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def quote(text: str) -> str:
    """Quote the value of a plain-text key for Hydra's grammar, or the elements of a list of plain texts."""
    key, separator, value = text.partition("=")
    if text in _NULL:
        return text
    if separator and key.lstrip("+") in PLAIN_LISTS and re.fullmatch(r"\[.*\]", value):
        lists = re.split(r"\]\s*,\s*\[", value[1:-1])  # a sweep has several
        return f"{key}={','.join(f'[{_quoted_elements(content)}]' for content in lists)}"
    mark = _REFERENCES.get(key.lstrip("+"))
    if separator and mark is not None and mark in value:
        return f"{key}={_quoted_elements(value)}"
    part = _PLAIN_PART.fullmatch(key.lstrip("+")) is not None
    if not separator or (part and value == "null") or not (part or key.lstrip("+") in PLAIN_TEXT):
        return text
    return f"{key}={_quoted(value)}"


def _quoted(text: str) -> str:
    if re.fullmatch(r"'[^']*'|\"[^\"]*\"", text):
        return text
    # In Hydra's quotes a backslash is itself, except before a quote.
    escaped = re.sub(r"(\\*)(')", r"\1\1\\\2", re.sub(r"(\\+)$", r"\1\1", text))
    return f"'{escaped}'"


def _quoted_elements(content: str) -> str:
    return ",".join(_quoted(text) for text in _ELEMENT.findall(content) if text)


def _first_value(text: str) -> str:
    override = OverridesParser.create().parse_override(text)
    if not override.is_sweep_override():
        return text
    return f"{text.partition('=')[0]}={next(iter(override.sweep_string_iterator()))}"


def _check_targets(value: Any, path: str) -> None:
    if isinstance(value, dict):
        target = str(value.get("_target_", _ALLOWED_TARGETS[0]))
        if not target.startswith(_ALLOWED_TARGETS):
            raise ConfigError(f"{path}: target '{target}' is not one of {', '.join(_ALLOWED_TARGETS)}")
        for key, child in value.items():
            _check_targets(child, f"{path}.{key}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _check_targets(child, f"{path}[{index}]")


def options(group: str) -> list[str]:
    """Return the names that a config group takes; an experiment with a file for each model is one name."""
    root = shipped("conf", group)
    files = [path.relative_to(root).with_suffix("") for path in root.rglob("*.yaml")]
    if group == "experiment":
        files = [file.parent if file.name in ("generator", "predictor", "surrogate") else file for file in files]
    return sorted({file.as_posix() for file in files})


def _explain(error: Exception, config_name: str, overrides: Sequence[str]) -> str:
    """Return one readable sentence or two for what Hydra found wrong."""
    text = " ".join(" ".join(str(part) for part in (error, error.__cause__ or "")).split())
    wrong_key = re.search(
        r"(?:Could not override '([^']+)'.*|Error merging .*)Key .* not in (?:.* full_key: (\S+))?", text
    )
    if wrong_key:
        return _no_such_key(wrong_key[2] or wrong_key[1], config_name, overrides)
    no_value = re.search(r"(?:Cannot merge|is not a subclass) .* full_key: (\S+) .*Conf\b", text)
    if no_value:
        return _no_value(no_value[1], config_name, overrides)
    wrong_option = re.search(r"Could not find '(?!hydra/)([^/']+)/([^']+)'", text)
    if wrong_option and options(wrong_option[1]):
        return str(unknown_name(wrong_option[1], wrong_option[2], options(wrong_option[1])))
    wrong_value = re.search(r"((?:Value|Incompatible|Unsupported|Field|Invalid value) .*) full_key: (\S+)", text)
    if wrong_value:
        return f"configuration key '{wrong_value[2]}': {wrong_value[1]}."
    return f"the configuration cannot be made: {text}"


def _no_such_key(wrong: str, config_name: str, overrides: Sequence[str]) -> str:
    keys = [
        *_known_keys(wrong, config_name, overrides),
        *(path.name for path in shipped("conf").iterdir() if path.is_dir()),
    ]
    known = {key.rpartition(".")[2]: key for key in reversed(keys)}
    close = difflib.get_close_matches(wrong.rpartition(".")[2], known, n=1)
    hint = f" Did you mean '{known[close[0]]}'?" if close else ""
    return (
        f"unknown configuration key '{wrong}'.{hint} See conf/{config_name}.yaml, or add `--cfg job`, for all keys."
    )


def _no_value(wrong: str, config_name: str, overrides: Sequence[str]) -> str:
    inner = [key for key in _known_keys(wrong, config_name, overrides) if key.startswith(f"{wrong}.")]
    return f"configuration key '{wrong}' takes no value of its own. Set {', '.join(f'{key}=' for key in inner)}."


def _known_keys(wrong: str, config_name: str, overrides: Sequence[str]) -> list[str]:
    """Return the keys of the configuration without the overrides that give the ``wrong`` one."""
    giving = re.compile(rf"\+*({re.escape(wrong)}[.=].*|{re.escape(wrong.partition('.')[0])}(\.\w+)*=\s*\{{.*)")
    return _keys(compose(config_name, [text for text in overrides if not giving.fullmatch(text)]))


def _keys(node: Any, prefix: str = "") -> list[str]:
    """Return the dotted names of all keys, outer ones first."""
    if not isinstance(node, DictConfig):
        return []
    names = {str(key): key for key in node}
    inner = [
        name
        for text, key in names.items()
        if not OmegaConf.is_missing(node, key)
        for name in _keys(node[key], f"{prefix}{text}.")
    ]
    return [f"{prefix}{text}" for text in names] + inner
