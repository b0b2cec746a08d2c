"""Hydra configurations: found, composed with readable errors, and turned into objects."""

import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metad2a.cli import schemas
from metad2a.errors import ConfigError
from metad2a.runtime import new_run_id, shipped

# Keys whose values are plain texts, mostly paths: quoted, so that Hydra's grammar never reads them.
PLAIN_TEXT = ("dataset", "oracle", "oracle_column", "json", "html", "database", "out", "runs", "note", "name")
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
    compose(config_name, [text for text in arguments if not text.startswith("-")], first_of_sweep=True)
    os.environ.setdefault("METAD2A_RUN_ID", new_run_id())
    sys.argv = [f"metad2a-{config_name}", *arguments]
    hydra.main(version_base="1.3", config_path=str(shipped("conf")), config_name=config_name)(job)()


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
        raise ConfigError(_explain(error, config_name)) from error


def instantiate_node(node: Any, name: str) -> Any:
    """Make the object that a node of the configuration describes; None stays None.

    Raises:
        ConfigError: its target is not one of those allowed, or it refuses its arguments.
    """
    if node is None:
        return None
    _check_targets(OmegaConf.to_container(node), name)
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error  # Hydra hides the error of the thing itself
        raise ConfigError(f"{name}: {type(cause).__name__}: {cause}") from cause


def plain(cfg: Any) -> Any:
    """Return the configuration as plain data, interpolations resolved."""
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


def run_dir() -> Path:
    """Return the folder Hydra made for the running job."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def quote(text: str) -> str:
    """Quote the value of a plain-text key for Hydra's grammar."""
    key, separator, value = text.partition("=")
    bare = key.lstrip("+")
    if not separator or bare not in PLAIN_TEXT or value[:1] in ("'", '"'):
        return text
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


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


def _explain(error: Exception, config_name: str) -> str:
    """Return Hydra's message in one piece, with a suggestion for a misspelt key or option."""
    messages = [str(error)]
    if error.__cause__ is not None:
        messages.append(str(error.__cause__))
    text = " ".join(" ".join(messages).split())
    return f"conf/{config_name}.yaml: {text}{_did_you_mean(text, config_name)}"


def _did_you_mean(text: str, config_name: str) -> str:
    wrong_key = re.search(r"[Kk]ey '([^']+)' (?:is )?not in", text)
    if wrong_key:
        known = _keys(compose(config_name, []))
        close = difflib.get_close_matches(wrong_key[1].split(".")[-1], known, n=1)
        return f" Did you mean '{close[0]}'?" if close else ""
    wrong_option = re.search(r"(?:Could not find|In '[^']+': Could not find) '([^']+)'", text)
    if wrong_option:
        folder, _, name = wrong_option[1].rpartition("/")
        options = [path.stem for path in shipped("conf", folder).glob("*.yaml")]
        close = difflib.get_close_matches(name, options, n=1, cutoff=0.4)
        return f" Did you mean '{close[0]}'?" if close else ""
    return ""


def _keys(node: Any) -> list[str]:
    if not isinstance(node, DictConfig):
        return []
    names = [str(key) for key in node]
    return names + [name for key in node if not OmegaConf.is_missing(node, key) for name in _keys(node[key])]
