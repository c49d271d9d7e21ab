"""Reading inputs and options."""

from __future__ import annotations

import numpy as np
import pytest
import typer
from PIL import Image

from signxai_core.cli import files, options, packages
from signxai_core.cli.inputs import Reading, read
from signxai_core.cli.serialise import to_json
from signxai_core.errors import BackendError, FileError, InputError, InputShapeError, ParameterError
from signxai_core.extras import MissingPackageError, need
from signxai_core.specs import MISSING, Where
from signxai_core.specs.values import ArrayValue


@pytest.fixture
def picture(tmp_path):
    """Three pixels wide, two high: red, green, blue above black, white, grey."""
    rows = [[(255, 0, 0), (0, 255, 0), (0, 0, 255)], [(0, 0, 0), (255, 255, 255), (51, 51, 51)]]
    path = tmp_path / "picture.png"
    Image.fromarray(np.array(rows, dtype=np.uint8)).save(path)
    return path


def test_image(picture):
    x = read([picture], Reading()).array
    assert x.shape == (1, 3, 2, 3)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[0, :, 0, 0], [1, 0, 0])
    np.testing.assert_allclose(x[0, :, 1, 2], [0.2, 0.2, 0.2])


def test_image_options(picture):
    how = Reading(layout="channels_last", scale=(-1, 1), mean=(0.5, 0.5, 0), std=(1, 2, 1))
    x = read([picture], how).array
    assert x.shape == (1, 2, 3, 3)
    np.testing.assert_allclose(x[0, 0, 0], [0.5, -0.75, -1])
    assert read([picture], Reading(grey=True)).array.shape == (1, 1, 2, 3)
    assert read([picture], Reading(size=(4, 6))).array.shape == (1, 3, 4, 6)
    assert read([picture, picture], Reading()).array.shape == (2, 3, 2, 3)


def test_arrays_carry_their_batch_axis(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    np.savez(tmp_path / "b.npz", x=np.ones((1, 3)), y=np.zeros((1, 3)))
    inputs = read([tmp_path / "a.npy", tmp_path / "b.npz"], Reading(key="x"))
    assert inputs.array.shape == (3, 3)
    assert inputs.labels == ("a.npy[0]", "a.npy[1]", "b.npz")


def test_integers_stay_integers(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3), dtype=np.int64))
    assert read([tmp_path / "a.npy"], Reading()).array.dtype == np.int64


