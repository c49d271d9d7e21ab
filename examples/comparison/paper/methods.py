"""The published lists of methods, as data."""

from __future__ import annotations

import json
import re
from pathlib import Path

LISTS = Path(__file__).with_name("method_lists.json")
#: One published list spells a name differently from the table of methods.
SPELLING = {"deconvnet_sign": "deconvnet_x_sign"}

#: A SIGN variant and what it stands beside: the same method times the input, or as it is.
PAIRS = (
    ("gradient_x_sign", "gradient_x_input"),
    ("lrpsign_epsilon_100", "lrpz_epsilon_100"),
    ("smoothgrad_x_sign", "smoothgrad"),
    ("guided_backprop_x_sign", "guided_backprop"),
    ("deconvnet_x_sign", "deconvnet"),
)
#: The same for the published lists of VGG16.
VGG_PAIRS = (
    ("gradient_x_sign", "gradient_x_input"),
    ("smoothgrad_x_sign", "smoothgrad"),
    ("guided_backprop_x_sign", "guided_backprop"),
    ("deconvnet_x_sign", "deconvnet"),
    ("lrpsign_epsilon_10", "lrpz_epsilon_10"),
    ("lrpsign_epsilon_0_25_std_x", "lrpz_epsilon_0_25_std_x"),
    ("lrpsign_alpha_1_beta_0", "lrpz_alpha_1_beta_0"),
)


def mnist(model: str) -> list[str]:
    """Return the methods of one of the twelve models, such as ``"cnn_-1_to_0_inverted"``."""
    return _spelt(json.loads(LISTS.read_text("utf-8"))["mnist"][model])


def vgg16(name: str) -> list[str]:
    """Return the methods of a list for VGG16, such as ``"imagenet_vgg16_main_table"``."""
    lists = json.loads(LISTS.read_text("utf-8"))
    known = sorted(key for key in lists if key != "mnist")
    if name not in known:
        raise SystemExit(f"there is no list {name!r}; the lists for VGG16 are {', '.join(known)}")
    return _spelt(lists[name])


def row(name: str) -> str:
    """Return the row of the merged table: models of different ranges differ in μ and nothing else."""
    return re.sub(r"_mu(_neg)?(_\d+)+$", "", name)


def _spelt(names: list[str]) -> list[str]:
    return [SPELLING.get(name, name) for name in names]
