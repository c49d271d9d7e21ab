# ruff: noqa: F401 - fixtures
"""TensorFlow on the command line: models, weights, layouts and the demo."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras
import tensorflow as tf
from PIL import Image
from test_cli import fail, place, run, succeed

import signxai_core as sx
from signxai_core.cli import guard, models, options
from signxai_core.cli.preprocess import Preprocess, applied
from signxai_core.demo import data
from signxai_core.errors import BackendError, FileError, ModelError
from signxai_tf import demo_model, formats, loading

#: Keras 3.15 with NumPy 2.4, in its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FILES = ["digits.npy", "gallery.html", "gallery.png", "maps.npz", "maps_series.npz", "model.keras"]


# Models


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model as .keras, as SavedModel and as weights."""
    folder = tmp_path_factory.mktemp("saved")
    model = demo_model.image_network(8, 1, 10, seed=5)
    model.save(folder / "net.keras")
    model.save_weights(folder / "net.weights.h5")
    model.export(folder / "exported", verbose=False)
    x = np.random.default_rng(0).random((2, 8, 8, 1), dtype=np.float32)
    np.save(folder / "x.npy", x)
    return folder, np.asarray(model(x).numpy())


@pytest.mark.parametrize(
    "model",
    [
        ["net.keras"],
        ["exported"],
        [demo_model.MODEL, "--weights", "net.weights.h5"],
        [demo_model.MODEL, "--weights", "net.keras"],
    ],
)
def test_models(saved, tmp_path, monkeypatch, model):
    folder, outputs = saved
    monkeypatch.chdir(folder)
    text = succeed(
        "explain", model[0], "x.npy", *model[1:], "-m", "lrp_z", "-o", tmp_path / "out", "--pictures", "each"
    )
    assert "input 2×8×8×1, tensorflow backend" in text
    with np.load(tmp_path / "out/explanations.npz") as found:
        np.testing.assert_allclose(found["outputs"], outputs, rtol=1e-5, atol=1e-6)
    with Image.open(tmp_path / "out/maps/x.npy_0_lrp_z.png") as picture:
        assert min(picture.size) > 300


def test_plan(saved):
    text = succeed("plan", saved[0] / "net.keras", saved[0] / "x.npy", "-m", "lrpsign_z")
    assert re.search(r"conv1 \(conv2d\) +convolution +SIGN +input layer", text)


def test_applications(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(keras.applications, "MobileNet", lambda weights: made.append(weights) or demo_model.digits())
    np.save(tmp_path / "x.npy", np.ones((1, 8, 8, 1), np.float32))
    text = succeed("plan", "keras.applications:MobileNet", tmp_path / "x.npy", "-m", "gradient")
    assert "conv1 (conv2d)" in text
    assert made == [None]


def test_unknown_application():
    text = fail(ModelError, "plan", "keras.applications:MobileNet2", "x.npy", "-m", "gradient")
    assert text.startswith("keras.applications has no 'MobileNet2'; did you mean MobileNetV2, ")
    assert "It has ConvNeXtBase, " in text
    # A module of that package is no architecture.
    assert "has no 'vgg16'" in fail(ModelError, "plan", "keras.applications:vgg16", "x.npy", "-m", "gradient")


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def offline(weights):
        raise OSError("URL fetch failure on https://example.org: no route.\nmore")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    text = fail(FileError, "plan", "keras.applications:VGG16", "x.npy", "--weights", "imagenet", "-m", "gradient")
    assert text == (
        "the weights 'imagenet' of VGG16 are neither stored in Keras' folder nor could they be downloaded: URL fetch "
        "failure on https://example.org: no route. Give a file of weights with --weights FILE, or leave --weights "
        "out for random ones"
    )


def test_python_code_in_a_file_is_never_run(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2, output_shape=(3,))])
    model.save(tmp_path / "code.keras")
    text = fail(FileError, "plan", tmp_path / "code.keras", "x.npy", "-m", "gradient")
    assert text.startswith(f"cannot load {tmp_path / 'code.keras'} in safe mode: ")
    assert "give 'package.module:callable' instead, a function of yours that builds or loads the model" in text


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty.keras").write_bytes(b"")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/saved_model.pb").write_bytes(b"nonsense")
    assert "cannot load" in fail(FileError, "plan", tmp_path / "empty.keras", "x.npy", "-m", "gradient")
    assert "as a SavedModel: " in fail(FileError, "plan", tmp_path / "broken", "x.npy", "-m", "gradient")
    text = fail(FileError, "plan", "absent.keras", "x.npy", "-m", "gradient")
    assert text == "the model absent.keras is not a file"