@pytest.mark.parametrize("text", ["a,b\n1,2\n3,4\n", "1;2\n3;4", "1\t2\n3\t4\n\n", "\ufeff1, 2\n3, 4\n"])
def test_series(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_text(text, "utf-8")
    np.testing.assert_array_equal(read([path], Reading()).array, [[[1, 3], [2, 4]]])
    np.testing.assert_array_equal(read([path], Reading(layout="channels_last")).array, [[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(read([path], Reading(mean=(1, 2), std=(2,))).array, [[[0, 1], [0, 1]]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows of numbers; expected rows = time steps, columns = channels"),
        ("a,b\n", "holds no rows of numbers"),
        ("a,b\n1,2\n3\n", "row 3: 1 columns, but the first row has 2"),
        ("1,2\n3,x\n", "row 2, column 2: 'x' is not a number"),
    ],
)
def test_series_that_is_none(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(FileError) as raised:
        read([tmp_path / "x.csv"], Reading())
    assert message in str(raised.value)


def _error(kind, paths, **how):
    with pytest.raises(kind) as raised:
        read(paths, Reading(**how))
    return str(raised.value)


def test_files_that_cannot_be_read(tmp_path):
    assert _error(FileError, [tmp_path / "absent.png"]) == f"the input {tmp_path / 'absent.png'} is not a file"
    for name in ("a.npy", "a.npz", "a.png"):
        (tmp_path / name).write_bytes(b"nonsense")
    assert "cannot read" in _error(FileError, [tmp_path / "a.npy"])
    assert "as a NumPy file" in _error(FileError, [tmp_path / "a.npz"])
    np.savez(tmp_path / "b.npz", x=np.zeros((1, 2)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:-40])
    assert "as a NumPy file" in _error(FileError, [tmp_path / "cut.npz"])
    assert _error(FileError, [tmp_path / "a.png"]).endswith(
        "neither an image that Pillow knows, nor one of .npy, .npz, .csv, .tsv, .txt"
    )
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\xfa")
    assert "as text" in _error(FileError, [tmp_path / "b.csv"])
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "as a NumPy file" in _error(FileError, [tmp_path / "objects.npy"])


def test_image_cut_short(picture, tmp_path):
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:-30])
    assert "cannot read the image" in _error(FileError, [tmp_path / "cut.png"])


def test_npz_needs_a_key(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((1, 2)), y=np.zeros((1, 2)), z=np.array([{}], dtype=object))
    assert _error(FileError, [path]) == f"{path} holds several arrays; choose one with --key: x, y, z"
    assert _error(FileError, [path], key="w") == f"{path} holds no array 'w'; choose one with --key: x, y, z"
    assert _error(FileError, [path], key="z").startswith(f"cannot read {path} as a NumPy file: ")


def test_samples_of_different_shapes(picture, tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "other.png")
    assert _error(InputShapeError, [picture, tmp_path / "other.png"]) == (
        f"{tmp_path / 'other.png'} holds samples of shape (3, 2, 2), but {picture} of (3, 2, 3); samples of one call "
        "must have one shape (images: --size HEIGHTxWIDTH)"
    )


def test_a_number_is_no_batch(tmp_path):
    np.save(tmp_path / "a.npy", np.float32(3))
    assert "holds a single number" in _error(InputShapeError, [tmp_path / "a.npy"])


def test_channels_of_mean_and_std(picture):
    text = f"--mean has 2 numbers, but {picture} has 3 channel(s)"
    assert _error(InputShapeError, [picture], mean=(0, 0)) == text
    assert "--std holds a 0" in _error(InputError, [picture], std=(1, 0, 1))


@pytest.mark.parametrize(
    ("option", "how", "kinds"),
    [
        ("--size", {"size": (2, 2)}, "image files"),
        ("--scale", {"scale": (0, 1)}, "image files"),
        ("--grey", {"grey": True}, "image files"),
        ("--mean", {"mean": (1,)}, "image and CSV files"),
        ("--std", {"std": (1,)}, "image and CSV files"),
        ("--key", {"key": "x"}, ".npz files"),
    ],
)
def test_options_that_would_do_nothing(tmp_path, option, how, kinds):
    np.save(tmp_path / "a.npy", np.zeros((1, 2)))
    text = f"{option} is for {kinds}, and no input is one: {tmp_path / 'a.npy'}"
    assert _error(InputError, [tmp_path / "a.npy"], **how) == text


# Options


def test_parameters(tmp_path):
    np.save(tmp_path / "mu.npy", np.ones(3))
    found = options.parameters(
        ["mu=-0.5", "steps=20", "last_conv=features.3", "low=-1,0.5", f"high=@{tmp_path / 'mu.npy'}", "noise=1e-3"]
    )
    assert found["mu"] == -0.5
    assert found["steps"] == 20
    assert isinstance(found["steps"], int)
    assert found["last_conv"] == "features.3"
    np.testing.assert_array_equal(found["low"], [-1, 0.5])
    np.testing.assert_array_equal(found["high"], np.ones(3))
    assert found["noise"] == 1e-3


def test_parameters_refused(tmp_path):
    with pytest.raises(ParameterError, match="'target' is no parameter of a method; use the option --target"):
        options.parameters(["target=3"])
    with pytest.raises(ParameterError, match="the parameter 'mu' is given twice"):
        options.parameters(["mu=3", "mu=4"])
    with pytest.raises(typer.BadParameter, match="expected key=value, got 'mu'"):
        options.parameters(["mu"])
    with pytest.raises(FileError, match=r"cannot read .*absent.npy as a NumPy file"):
        options.parameters([f"mu=@{tmp_path / 'absent.npy'}"])


def test_option_values():
    assert options.target("3") == 3
    assert options.target("3,5") == [3, 5]
    assert options.target(None) is None
    assert options.size("4x6") == (4, 6)
    assert options.scale("-1,1") == (-1, 1)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (options.target, "cat", "expected whole numbers separated by commas, got 'cat'"),
        (options.size, "4", "expected HEIGHTxWIDTH, such as 224x224, got '4'"),
        (options.size, "0x4", "expected HEIGHTxWIDTH, such as 224x224, got '0x4'"),
        (options.scale, "1", "expected LOW,HIGH, got '1'"),
        (options.scale, "a,b", "expected numbers separated by commas, got 'a,b'"),
        (options.scale, "0,nan", "expected finite numbers, got '0,nan'"),
    ],
)
def test_option_values_refused(parse, text, message):
    with pytest.raises(typer.BadParameter, match=message):
        parse(text)


# Files


def _interrupted(path, exception):
    with files.whole(path) as file:
        file.write(b"half")
        raise exception


def test_files_are_whole_or_absent(tmp_path):
    path = tmp_path / "folder/file"
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path, KeyboardInterrupt)
    assert list(path.parent.iterdir()) == []
    files.write(path, b"old")
    with pytest.raises(RuntimeError):
        _interrupted(path, RuntimeError)
    assert path.read_bytes() == b"old"
    files.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match=r"cannot write .*file/inside: "):
        files.write(tmp_path / "file/inside", b"")


# Packages and JSON


def test_missing_packages():
    with pytest.raises(MissingPackageError) as raised:
        need("sklearn_absent", "PIL", purpose="flying")
    assert raised.value.packages == ("sklearn_absent",)
    assert str(raised.value) == (
        "flying needs sklearn_absent, which is not installed; install it with: pip install 'signxai-core[demo]'"
    )


def test_backend_without_a_companion(monkeypatch):
    monkeypatch.setattr(packages, "registry", lambda: _Registry("signxai_rules.tables:RULES"))
    with pytest.raises(BackendError) as raised:
        packages.loading("bare")
    assert str(raised.value) == (
        "--weights does not work with the backend 'bare': plugin 'mine' has no module 'signxai_rules.loading'"
    )


class _Registry:
    def __init__(self, factory):
        self.entry, self.owner, self.factory = self, "mine", factory

    def backend(self, name):
        return self


def test_json():
    assert to_json(ArrayValue([1.0, 2.0]))["array"] == {"dtype": "float64", "shape": [2], "values": [1.0, 2.0]}
    assert to_json(MISSING) == {"type": "MISSING"}
    assert to_json(Where(kinds={"dense", "convolution"}))["kinds"] == ["convolution", "dense"]
    assert to_json({"a": (np.float32(0.5), None, True)}) == {"a": [0.5, None, True]}
    with pytest.raises(TypeError, match="cannot write a complex as JSON: 1j"):
        to_json(1j)
