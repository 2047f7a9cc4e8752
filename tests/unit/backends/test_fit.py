"""The training loop: against a plain independent one, whatever the micro-batches, and after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import killed_fit
import numpy as np
import pytest
import torch
from toy_rows import Place, shuffled, toy

from w2s_ray.backends.batch.order import epoch_batches, id_hashes
from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.batch.tokens import tokenise
from w2s_ray.backends.devices.device import has_bf16
from w2s_ray.backends.fit.checkpoint import CHECKPOINT
from w2s_ray.backends.fit.fitted import load_fitted
from w2s_ray.backends.fit.gradients import Micro, step_loss
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.optimizer import build_adamw, lr_factor
from w2s_ray.backends.fit.single import fit
from w2s_ray.backends.models.classifier import Classifier, build_classifier
from w2s_ray.backends.models.load import load_tokenizer
from w2s_ray.blocks.losses.contract import Given
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import DataError, FitError, Interrupted, OutOfMemory, ResourceError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.core.watch import Watch

# peft 0.21 asks transformers 5.23 by an old name

GOLDEN = Path(__file__).parents[2] / "golden" / "fit.json"


def run(
    model: str,
    place: Place,
    recipe: Recipe,
    count: int = 80,
    labels: Any = None,
    data: Any = None,
    progress: Any = None,
    **resources: Any,
) -> Any:
    rows, truth = toy(count)
    resources = {"checkpoint_every_s": 1e9} | resources
    return fit(
        Job(
            data or rows,
            labels or [truth],
            model,
            recipe,
            Resources(**resources),
            place,
            place.folder / "cache",
            progress,
        )
    )


def losses(fitted: Any) -> list[float]:
    return [point["loss"] for point in fitted.log]


def test_it_is_the_plain_loop(llama: str, place: Place) -> None:
    """The same batches, whole, through plain transformers with a mask, unfused AdamW and a schedule written out."""
    from transformers import AutoModel

    data, labels = toy(70)
    soft = LabelSet.of(data.ids, 0.8 * labels.probs_NK + 0.1)
    recipe = Recipe(lr=3e-3, epochs=2, batch=16, bucket=2, warmup=2, weight_decay=0.1, clip=0.5, pooling="mean")
    fitted = run(llama, place, recipe, data=data, labels=[soft], micro_tokens=50)

    tokens = tokenise(data, load_tokenizer(llama))
    targets = torch.tensor(soft.align(tokens.ids).probs_NK, dtype=torch.float32)
    backbone = AutoModel.from_pretrained(llama).eval()
    head = torch.nn.Linear(16, 2, bias=False)
    torch.nn.init.zeros_(head.weight)
    parameters = [*backbone.parameters(), *head.parameters()]
    decayed, free = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": free, "weight_decay": 0.0}], foreach=False
    )
    expected = []
    for step in range(10):
        batches = epoch_batches(id_hashes(tokens.ids), tokens.lengths_N, batch=16, bucket=2, seed=0, epoch=step // 5)
        rows = batches[step % 5]
        ids = torch.tensor(tokens.padded(rows, 0))
        mask = torch.arange(ids.shape[1]) < torch.tensor(tokens.lengths_N[rows])[:, None]
        hidden = backbone(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        logits = head((hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True))
        loss = torch.nn.functional.cross_entropy(logits, targets[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * ((step + 1) / 2 if step < 2 else 0.5 * (1 + np.cos(np.pi * (step - 2) / 8)))
        optimizer.step()
        optimizer.zero_grad()
        expected.append(loss.item())
    assert losses(fitted) == pytest.approx(expected, abs=2e-5)
    assert expected[-1] < expected[0] - 0.01


@pytest.mark.parametrize(
    "loss",
    [
        "xent",
        {"type": "logconf", "compat": "openai", "warmup": 0},
        {"type": "logconf", "compat": "eleuther"},
        {"type": "window", "radius": "midweak"},
    ],
    ids=str,
)
def test_micro_batches_do_not_change_what_is_learned(loss: Any, llama: str, tmp_path: Path) -> None:
    recipe = Recipe(loss=loss, lr=1e-3, epochs=2, batch=16)
    fitted = []
    for micro_tokens in (30, 4096):
        place = Place(tmp_path / str(micro_tokens))
        place.folder.mkdir()
        fitted.append(run(llama, place, recipe, micro_tokens=micro_tokens))
    assert losses(fitted[0]) == pytest.approx(losses(fitted[1]), abs=1e-4)
    data, _ = toy(80)
    assert np.allclose(fitted[0].predict(data).probs_NK, fitted[1].predict(data).probs_NK, atol=1e-3)


def test_two_passes_give_the_gradient_of_one_also_under_dropout(gpt2: str) -> None:
    recipe = Recipe(dropout=True, head_init="normal", loss="logconf")
    data, labels = toy(24)
    tokens = tokenise(data, load_tokenizer(gpt2))
    targets = torch.tensor(labels.align(tokens.ids).probs_NK[:, None], dtype=torch.float32)
    parts = np.split(np.arange(24), [5, 14])
    micros = [
        Micro(Padded.of(tokens, part, 0, torch.device("cpu")), targets[part], torch.ones(len(part)), len(part) / 24)
        for part in parts
    ]
    classifier = build_classifier(gpt2, recipe, 2).train()
    loss_fn = recipe.loss.build(Given.of_classes(2))
    torch.manual_seed(0)
    loss = step_loss(classifier, micros, loss_fn, 0.9, lambda scalar: scalar.backward())
    found = [p.grad.clone() for p in classifier.parameters() if p.grad is not None]
    classifier.zero_grad()
    torch.manual_seed(0)
    whole = loss_fn(torch.cat([classifier(m.inputs) for m in micros]), targets, torch.ones(24), 0.9)
    whole.backward()
    assert loss.item() == pytest.approx(whole.item(), abs=1e-6)
    for gradient, parameter in zip(found, [p for p in classifier.parameters() if p.grad is not None], strict=True):
        assert torch.allclose(gradient, parameter.grad, atol=1e-6)


def test_the_order_of_rows_in_the_file_does_not_count(llama: str, tmp_path: Path) -> None:
    data, labels = toy(60)
    recipe = Recipe(lr=1e-3, epochs=1)
    results = []
    for name, rows in (("a", data), ("b", shuffled(data))):
        place = Place(tmp_path / name)
        place.folder.mkdir()
        results.append(run(llama, place, recipe, data=rows, labels=[labels]))
    assert losses(results[0]) == losses(results[1])
    one, other = results[0].predict(data), results[0].predict(shuffled(data))
    assert other.ids.tolist() != one.ids.tolist()
    assert np.array_equal(other.align(data.ids).probs_NK, one.probs_NK)
    few = data.select(data.ids[:7])
    assert np.allclose(results[0].predict(few).probs_NK, one.probs_NK[:7], atol=1e-5)


def test_rows_without_a_label_are_left_out(llama: str, tmp_path: Path) -> None:
    data, labels = toy(60)
    kept = np.arange(60) % 3 > 0
    masked = LabelSet.of(data.ids, labels.probs_NK, mask_N=kept)
    unweighted = LabelSet.of(data.ids, labels.probs_NK, weight_N=kept.astype(float))
    fewer = data.select(data.ids[kept])
    found = []
    for name, rows, teacher in (("m", data, masked), ("w", data, unweighted), ("f", fewer, labels)):
        place = Place(tmp_path / name)
        place.folder.mkdir()
        found.append(run(llama, place, Recipe(lr=1e-3, epochs=1, batch=8), data=rows, labels=[teacher]))
    assert losses(found[0]) == losses(found[1]) == losses(found[2])
    assert found[0].facts["rows"] == 40
    with pytest.raises(DataError, match="nothing to learn from"):
        run(
            llama,
            Place(tmp_path / "m"),
            Recipe(),
            data=data,
            labels=[LabelSet.of(data.ids, labels.probs_NK, mask_N=np.zeros(60, dtype=bool))],
        )


def test_several_teachers_are_averaged_and_weights_count(llama: str, tmp_path: Path) -> None:
    data, labels = toy(40)
    uniform = LabelSet.of(data.ids, np.full((40, 2), 0.5))
    mean = LabelSet.of(data.ids, (labels.probs_NK + uniform.probs_NK) / 2)
    recipe = Recipe(lr=1e-3, epochs=1, batch=8, bucket=1)
    first, second, third = (Place(tmp_path / name) for name in "abc")
    for place in (first, second, third):
        place.folder.mkdir()
    two = run(llama, first, recipe, data=data, labels=[labels, uniform])
    assert losses(two) == pytest.approx(losses(run(llama, second, recipe, data=data, labels=[mean])), abs=1e-6)
    heavy = LabelSet.of(data.ids, mean.probs_NK, weight_N=1 + 10 * (np.arange(40) % 2))
    assert np.abs(np.subtract(losses(run(llama, third, recipe, data=data, labels=[heavy])), losses(two)))[-1] > 1e-4


@pytest.mark.parametrize("adapt", ["full", "lora"])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_learns_and_what_is_saved_predicts_the_same(
    adapt: Any, classes: int, llama: str, place: Place, tmp_path: Path
) -> None:
    data, labels = toy(240, classes)
    recipe = Recipe(adapt=adapt, lr=1e-2, epochs=6, pooling="mean", batch=16)
    fitted = run(llama, place, recipe, data=data, labels=[labels])
    predicted = fitted.predict(data)
    assert (predicted.hard_N == labels.hard_N).mean() > {"full": 0.8, "lora": 0.65}[adapt]
    fitted.save(tmp_path / "saved")
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} == {".json", ".safetensors"}
    again = load_fitted(tmp_path / "saved", llama)
    assert np.array_equal(again.predict(data).probs_NK, predicted.probs_NK)
    assert llama not in "".join(path.read_text(errors="ignore") for path in (tmp_path / "saved").iterdir())
    assert np.array_equal(again.embed(data, 1).array_ND, fitted.embed(data, 1).array_ND)
    with pytest.raises(DataError, match="classes"):
        fitted.predict(toy(10, 5)[0])


def test_lora_trains_adapters_and_the_head_alone(gpt2: str, place: Place, tmp_path: Path) -> None:
    fitted = run(gpt2, place, Recipe(adapt="lora", lr=1e-2, epochs=1))
    trained = {name for name, p in fitted.reader.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name or name == "head.weight" for name in trained)
    before, after = load_fitted_base(gpt2), fitted.reader.backbone.state_dict()
    assert all(
        torch.equal(value, after[f"base_model.model.{name}"])
        for name, value in before.items()
        if f"base_model.model.{name}" in after
    )
    fitted.save(tmp_path / "saved")
    assert gpt2 not in "".join(path.read_text(errors="ignore") for path in (tmp_path / "saved").iterdir())


def load_fitted_base(path: str) -> Any:
    from w2s_ray.backends.models.load import load_backbone

    return load_backbone(path).model.state_dict()


def test_where_memory_runs_out_the_fit_goes_on_with_half_as_many_tokens_at_once(
    llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is torch's own, raised where a device would; the batch and what is learned stay."""
    recipe = Recipe(lr=1e-3, epochs=2, batch=32)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    calm = run(llama, Place(tmp_path / "one"), recipe, micro_tokens=4096)
    forward = Classifier.forward

    def small(self: Classifier, batch: Padded) -> torch.Tensor:
        if batch.ids_QT.numel() > 90:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "forward", small)
        tight = run(llama, Place(tmp_path / "two"), recipe, micro_tokens=320)
    assert tight.facts["micro_tokens"] == 80
    assert tight.facts["halvings"] == [320, 160]
    np.testing.assert_allclose(losses(tight), losses(calm), rtol=0, atol=1e-5)


