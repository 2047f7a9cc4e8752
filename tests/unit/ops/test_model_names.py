"""Names of models: what identifies them, where they are found, and names that mean nothing."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from small_cell import one_line

from w2s_ray.core.errors import ModelError
from w2s_ray.ops.models import folder_digest, folder_of, identify, locate, num_parameters
from w2s_ray.ops.shapes import shape_of_name

COMMIT = 40 * "a"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's own model folder, beside the YAML."""
    return Path(shutil.copytree(folder_of("world/nano", Path()), tmp_path / "own"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "'nowhere' is not a model folder .* has no config.json.*; give a folder, package:NAME/FOLDER, w"),
        ("hub:org/name", "'hub:org/name' is not pinned to a commit.*; write hub:org/name@COMMIT with the 40 digits"),
        ("hub:org/name@main", "is not pinned to a commit"),
        (f"hub:org/name@{COMMIT[1:]}", "is not pinned to a commit"),
        (f"untrained:hub:org/name@{COMMIT}", "would need a download to know the shape"),
        ("untrained:hub:org/name", "is not pinned to a commit"),
        ("untrained:nowhere", "is not a model folder"),
        ("untrained:untrained:world/nano", "says untrained: twice; write untrained:world/nano"),
        (
            "untrained:labels:file:x.csv#y",
            "'untrained:labels:file:x.csv#y' is untrained: of a file of labels, which is",
        ),
        (f"hub:@{COMMIT}", "names no model of the hub; write hub:ORG/NAME@COMMIT"),
        (f"hub:org/@{COMMIT}", "names no model of the hub"),
        (f"hub:/name@{COMMIT}", "names no model of the hub"),
        (f"hub:a b/name@{COMMIT}", "names no model of the hub"),
        (f"hub:a/b/c@{COMMIT}", "names no model of the hub"),
        ("hub:", "names no model of the hub"),
        ("package:__main__/x", "needs the Python package '__main__', which is not installed here"),
        ("world/nanno", r"not in the built-in ladder \(did you mean 'nano'\?\); there are: world/nano, world/"),
        ("package:not_there/x", "needs the Python package 'not_there', which is not installed here; pip install"),
        ("package:not-a-name/x", "needs the Python package 'not-a-name'"),
        ("package:os/x", "needs the Python package 'os'"),
        ("package:w2s_ray/nowhere", "is not a model folder"),
        ("path:nowhere", "is not a model folder"),
    ],
)
def test_a_name_that_means_no_model_is_refused_in_a_line(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        identify(name, tmp_path)
    assert one_line(caught.value).startswith("models: ")


def test_a_folder_without_safetensors_is_refused_with_what_to_do(own: Path) -> None:
    os.rename(own / "model.safetensors", own / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"'own' has no \*.safetensors in .*save_pretrained") as caught:
        identify("own", own.parent)
    assert one_line(caught.value)


@pytest.mark.parametrize("spelled", ["own", "path:own", "./own", "{}", "path:{}"])
def test_a_folder_is_the_same_however_it_is_spelled(spelled: str, own: Path) -> None:
    found = identify(spelled.format(own), own.parent)
    assert found.identity == identify("own", own.parent).identity
    assert found.path == str(own) == locate(found.path)
    assert found.identity == f"folder-{folder_digest(own)[:8]}@{folder_digest(own)}"


def test_a_folder_is_what_its_files_compute_wherever_it_lies(own: Path) -> None:
    before = identify("own", own.parent).identity
    moved = own.rename(own.parent / "moved")
    (moved / "README.md").write_text("notes")
    (moved / "pytorch_model.bin").write_bytes(b"another copy of the weights")
    os.utime(moved / "config.json", (1, 1))
    assert identify("moved", moved.parent).identity == before
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    assert identify("moved", moved.parent).identity != before


def test_new_bytes_of_the_same_size_are_another_model(own: Path) -> None:
    """What is remembered of a folder is looked up by more than its size."""
    before = folder_digest(own)
    weights = bytearray((own / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (own / "model.safetensors").write_bytes(weights)
    assert folder_digest(own) != before


def test_a_pinned_model_of_the_hub_is_named_by_its_commit_and_not_opened(tmp_path: Path) -> None:
    found = identify(f"hub:org/name@{COMMIT}", tmp_path)
    assert found.identity == f"org/name@{COMMIT}"
    assert locate(found.path) == found.path == found.name == str(found)
    assert num_parameters(found.name, tmp_path) is None
    assert shape_of_name(found.name, tmp_path) is None


def test_a_model_of_the_hub_may_have_no_owner(tmp_path: Path) -> None:
    assert identify(f"hub:gpt2@{COMMIT}", tmp_path).identity == f"gpt2@{COMMIT}"


def test_a_model_inside_a_package_is_found_by_name_and_its_code_is_not_run(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "some_models"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    own.rename(package / "small")
    monkeypatch.syspath_prepend(package.parent)
    found = identify("package:some_models/small", Path())
    assert found.path == "package:some_models/small", "on another machine it lies elsewhere"
    assert locate(found.path) == str(package / "small")
    assert "some_models" not in sys.modules
    assert num_parameters(found.name, Path()) == num_parameters("world/nano", Path())


def test_an_untrained_model_is_made_once_and_has_the_shape_of_the_other(own: Path) -> None:
    found = identify("untrained:own", own.parent)
    assert found.identity.startswith("untrained-folder-")
    folder = Path(locate(found.path))
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert locate(found.path) == str(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps
    assert folder != own
    assert folder_digest(folder) != folder_digest(own)
    assert shape_of_name("untrained:own", own.parent) == shape_of_name("own", own.parent)


# ---- shapes by name


@pytest.mark.parametrize("name", ["world/nano", "world/micro", "untrained:world/nano"])
def test_a_shape_is_read_from_the_config_and_its_parameters_from_the_weights(name: str) -> None:
    shape = shape_of_name(name, Path())
    config = json.loads((folder_of(name.removeprefix("untrained:"), Path()) / "config.json").read_text())
    assert shape is not None
    assert (shape.width, shape.layers, shape.heads) == tuple(
        config[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    assert (shape.ffn, shape.vocab) == (config["intermediate_size"], config["vocab_size"])
    assert shape.parameters == num_parameters(name, Path())


def test_a_relative_folder_starts_where_the_yaml_is(own: Path) -> None:
    assert shape_of_name("own", own.parent) == shape_of_name(str(own), Path("/")) == shape_of_name("world/nano", Path())


def test_published_models_are_known_without_a_download_whatever_their_commit_and_tuning() -> None:
    plain = shape_of_name("hub:Qwen/Qwen2.5-0.5B@0", Path())
    assert plain is not None
    assert shape_of_name(f"hub:Qwen/Qwen2.5-0.5B-Instruct@{COMMIT}", Path()) == plain
    assert shape_of_name("untrained:hub:Qwen/Qwen2.5-0.5B", Path()) == plain
    assert shape_of_name("hub:Qwen/Qwen2.5-0.6B@0", Path()) is None
