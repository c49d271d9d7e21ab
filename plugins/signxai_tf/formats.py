"""What the command line takes for a model of this backend; importing this module imports no framework."""

from __future__ import annotations

from pathlib import Path

#: In words, for errors.
TAKES = "a .keras file, the folder of a SavedModel, or keras.applications:NAME"
#: Where models of this backend usually have their channels.
LAYOUT = "channels_last"
#: Before the name of one of Keras' own architectures.
APPLICATIONS = "keras.applications:"
#: Of a model saved by Keras 3.
SUFFIX = ".keras"
#: The file that makes a folder a SavedModel.
GRAPH = "saved_model.pb"


def takes(text: str) -> bool:
    """Return whether the text names a model that :func:`signxai_tf.loading.load_model` loads."""
    return text.startswith(APPLICATIONS) or text.lower().endswith(SUFFIX) or (Path(text) / GRAPH).is_file()