def test_a_device_that_holds_not_even_one_row_is_a_failure_with_a_report(
    llama: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: Classifier, batch: Padded) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Classifier, "forward", never)
    with pytest.raises(
        OutOfMemory, match=r"13 tokens at once, the longest row having 13 \(CUDA out of memory\); spread the fit"
    ):
        run(llama, place, Recipe(epochs=1), micro_tokens=40)


def test_activation_checkpointing_changes_memory_alone(llama: str, tmp_path: Path) -> None:
    found = []
    for on in (False, True):
        place = Place(tmp_path / str(on))
        place.folder.mkdir()
        found.append(run(llama, place, Recipe(lr=1e-3, epochs=1), activation_checkpointing=on))
    assert losses(found[0]) == losses(found[1])


def test_bf16_is_near_fp32_or_refused(llama: str, tmp_path: Path) -> None:
    places = [Place(tmp_path / name) for name in "ab"]
    for place in places:
        place.folder.mkdir()
    recipe = Recipe(lr=1e-3, epochs=1, precision="bf16")
    if not has_bf16(torch.device("cpu")):
        with pytest.raises(ResourceError, match=r"train\.precision"):
            run(llama, places[0], recipe)
        return
    half, full = run(llama, places[0], recipe), run(llama, places[1], recipe.model_copy(update={"precision": "fp32"}))
    assert losses(half) != losses(full)
    assert losses(half) == pytest.approx(losses(full), abs=0.02)
    assert all(p.dtype == torch.float32 for p in half.reader.parameters())


