# ruff: noqa: F811 - fixtures
"""What is computed stays: places are tried first, runs go on, nothing stale lies beside the new."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from test_cli import fail, place, run, succeed  # noqa: F401 - a fixture
from test_config import clean_registry  # noqa: F401 - a fixture

from signxai_core import calls
from signxai_core.cli import batches, drawing, store
from signxai_core.errors import FileError, ModelError, ParameterError, TargetError

KILLS = int(os.environ.get("SIGNXAI_KILLS", "2"))
METHODS = ("-m", "lrp*_epsilon_1", "-m", "smoothgrad")


@pytest.fixture
def six(place, tmp_path):
    """Six samples, and the arguments of a call in three batches."""
    np.save("six.npy", np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32))
    return ("explain", f"{place}:images", "six.npy", *METHODS, "--batch-size", "2")


def _tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _count(monkeypatch, stop_at=None, error=KeyboardInterrupt):
    """Count batches that are explained, and raise at one."""
    seen = []
    explain = calls.explain_specs

    def counted(*args, **given):
        if len(seen) == stop_at:
            raise error
        seen.append(len(args[1]))
        return explain(*args, **given)

    monkeypatch.setattr(calls, "explain_specs", counted)
    return seen


# The place of output


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("out", "cannot write out/explanations.npz: out is no folder"),
        ("out/maps", "cannot write out/maps/six.npy_0_lrp_epsilon_1.png: out/maps is no folder"),
        ("out/unfinished", "cannot read out/unfinished/manifest.json: "),
    ],
)
def test_a_file_in_the_way_is_found_before_anything_is_computed(six, tmp_path, monkeypatch, made, message):
    (tmp_path / made).parent.mkdir(exist_ok=True)
    (tmp_path / made).write_text("in the way")
    seen = _count(monkeypatch)
    assert message in fail(FileError, *six, "-o", "out")
    assert message in fail(FileError, *six, "-o", "out", "--overwrite")
    assert seen == []
    assert (tmp_path / made).read_text() == "in the way"


def test_a_folder_in_the_way_is_found_before_anything_is_computed(six, tmp_path, monkeypatch):
    (tmp_path / "out/table.csv").mkdir(parents=True)
    seen = _count(monkeypatch)
    assert fail(FileError, *six, "-o", "out", "--overwrite").startswith("cannot write out/table.csv: it is a folder")
    assert seen == []


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="a folder in which not even root can write")  # noqa: PTH110
def test_a_place_that_cannot_be_written_to(six, monkeypatch):
    seen = _count(monkeypatch)
    assert fail(FileError, *six, "-o", "/proc/self/out").startswith("cannot write /proc/self/out/unfinished/manifest")
    assert seen == []


@pytest.mark.parametrize(
    ("more", "error"), [(("--target", "1,2"), TargetError), (("-m", "gradient_x_sign_mu"), ParameterError)]
)
def test_nothing_is_left_where_nothing_was_computed(six, tmp_path, more, error):
    fail(error, *six, *more, "-o", "deep/out")
    assert not (tmp_path / "deep").exists()


def test_an_error_in_the_first_batch_leaves_nothing(six, tmp_path, monkeypatch):
    _count(monkeypatch, 0, ModelError("broken"))
    fail(ModelError, *six, "-o", "deep/out")
    assert not (tmp_path / "deep").exists()


# Going on


def test_an_interrupted_run_goes_on(six, tmp_path, monkeypatch):
    succeed(*six, "-o", "whole")
    with monkeypatch.context() as patch:
        _count(patch, 2)
        result = run(*six, "-o", "out")
    assert result.exit_code != 0
    assert "2 of 3 batches are kept in out/unfinished; the same command goes on from there" in result.stderr
    assert not (tmp_path / "out/explanations.npz").exists()
    seen = _count(monkeypatch)
    result = run(*six, "-o", "out")
    assert "going on with the run in out/unfinished: 2 of 3 batches are there" in result.stderr
    assert seen == [2, 2]  # one that asks whether the model is the same, and the batch that was missing
    assert _tree(tmp_path / "out") == _tree(tmp_path / "whole")


def test_a_batch_does_not_depend_on_the_others(six, place, tmp_path):
    succeed(*six, "--target", "0,1,2,3,4,0", "-o", "parts", "--pictures", "none")
    succeed(*six[:-1], "6", "--target", "0,1,2,3,4,0", "-o", "whole", "--pictures", "none")
    with np.load(tmp_path / "parts/explanations.npz") as parts, np.load(tmp_path / "whole/explanations.npz") as whole:
        assert list(parts) == list(whole)
        np.testing.assert_array_equal(parts["targets"], [0, 1, 2, 3, 4, 0])
        for name in parts:
            if name != "metadata":
                np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-6)


def test_parameters_per_sample_are_cut_with_their_samples(six, tmp_path):
    np.save("mu.npy", np.random.default_rng(1).random((6, 1, 8, 8)))
    common = (*six[:3], "-m", "gradient_x_sign_mu", "--set", "mu=@mu.npy", "--pictures", "none")
    succeed(*common, "--batch-size", "4", "-o", "parts")
    succeed(*common, "-o", "whole")
    with np.load(tmp_path / "parts/explanations.npz") as parts, np.load(tmp_path / "whole/explanations.npz") as whole:
        np.testing.assert_allclose(parts["maps/gradient_x_sign_mu"], whole["maps/gradient_x_sign_mu"], rtol=1e-4)


def test_what_was_computed_stays_when_writing_fails_at_the_end(six, tmp_path, monkeypatch):
    succeed(*six, "-o", "whole")

    def full(*_, **__):
        raise FileError("cannot write out/maps: No space left on device")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(drawing, "singles", full)
        assert "3 of 3 batches are kept in out/unfinished" in run(*six, "-o", "out").stderr
    seen = _count(monkeypatch)
    succeed(*six, "-o", "out")
    assert seen == [2]  # only the question whether the model is the same
    assert _tree(tmp_path / "out") == _tree(tmp_path / "whole")


def test_a_broken_batch_is_computed_again(six, tmp_path, monkeypatch):
    succeed(*six, "-o", "whole")
    with monkeypatch.context() as patch:
        _count(patch, 2)
        run(*six, "-o", "out")
    part = tmp_path / "out/unfinished/00001.npz"
    part.write_bytes(part.read_bytes()[:-100])
    result = run(*six, "-o", "out")
    assert "computing the batch in out/unfinished/00001.npz again: the file is broken" in result.stderr
    assert _tree(tmp_path / "out") == _tree(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (("-m", "gradient"), "methods, files"),
        (("--seed", "one"), "options"),
        (("--target", "1"), "options"),
        (("--rule", "0=flat"), "methods, rules"),
        (("--pictures", "none"), "files"),
        (("--max-memory", "1000"), "options"),
    ],
)
def test_another_call_does_not_go_on(six, tmp_path, monkeypatch, change, keys):
    with monkeypatch.context() as patch:
        _count(patch, 1)
        run(*six, "-o", "out")
    text = fail(FileError, *six, *change, "-o", "out")
    assert f"out/unfinished holds an unfinished run of another call; it differs in: {keys}. Repeat" in text
    succeed(*six, *change, "-o", "out", "--overwrite")
    succeed(*six, *change, "-o", "whole")
    assert _tree(tmp_path / "out") == _tree(tmp_path / "whole")


def test_other_inputs_or_another_model_do_not_go_on(six, place, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        _count(patch, 1)
        run(*six, "-o", "out")
    module = sys.modules[place]
    with monkeypatch.context() as patch:  # a change in what the module imports is not seen in its file
        patch.setattr(module.torch, "manual_seed", lambda _: None)
        text = fail(ModelError, *six, "-o", "out")
    assert text.startswith("the model gives other outputs than when the run in out/unfinished began")
    (tmp_path / f"{place}.py").write_text((tmp_path / f"{place}.py").read_text() + "\n# changed\n")
    assert "it differs in: model" in fail(FileError, *six, "-o", "out")
    np.save("six.npy", np.zeros((6, 1, 8, 8), dtype=np.float32))
    assert "it differs in: model, inputs" in fail(FileError, *six, "-o", "out")


def test_overwrite_in_the_command_goes_on_with_its_own_run_only(six, tmp_path, monkeypatch):
    for arguments, again, wanted in (
        ((), ("--overwrite",), [2, 2, 2]),  # to start anew is what was asked for
        (("--overwrite",), ("--overwrite",), [2, 2, 2]),  # question, and two that were missing
        (("--overwrite",), (), [2, 2, 2]),
    ):
        with monkeypatch.context() as patch:
            _count(patch, 1)
            run(*six, "-o", "out", *arguments)
        with monkeypatch.context() as patch:
            seen = _count(patch)
            result = run(*six, "-o", "out", *again)
            assert seen == wanted
            assert ("going on" in result.stderr) == bool(arguments)
        for path in sorted((tmp_path / "out").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def test_a_stranger_in_the_folder(six, tmp_path):
    (tmp_path / "out/unfinished").mkdir(parents=True)
    (tmp_path / "out/unfinished/thesis.txt").write_text("mine")
    for more in ((), ("--overwrite",)):
        text = fail(FileError, *six, "-o", "out", *more)
        assert text.startswith("out/unfinished is in the way: it is no folder of an unfinished run")
    (tmp_path / "out/unfinished/manifest.json").write_text('{"finished": 3}')
    assert "is in the way" in fail(FileError, *six, "-o", "out", "--overwrite")
    assert (tmp_path / "out/unfinished/thesis.txt").read_text() == "mine"


def test_killed_before_the_manifest_and_after_the_last_file(six, tmp_path, monkeypatch):
    succeed(*six, "-o", "whole")
    folder = tmp_path / "out/unfinished"
    folder.mkdir(parents=True)
    (folder / ".manifest.json.0123abcd.tmp").write_text("{")
    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "remove", lambda self: None)  # as if killed there
        patch.setattr(store.Store, "abandon", lambda self: None)
        succeed(*six, "-o", "out")
    assert json.loads((folder / "manifest.json").read_text())["finished"]
    seen = _count(monkeypatch)
    assert "the run in out was finished; nothing was left to compute" in succeed(*six, "-o", "out")
    assert seen == []
    assert _tree(tmp_path / "out") == _tree(tmp_path / "whole")
    assert "exist already" in fail(FileError, *six, "-o", "out")


# Nothing stale


def test_overwrite_leaves_nothing_stale(six, tmp_path, monkeypatch):
    succeed(*six, "-o", "out")
    (tmp_path / "out/maps/mine.png").write_text("mine")
    (tmp_path / "out/notes.txt").write_text("mine")
    before = _tree(tmp_path / "out")
    with monkeypatch.context() as patch:
        _count(patch, 1)
        run(*six[:3], "-m", "gradient", "--batch-size", "2", "-o", "out", "--overwrite")
    kept = _tree(tmp_path / "out")
    assert {name: kept[name] for name in before} == before  # until the new is there
    succeed(*six[:3], "-m", "gradient", "--batch-size", "2", "-o", "out", "--overwrite")
    assert sorted(_tree(tmp_path / "out")) == sorted(
        ["explanations.npz", "table.csv", "notes.txt", "maps/mine.png"]
        + [f"maps/six.npy_{index}_gradient.png" for index in range(6)]
    )


def test_a_list_of_files_can_name_no_others(six, tmp_path):
    succeed(*six, "-o", "out", "--pictures", "none")
    (tmp_path / "mine.png").write_text("mine")
    with np.load("out/explanations.npz") as found:
        arrays = dict(found)
    noted = json.loads(str(arrays["metadata"]))
    noted["files"] = ["../mine.png", "maps/../../mine.png", str(tmp_path / "mine.png"), 3, "table.csv"]
    np.savez("out/explanations.npz", **{**arrays, "metadata": np.array(json.dumps(noted))})
    succeed(*six, "-o", "out", "--overwrite", "--pictures", "none")
    assert (tmp_path / "mine.png").read_text() == "mine"


# Kills


def _environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def _command(six, output):
    code = f"import sys; sys.path.insert(0, {os.getcwd()!r}); from signxai_core.cli import main; main()"  # noqa: PTH109
    return [sys.executable, "-c", code, *six, "-o", output]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_run_that_is_killed_and_restarted_gives_the_same_files(six, place, tmp_path):
    """Kill the run at moments drawn at random, after so many of its batches; SIGNXAI_KILLS=20 kills it 20 times."""
    many = (*six[:2], "many.npy", "-m", "lrp_z", "-m", "smoothgrad", "--batch-size", "1", "--pictures", "sheets")
    np.save("many.npy", np.random.default_rng(0).random((12, 1, 8, 8), dtype=np.float32))
    subprocess.run(_command(many, "whole"), check=True, env=_environment(), capture_output=True)
    whole = _tree(tmp_path / "whole")
    generator = random.Random(0)  # noqa: S311 - no secret
    resumed = 0
    for number in range(KILLS):
        output = f"out_{number}"
        _killed(_command(many, output), tmp_path / output, generator)
        done = subprocess.run(_command(many, output), check=False, env=_environment(), capture_output=True, text=True)
        finished_before_the_kill = "exist already" in done.stderr
        assert done.returncode == 0 or finished_before_the_kill, done.stderr
        resumed += "going on with the run" in done.stderr
        assert _tree(tmp_path / output) == whole
    assert resumed


def _killed(command, output, generator):
    """Start a run and kill it at a random moment after its folder appeared."""
    process = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    changes = generator.randrange(1, 14)  # the manifest, twelve batches, the final files
    rest = generator.random() * 0.05
    while not _ended(process, 0.005) and len(list((output / store.FOLDER).glob("*"))) < changes:
        pass
    if not _ended(process, rest):
        process.send_signal(signal.SIGKILL)
        process.wait()


def _ended(process, within):
    try:
        process.wait(timeout=within)
    except subprocess.TimeoutExpired:
        return False
    return True


# Recompute


def test_limits_are_noted(six, tmp_path):
    succeed(*six, "--max-memory", "100000", "-o", "out", "--pictures", "none")
    with np.load("out/explanations.npz") as found:
        request = json.loads(str(found["metadata"]))["request"]
    assert (request["batch_size"], request["max_memory"]) == (2, 100000)


def test_recompute_uses_the_limits(six, place, monkeypatch):
    succeed(*six, "--max-memory", "100000", "-o", "out", "--pictures", "none")
    given = []
    explain = calls.explain_specs
    monkeypatch.setattr(calls, "explain_specs", lambda *args, **more: given.append(more) or explain(*args, **more))
    assert "maps are the same" in succeed("recompute", "out/explanations.npz", f"{place}:images")
    assert (given[0]["batch_size"], given[0]["max_memory"]) == (2, 100000)


def test_recompute_needs_no_config(six, place, tmp_path, clean_registry):
    from signxai_core.registry import process  # noqa: PLC0415

    (tmp_path / "ours.toml").write_text(
        '[rules.soft]\nuse = "gamma"\ngamma = 0.1\n[words.lrpsoft]\nrule = "soft"\n'
        '[composites.mine]\nentries = [{ where = { kinds = ["dense"] }, rule = { use = "epsilon", epsilon = 0.3 } }]\n'
        'extends = "epsilon_plus"\n[words.mine]\ncomposite = "mine"\n'
        '[methods.ours]\nname = "lrpsoft_mine"\n[methods.half]\nname = "lrpsign_mine"\nparameters = { mu = 0.5 }\n'
    )
    wanted = ("-m", "ours", "-m", "half", "-m", "lrpsoft_mine", "-m", "lrp_z")
    succeed(*six[:3], *wanted, "--config", "ours.toml", "-o", "out", "--pictures", "none")
    text = succeed("recompute", "out/explanations.npz", f"{place}:images", "--config", "ours.toml")
    assert text.count("the same") == 5
    process._FILES.clear()
    process.registry.cache_clear()
    text = succeed("recompute", "out/explanations.npz", f"{place}:images")
    assert "4 of 4 maps are the same" in text
    assert text.count("declared in a file") == 3


def _changed(path, change):
    with np.load(path) as found:
        arrays = dict(found)
    noted = json.loads(str(arrays["metadata"]))
    change(arrays, noted)
    np.savez("changed.npz", **{**arrays, "metadata": np.array(json.dumps(noted))})
    return "changed.npz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a, n: a.update({"maps/lrp_z": a["maps/lrp_z"][:1]}),
            "the map of 'lrp_z' has shape (1, 1, 8, 8), the inp",
        ),
        (
            lambda a, n: a.update({"maps/lrp_z": a["maps/lrp_z"][..., None]}),
            "has shape (6, 1, 8, 8, 1), the inputs (6, 1,",
        ),
        (lambda a, n: a.pop("inputs"), "changed.npz lacks 'inputs' or has something else in its place"),
        (lambda a, n: n.pop("request"), "changed.npz lacks 'request' or"),
        (lambda a, n: n["request"].pop("seed"), "changed.npz lacks 'seed' or"),
        (lambda a, n: n["request"].update(parameters=3), "or has something else in its place; it was changed"),
        (lambda a, n: n.update(methods={}), "changed.npz lacks 'lrp_z' or"),
    ],
)
def test_recompute_refuses_a_file_that_was_changed(six, place, change, message):
    succeed(*six[:3], "-m", "lrp_z", "-o", "out", "--pictures", "none")
    assert message in fail(FileError, "recompute", _changed("out/explanations.npz", change), f"{place}:images")


def test_recompute_says_what_a_name_means_today(six, place):
    succeed(*six[:3], "-m", "lrp_z", "-o", "out", "--pictures", "none")

    def change(arrays, noted):
        noted["methods"]["lrp_z"]["seed"] = "one"

    result = run("recompute", _changed("out/explanations.npz", change), f"{place}:images")
    assert "changed" in result.output
    assert "0 of 1 maps are the same" in result.output


def test_batches():
    assert [batches.batch_size(given, count) for given, count in ((None, 3), (None, 300), (7, 3), (1, 9))] == [
        3,
        32,
        7,
        1,
    ]
