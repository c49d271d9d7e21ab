# ruff: noqa: F401, F811 - fixtures
"""Models and their weights on the command line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_cli import fail, place, run, succeed

from signxai_core.errors import FileError, ModelError

# Models and weights


def test_model_may_be_built_already(place):
    assert "conv2d" in succeed("plan", f"{place}:built", "x.npy", "--method", "gradient")


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("images", "the model 'images' is not of the form 'package.module:callable'"),
        ("nowhere.models:f", "the model 'nowhere.models:f' cannot be found: no module 'nowhere' in "),
        ("{place}:absent", "has no 'absent'; it has torch, nn, images, series, built, number"),
        ("{place}:number", "is of type int; expected a model, or a callable without arguments that returns one"),
    ],
)
def test_model_that_cannot_be_found(place, model, text):
    assert text in fail(ModelError, "plan", model.format(place=place), "x.npy", "--method", "gradient")


def test_an_import_that_fails_inside_the_model_keeps_its_traceback(place, tmp_path):
    (tmp_path / f"{place}_broken.py").write_text("import absent_package\n")
    assert "absent_package" in fail(ModuleNotFoundError, "plan", f"{place}_broken:f", "x.npy", "-m", "gradient")


@pytest.mark.parametrize("kind", ["safetensors", "pt", "checkpoint"])
def test_weights(place, tmp_path, kind):
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 5))
    state = model.state_dict()
    path = f"weights.{'safetensors' if kind == 'safetensors' else 'pt'}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state if kind == "pt" else {"epoch": 3, "state_dict": state}, path)
    succeed(
        "explain", f"{place}:images", "x.npy", "--weights", path, "-m", "gradient", "-o", "out", "--pictures", "none"
    )
    with np.load(tmp_path / "out/explanations.npz") as found:
        outputs, x = found["outputs"], torch.from_numpy(found["inputs"])
    np.testing.assert_allclose(outputs, model(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def _weights_error(place, path):
    return fail(FileError, "plan", f"{place}:images", "x.npy", "--weights", path, "-m", "gradient")


def test_weights_of_another_model(place):
    state = {"0.weight": torch.zeros(4, 1, 5, 5), "0.bias": torch.zeros(4), "head.weight": torch.zeros(2)}
    save_file(state, "other.safetensors")
    assert _weights_error(place, "other.safetensors") == (
        "the weights in other.safetensors are not this model's: it lacks 3.weight, 3.bias; it has head.weight, which "
        "the model does not have; 0.weight has shape (4, 1, 5, 5), the model (4, 1, 3, 3)"
    )


class Harmful:
    def __reduce__(self):
        return (open, ("harm.txt", "w"))


def test_weights_never_run_code(place, tmp_path):
    torch.save({"0.weight": Harmful()}, "harmful.pt")
    text = _weights_error(place, "harmful.pt")
    assert text.startswith("harmful.pt is not a file of tensors alone; a whole pickled model is never loaded")
    assert text.endswith("Save the weights with torch.save(model.state_dict(), path), or as safetensors")
    assert not (tmp_path / "harm.txt").exists()


def test_weights_that_are_none(place, tmp_path):
    (tmp_path / "empty.safetensors").write_bytes(b"")
    assert _weights_error(place, "empty.safetensors").startswith("cannot read empty.safetensors as safetensors: ")
    (tmp_path / "empty.pt").write_bytes(b"")
    assert _weights_error(place, "empty.pt").startswith("cannot read empty.pt as a state dict: ")
    torch.save([1, 2], "list.pt")
    assert "list.pt holds a list that is no state dict" in _weights_error(place, "list.pt")
    assert _weights_error(place, "absent.pt") == "the weights absent.pt are not a file"


@pytest.mark.parametrize("version", ["2.4.1", "2.9.1+cpu"])
def test_versions_that_load_unsafely_read_no_state_dict(place, tmp_path, monkeypatch, version):
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), *[torch.nn.Identity()] * 2, torch.nn.Linear(144, 5))
    torch.save(model.state_dict(), "w.pt")
    save_file(model.state_dict(), "w.safetensors")
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(torch, "load", None)  # it would not even be called
    arguments = ("plan", f"{place}:images", "x.npy", "-m", "gradient", "--weights")
    assert fail(FileError, *arguments, "w.pt") == (
        f"w.pt is not read with PyTorch {version}: before 2.10 a file made for it can damage the memory of the "
        "process, before 2.6 run code, in spite of weights_only=True. Update PyTorch, or give the weights as "
        ".safetensors"
    )
    assert "conv2d" in succeed(*arguments, "w.safetensors")