def test_names_that_no_backend_takes():
    assert fail(ModelError, "plan", "net.h5", "x.npy", "-m", "gradient") == (
        "the model 'net.h5' is not of the form 'package.module:callable'; tensorflow also takes a .keras file, the "
        "folder of a SavedModel, or keras.applications:NAME; torch also takes torchvision:NAME; zennit also takes "
        "torchvision:NAME"
    )
    text = fail(BackendError, "plan", "net.keras", "x.npy", "-m", "gradient", "--backend", "torch")
    assert text == "the model 'net.keras' is for the backend 'tensorflow', not for 'torch'"


# Weights


def test_weights_of_another_model_leave_the_model_as_it_was(saved, tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(16, 3, name="conv1"), keras.layers.Flatten(),
                              keras.layers.Dense(7)])  # fmt: skip
    before = model.get_weights()
    for name in ("net.weights.h5", "net.keras"):
        with pytest.raises(FileError, match=f"the weights in .*{name} are not this model's: "):
            loading.load_weights(model, saved[0] / name)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_weights_that_are_none(saved, tmp_path):
    model = demo_model.digits()
    with pytest.raises(FileError, match=r"the weights absent.h5 are not a file"):
        loading.load_weights(model, tmp_path.relative_to(tmp_path) / "absent.h5")
    (tmp_path / "w.pt").write_bytes(b"")
    with pytest.raises(FileError, match=r"w.pt: expected a file that ends in .weights.h5, .h5, .keras"):
        loading.load_weights(model, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"weights can be loaded into a keras.Model, not into a Module"):
        loading.load_weights(tf.Module(), saved[0] / "net.keras")
    with pytest.raises(ModelError, match=r"'bare' has no weights yet: call it once on an example in its callable"):
        loading.load_weights(keras.Sequential([keras.layers.Dense(2)], name="bare"), saved[0] / "net.keras")


# Layouts and formats


def test_the_layout_is_that_of_the_backend():
    import torch  # noqa: PLC0415 - after TensorFlow, as a user's module would

    assert models.layout(demo_model.digits(), None, None) == "channels_last"
    assert models.layout(torch.nn.ReLU(), None, None) == "channels_first"
    assert models.layout(abs, None, "tensorflow") == "channels_last"
    assert models.layout(demo_model.digits(), options.Layout.channels_first, None) == "channels_first"


def test_images_for_keras_have_their_channels_last(tmp_path):
    Image.new("L", (8, 8), 100).save(tmp_path / "digit.png")
    args = ("-m", "gradient", "--grey", "-o", tmp_path / "out", "--pictures", "none")
    succeed("explain", demo_model.MODEL, tmp_path / "digit.png", *args)
    with np.load(tmp_path / "out/explanations.npz") as found:
        assert found["inputs"].shape == (1, 8, 8, 1)


