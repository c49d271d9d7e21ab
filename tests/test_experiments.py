# ruff: noqa: F811 - fixtures
"""``signxai run`` and ``signxai schema``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tomlkit
from test_cli import fail, place, succeed  # noqa: F401 - a fixture
from test_config import BAD, GOOD, clean_registry  # noqa: F401 - a fixture

import signxai_core as sx
from signxai_core import config
from signxai_core.errors import ConfigError, FileError, InputError, UnknownNameError
from signxai_core.registry import registry

EXPERIMENTS = """
[words.lrpown]
rule = {{ use = "gamma", gamma = 0.5 }}

[experiments.main]
model = "{place}:images"
inputs = ["x.npy"]
methods = ["lrpown_epsilon_0_1", "lrp*_epsilon_1", "gradient_x_sign_mu"]
exclude = ["lrpz*"]
output = "explained"
target = [1]
parameters = {{ mu = 0.25 }}
rules = {{ "0" = "flat" }}
pictures = "none"

[experiments.other]
model = "{place}:images"
inputs = ["x.npy"]
methods = ["gradient"]
output = "other"
pictures = "none"
size = [3]
"""


@pytest.fixture
def file(place, tmp_path, clean_registry):
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENTS.format(place=place))
    return path


def test_an_experiment_is_explain_written_down(file, tmp_path):
    succeed("run", file, "main")
    with np.load(tmp_path / "explained/explanations.npz", allow_pickle=False) as found:
        maps, metadata = dict(found), json.loads(str(found["metadata"]))
    names = ["lrpown_epsilon_0_1", "lrp_epsilon_1", "lrpsign_epsilon_1", "gradient_x_sign_mu"]
    assert [key for key in maps if key.startswith("maps/")] == [f"maps/{name}" for name in names]
    assert metadata["request"]["rules"] == {"0": "flat"}
    assert maps["targets"].tolist() == [1, 1]
    with pytest.raises(FileError, match="explained"):
        succeed("run", file, "main")
    succeed("run", file, "main", "--overwrite")


def test_loading_a_file_runs_no_experiment(file, tmp_path):
    file.write_text(file.read_text().replace("models_", "no_such_module_"))
    sx.load(file)
    assert not (tmp_path / "explained").exists()


def test_which_experiment(file):
    assert "declares 2 experiments; name one of: main, other" in fail(InputError, "run", file)
    assert "unknown experiment 'mian'; did you mean main" in fail(UnknownNameError, "run", file, "mian")
    assert "size of an experiment must be two numbers, got [3]" in fail(InputError, "run", file, "other")
    file.write_text(GOOD)
    assert "declares 0 experiments; name one of: none" in fail(InputError, "run", file)


def test_mistakes_in_an_experiment(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('[experiments.a]\nmodel = 3\ninputs = ["x"]\noutput = "y"\nsed = "one"\nseed = "two"\n')
    with pytest.raises(ConfigError) as caught:
        config.experiments(path, registry())
    text = str(caught.value)
    assert "experiments.a.model: expected a text, got 3" in text
    assert "the key 'methods' is missing" in text
    assert "unknown key sed; accepted: model, inputs, methods" in text
    assert "experiments.a.seed: expected one of logit, one" in text


# The schema. JSON Schema has many words; this checks those that the schema uses.

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
WORDS = {"$ref", "type", "enum", "const", "anyOf", "properties", "required", "additionalProperties", "items"}


def fits(value, schema, defs):  # noqa: PLR0911 - one per word
    assert set(schema) <= WORDS | {"$schema", "$defs", "title"}, schema
    if "$ref" in schema:
        return fits(value, defs[schema["$ref"].removeprefix("#/$defs/")], defs)
    kind = schema.get("type")
    if kind == "null":
        return value is None
    if kind is not None and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return False
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        return False
    if "anyOf" in schema and not any(fits(value, part, defs) for part in schema["anyOf"]):
        return False
    if isinstance(value, list) and "items" in schema:
        return all(fits(item, schema["items"], defs) for item in value)
    return not isinstance(value, dict) or fits_object(value, schema, defs)


def fits_object(value, schema, defs):
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key, item in value.items():
        part = known.get(key, {} if other is True else other)
        if part is False or not fits(item, part, defs):
            return False
    return set(schema.get("required", ())) <= set(value)


@pytest.fixture(scope="module")
def schema():
    return json.loads(succeed("schema"))


def check(text, schema):
    return fits(tomlkit.parse(text).unwrap(), schema, schema["$defs"])


def test_the_schema_accepts_what_load_accepts(schema):
    assert check(GOOD, schema)
    assert check(EXPERIMENTS.format(place="models"), schema)
    for name in sx.methods():
        assert check(sx.dump(sx.parse(name), "mine"), schema), name


STRUCTURAL = [text for text in BAD if "b]" in text or "d]" in text or "f]" in text or "g]" in text or "typo" in text]


@pytest.mark.parametrize("text", [*STRUCTURAL, "[words.w]", '[presets.P]\nlow = "x"', "[methods.m]\nfamily = 3"])
def test_the_schema_refuses_what_has_the_wrong_form(text, schema):
    assert not check(text, schema)


def test_the_schema_knows_what_is_registered(schema):
    (use,) = [part for part in schema["$defs"]["rule"]["anyOf"] if "use" in part.get("properties", {})]
    assert set(use["properties"]["use"]["anyOf"][0]["enum"]) == set(sx.rules())
