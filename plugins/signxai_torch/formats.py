"""What the command line takes for a model of this backend; importing this module imports no framework."""

from __future__ import annotations

#: In words, for errors.
TAKES = "torchvision:NAME"
#: Where models of this backend usually have their channels.
LAYOUT = "channels_first"
#: Before the name of one of torchvision's own architectures.
TORCHVISION = "torchvision:"


def takes(text: str) -> bool:
    """Return whether the text names a model that :func:`signxai_torch.loading.load_model` loads."""
    return text.startswith(TORCHVISION)


def preprocess(text: str) -> str | None:
    """Return how images are preprocessed for a model of torchvision (``signxai_core.cli.preprocess``)."""
    return "torch" if takes(text) else None
