"""What the command line takes for a model of this backend; importing this module imports no framework."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from signxai_core.extras import is_file

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

#: Beginnings of names in ``keras.applications``, and how their networks were trained; the longest counts.
_TRAINED = MappingProxyType(
    {
        "VGG": "caffe",
        "ResNet": "caffe",
        "ResNet50V2": "tf",
        "ResNet101V2": "tf",
        "ResNet152V2": "tf",
        "InceptionV3": "tf",
        "InceptionResNetV2": "tf",
        "Xception": "tf",
        "MobileNet": "tf",
        "MobileNetV2": "tf",
        "MobileNetV3": "raw",
        "NASNet": "tf",
        "DenseNet": "torch",
        "EfficientNet": "raw",
        "ConvNeXt": "raw",
    }
)


def takes(text: str) -> bool:
    """Return whether the text names a model that :func:`signxai_tf.loading.load_model` loads."""
    return text.startswith(APPLICATIONS) or text.lower().endswith(SUFFIX) or is_file(Path(text) / GRAPH)


def preprocess(text: str) -> str | None:
    """Return how images are preprocessed for a model that comes with Keras (``signxai_core.cli.preprocess``)."""
    if not text.startswith(APPLICATIONS):
        return None
    name = text.removeprefix(APPLICATIONS)
    fitting = [beginning for beginning in _TRAINED if name.startswith(beginning)]
    return _TRAINED[max(fitting, key=len)] if fitting else None