def test_a_gpu_that_is_not_there_is_refused(llama: str, place: Place) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ResourceError, match=r"resources\.gpus is 1"):
        run(llama, place, Recipe(), gpus=1)


def test_a_loss_that_is_not_finite_names_its_step(llama: str, place: Place) -> None:
    with pytest.raises(FitError, match=r"the loss is nan at step \d+ of 10 .*lower train\.lr"):
        run(llama, place, Recipe(lr=1e38, clip=None, epochs=2, batch=16))


def test_labels_must_be_of_these_rows_and_classes(llama: str, place: Place) -> None:
    data, labels = toy(20)
    with pytest.raises(DataError, match="3 classes"):
        run(llama, place, Recipe(), data=data, labels=[toy(20, 3)[1]])
    with pytest.raises(DataError, match="not among"):
        run(llama, place, Recipe(), data=toy(30)[0], labels=[labels])


@pytest.mark.parametrize("loss", ["xent", "logconf"])
def test_a_killed_fit_ends_bit_equal_to_one_never_killed(loss: str, gpt2: str, tmp_path: Path) -> None:
    never, killed = tmp_path / "never", tmp_path / "killed"
    never.mkdir()
    killed.mkdir()
    died = subprocess.run(
        [sys.executable, killed_fit.__file__, gpt2, killed, loss, "9"], check=False, capture_output=True
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    killed_fit.main(gpt2, killed, loss, 0)
    killed_fit.main(gpt2, never, loss, 0)
    one, other = np.load(never / "result.npz"), np.load(killed / "result.npz")
    assert (one["resumed_at"].tolist(), other["resumed_at"].tolist()) == ([], [8])
    assert np.array_equal(one["losses"], other["losses"])
    assert np.array_equal(one["probs"], other["probs"])


def test_an_interrupted_fit_keeps_its_last_step(llama: str, place: Place) -> None:
    def stop(state: dict[str, Any], curve: object) -> None:
        if state["step"] == 3:
            raise Interrupted("asked to stop")

    recipe = Recipe(lr=1e-3, epochs=2, batch=16)
    with pytest.raises(Interrupted):
        run(llama, place, recipe, progress=stop)
    resumed = run(llama, place, recipe)
    (entry,) = resumed.facts["resumed"]
    assert (entry["step"], entry["workers"]) == (3, 1)
    assert 0 < entry["since_checkpoint_s"] < 60
    assert resumed.facts["rows"] == 160
    assert list(place.scratch.iterdir()) == []


def test_a_machine_that_leaves_causes_one_checkpoint(llama: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    keep = Place.keep
    monkeypatch.setattr(Place, "keep", lambda self, name, file: (kept.append(name), keep(self, name, file)))
    monkeypatch.setattr(Watch, "leaving", lambda self: True)
    run(llama, place, Recipe(epochs=3, batch=16))
    assert kept == [CHECKPOINT]


def test_checkpoints_come_after_so_many_steps(llama: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    keep = Place.keep
    monkeypatch.setattr(Place, "keep", lambda self, name, file: (kept.append(name), keep(self, name, file)))
    run(llama, place, Recipe(epochs=3, batch=16), checkpoint_every_s=1e9, checkpoint_every_steps=4)
    assert kept == [CHECKPOINT] * 3  # of 15 steps; none after the last


def test_a_damaged_or_foreign_checkpoint_is_left_aside(
    llama: str, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    run(llama, place, Recipe(epochs=1, seed=5), checkpoint_every_s=1e-9)
    assert place.fetch(CHECKPOINT) is not None
    assert run(llama, place, Recipe(epochs=1, seed=6)).facts["resumed"] == []
    assert "another fit" in caplog.text
    (place.folder / CHECKPOINT).write_bytes(b"not a checkpoint")
    assert run(llama, place, Recipe(epochs=1, seed=6)).facts["resumed"] == []
    assert "cannot be read" in caplog.text


def test_progress_and_facts(llama: str, place: Place) -> None:
    seen: list[dict[str, Any]] = []
    logs: list[list[dict[str, float]]] = []

    def progress(state: dict[str, Any], curve: Callable[[], list[dict[str, float]]]) -> None:
        seen.append(state)
        logs.append(curve())

    fitted = run(llama, place, Recipe(lr=1e-3, epochs=2, batch=32), progress=progress)
    assert logs == [fitted.log[:done] for done in range(1, 7)], "the beginning of what it will be"
    assert [(state["step"], state["epoch"]) for state in seen] == [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1)]
    assert [state["loss"] for state in seen] == losses(fitted)
    assert seen[0]["lr"] == pytest.approx(1e-3)
    data, _ = toy(80)
    assert fitted.facts["rows"] == 160
    assert fitted.facts["tokens"] == 2 * sum(1 + len(text.split()) for text in data.inputs["text"])
    assert 0 <= fitted.facts["padding"] < 0.3
    assert fitted.facts["tokens_per_s"] > 0
    assert set(fitted.facts["seconds"]) == {"tokenise", "load", "train"}
    assert fitted.facts["peak_memory_mb"][0] > 50


def test_the_log_is_thinned(llama: str, place: Place) -> None:
    fitted = run(llama, place, Recipe(lr=1e-4, epochs=15, batch=2), count=40)
    assert len(fitted.log) <= 201
    assert [fitted.log[0]["step"], fitted.log[-1]["step"]] == [1, 300]


def test_learning_rates() -> None:
    warm = Recipe(warmup=0.2)
    assert [lr_factor(warm, step, 10) for step in (0, 1, 2, 6)] == pytest.approx([0.5, 1, 1, 0.5])
    assert [lr_factor(Recipe(schedule="linear"), step, 4) for step in range(4)] == pytest.approx([1, 0.75, 0.5, 0.25])
    assert [lr_factor(Recipe(schedule="constant", warmup=3), step, 6) for step in range(6)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 1, 1, 1]
    )


def test_weight_decay_is_for_matrices() -> None:
    layer = torch.nn.Linear(3, 2)
    groups = build_adamw(layer.named_parameters(), Recipe(weight_decay=0.3)).param_groups
    assert [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in groups] == [(0.3, [2]), (0.0, [1])]


def test_golden(llama: str, place: Place) -> None:
    """Losses and probabilities of one tiny fit. A change here is a change of every result: refresh it (delete the file,
    run again) only on purpose."""
    data, labels = toy(40, 3)
    recipe = Recipe(
        loss={"type": "entropy", "aux": 0.3},
        lr=2e-3,
        epochs=2,
        batch=8,
        bucket=2,
        warmup=0.2,
        seed=3,
        head_init="normal",
        pooling="mean",
        weight_decay=0.01,
    )
    fitted = run(
        llama, place, recipe, data=data, labels=[LabelSet.of(data.ids, 0.7 * labels.probs_NK + 0.1)], micro_tokens=40
    )
    found = {"losses": losses(fitted), "probs": fitted.predict(data).probs_NK[:8].tolist()}
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
        pytest.fail(f"{GOLDEN} was missing and is written now; look at it and commit it")
    golden = json.loads(GOLDEN.read_text())
    assert found["losses"] == pytest.approx(golden["losses"], abs=1e-6)
    assert np.allclose(found["probs"], golden["probs"], atol=1e-6)


def test_a_head_on_a_share_of_the_dimensions_or_on_another_layer_is_saved_and_read_again(
    tmp_path: Path, llama: str, place: Place
) -> None:
    data, _ = toy(80)
    fitted = {}
    for name, changes in (("all", {}), ("half", {"features": 0.5}), ("low", {"layer": 1})):
        folder = tmp_path / name
        folder.mkdir()
        fitted[name] = run(llama, Place(folder), Recipe(lr=3e-3, **changes))
    said = {name: one.predict(data).probs_NK for name, one in fitted.items()}
    for name in ("half", "low"):
        assert np.abs(said[name] - said["all"]).max() > 1e-3
        fitted[name].save(tmp_path / name / "saved")
        np.testing.assert_allclose(
            load_fitted(tmp_path / name / "saved", llama).predict(data).probs_NK, said[name], atol=1e-6
        )
    head = fitted["half"].reader.head
    read = fitted["half"].recipe.read_features(head.in_features)
    assert not np.delete(head.weight.detach().numpy(), read, axis=1).any()  # no gradient reaches the others