def test_formats_import_no_framework():
    code = """
        import sys
        from signxai_core.cli import packages
        assert list(packages.formats()) == ["tensorflow", "torch", "zennit"]
        found = packages.formats()["tensorflow"]
        assert packages.formats()["torch"].takes("torchvision:resnet18")
        assert found.takes("a.keras") and found.takes("keras.applications:VGG16") and not found.takes("a.b:c")
        assert not {"torch", "tensorflow", "keras"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_triton_after_tensorflow_is_refused(tmp_path, monkeypatch):
    (tmp_path / "triton.py").write_text("raise SystemExit('loaded')")
    (tmp_path / "careless_model.py").write_text("import triton")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "triton", raising=False)  # PyTorch's CUDA builds have loaded it by now
    before = list(sys.meta_path)
    text = fail(guard.ImportOrderError, "plan", "careless_model:f", "x.npy", "-m", "gradient")
    assert text == (
        "Triton would be loaded after TensorFlow, which aborts the process: a package such as torchvision or zennit "
        "loads it. Put 'import triton' first in the module of the model, before anything that imports TensorFlow; in "
        "'signxai compare', give the PyTorch model first"
    )
    assert sys.meta_path == before


# The demo


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, succeed("demo", "--backend", "tensorflow", "--output", folder)


def test_demo(made):
    folder, text = made
    assert set(FILES) <= {path.name for path in folder.iterdir()}
    found = [float(number) for number in re.findall(r"accuracy ([\d.]+)%", text)]
    assert len(found) == 4
    assert min(found) > 95
    maps = {}
    for name in ("maps.npz", "maps_series.npz"):
        with np.load(folder / name) as arrays:
            maps |= {key.removeprefix("maps/"): arrays[key] for key in arrays if key.startswith("maps/")}
    assert set(maps) == set(sx.methods())
    assert {relevance.shape for relevance in maps.values()} == {(3, 8, 8, 1), (3, 8, 8)}
    assert all(np.isfinite(relevance).all() for relevance in maps.values())
    page = (folder / "gallery.html").read_text("utf-8")
    assert f"TensorFlow {tf.__version__}, Keras {keras.__version__}" in page
    assert json.loads(str(np.load(folder / "maps.npz")["metadata"]))["backend"] == "tensorflow"


def test_demo_says_what_to_do_next(made):
    folder, text = made
    command = next(line for line in text.splitlines() if line.startswith("next: signxai "))
    words = [word.strip("'") for word in command.removeprefix("next: signxai ").split()]
    words[words.index("lrpsign_*")] = "lrpsign_epsilon_1"
    assert "1 method(s), input 3×8×8×1, tensorflow backend" in succeed(*words, "--pictures", "none")


def test_demo_maps_are_recomputed_from_its_model(made):
    assert "151 of 151 maps are the same" in succeed("recompute", made[0] / "maps.npz", made[0] / "model.keras")


def test_training_is_seeded_and_leaves_the_random_state():
    split = data.images(-1)
    x, labels = split.train[:100], split.train_labels[:100]
    keras.utils.set_random_seed(3)
    wanted = np.random.random(), float(tf.random.uniform(()))  # noqa: NPY002 - the global state is the question
    keras.utils.set_random_seed(3)
    one, same, other = (demo_model.train(x, labels, classes=10, seed=seed) for seed in (0, 0, 1))
    assert (np.random.random(), float(tf.random.uniform(()))) == wanted  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), same.get_weights(), strict=True))
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])


def test_images_for_models_of_keras_are_preprocessed_as_theirs_were(tmp_path, monkeypatch):
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    monkeypatch.setattr(
        keras.applications, "VGG16", lambda weights: keras.Sequential([keras.Input((6, 5, 3)), *layers])
    )
    Image.new("RGB", (9, 9), (10, 20, 30)).save(tmp_path / "x.png")
    args = ("-m", "gradient", "--pictures", "none", "-o")
    succeed("explain", "keras.applications:VGG16", tmp_path / "x.png", *args, tmp_path / "out")
    with np.load(tmp_path / "out/explanations.npz") as found:
        assert found["inputs"].shape == (1, 6, 5, 3)
        np.testing.assert_allclose(found["inputs"][0, 0, 0], [30 - 103.939, 20 - 116.779, 10 - 123.68], rtol=1e-5)
    succeed("explain", "keras.applications:VGG16", tmp_path / "x.png", *args, tmp_path / "own", "--scale", "0,1")
    with np.load(tmp_path / "own/explanations.npz") as found:
        assert found["inputs"].max() == pytest.approx(30 / 255)


def test_preprocessing_is_that_of_keras():
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    modules = {
        "VGG16": "vgg16", "ResNet50": "resnet", "ResNet50V2": "resnet_v2", "InceptionV3": "inception_v3",
        "InceptionResNetV2": "inception_resnet_v2", "Xception": "xception", "MobileNet": "mobilenet",
        "MobileNetV2": "mobilenet_v2", "MobileNetV3Small": "mobilenet_v3", "NASNetMobile": "nasnet",
        "DenseNet121": "densenet", "EfficientNetB0": "efficientnet", "EfficientNetV2S": "efficientnet_v2",
        "ConvNeXtTiny": "convnext",
    }  # fmt: skip
    for name, module in modules.items():
        expected = getattr(keras.applications, module).preprocess_input(pixels.copy())
        way = formats.preprocess(f"keras.applications:{name}")
        np.testing.assert_allclose(applied(pixels, Preprocess(way)), expected, rtol=1e-4, atol=1e-4, err_msg=name)
    every = [name for name in dir(keras.applications) if name[0].isupper()]
    assert not [name for name in every if formats.preprocess(f"keras.applications:{name}") is None]
    assert formats.preprocess("net.keras") is None


def test_names_of_imagenets_classes(monkeypatch):
    utils = keras.applications.imagenet_utils
    monkeypatch.setattr(
        utils, "decode_predictions", lambda rows, top: [[("n", f"class {i}", 1.0)] for i in range(len(rows))]
    )
    assert loading.class_names("keras.applications:VGG16")[:2] == ("class 0", "class 1")

    def offline(rows, top):
        raise OSError("no network")

    monkeypatch.setattr(utils, "decode_predictions", offline)
    assert loading.class_names("keras.applications:VGG16") == ()


def test_versions_that_load_unsafely_load_no_whole_model(saved, monkeypatch):
    monkeypatch.chdir(saved[0])
    monkeypatch.setattr(keras, "__version__", "3.10.0")
    arguments = ("plan", "net.keras", "x.npy", "-m", "gradient")
    assert fail(FileError, *arguments).startswith(
        "net.keras is not loaded with Keras 3.10.0: before 3.11 a file made for it can run code in spite of safe mode"
    )
    text = fail(FileError, "plan", demo_model.MODEL, "x.npy", "-m", "gradient", "--weights", "net.keras")
    assert text.startswith("net.keras is not read with Keras 3.10.0")
    assert "conv" in succeed("plan", demo_model.MODEL, "x.npy", "-m", "gradient", "--weights", "net.weights.h5")
