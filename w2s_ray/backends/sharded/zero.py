"""A model whose optimizer state, gradients and weights DeepSpeed spreads over a gang (ZeRO, Rajbhandari et al. 2020,
arXiv 1910.02054).

Stage 0 spreads nothing, 1 the optimizer's state, 2 the gradients too, 3 the weights too. Whole tensors go in and out
one at a time, so that what is written is the same for every stage and every number of processes.

Shapes: F entries of a flattened tensor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from w2s_ray.backends.devices.gang import Gang
from w2s_ray.backends.devices.memory import BUCKET, GATHERED
from w2s_ray.config.recipe import Recipe

MOMENTS = ("exp_avg", "exp_avg_sq")


def zero_config(recipe: Recipe, stage: int, offload: str) -> dict[str, Any]:
    """DeepSpeed's settings. Batches, accumulation and learning rates are ours; it averages, clips and shards."""
    zero: dict[str, Any] = {
        "stage": stage,
        "contiguous_gradients": True,
        "overlap_comm": False,
        "reduce_bucket_size": BUCKET,
        "allgather_bucket_size": BUCKET,
    }
    if stage == 3:
        zero |= {
            "stage3_max_live_parameters": GATHERED,
            "stage3_max_reuse_distance": GATHERED,
            "stage3_prefetch_bucket_size": BUCKET,
        }
    if offload in ("optimizer", "params"):
        zero["offload_optimizer"] = {"device": "cpu"}
    if offload == "params":
        zero["offload_param"] = {"device": "cpu"}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": recipe.clip or 0.0,
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,  # DeepSpeed's is compiled at run time; torch's need not be
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 2**31,
    }


def import_deepspeed() -> Any:
    """On CPUs without its own collective, which it would compile at run time: a process that is killed meanwhile leaves
    a lock for which all others wait for ever."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    if not torch.cuda.is_available():
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


@contextmanager
def loading(config: Mapping[str, Any]) -> Iterator[None]:
    """Under stage 3 `from_pretrained` gives each process its part of each weight and never a whole copy."""
    if config["zero_optimization"]["stage"] < 3:
        yield
        return
    deepspeed = import_deepspeed()
    from transformers.integrations.deepspeed import HfDeepSpeedConfig, unset_hf_deepspeed_config

    deepspeed.init_distributed(dist_init_required=False, verbose=False)  # its own name for the group that is there
    keep_alive = HfDeepSpeedConfig(dict(config))
    try:
        yield
    finally:
        del keep_alive
        unset_hf_deepspeed_config()


@dataclass
class Sharded:
    """DeepSpeed around a model and its optimizer. Every process makes the same calls in the same order."""

    engine: Any
    stage: int
    gang: Gang

    @staticmethod
    def start(model: nn.Module, optimizer: torch.optim.Optimizer, config: Mapping[str, Any], gang: Gang) -> Sharded:
        deepspeed = import_deepspeed()
        engine, *_ = deepspeed.initialize(
            model=model, optimizer=optimizer, config=dict(config), dist_init_required=False
        )
        return Sharded(engine, int(config["zero_optimization"]["stage"]), gang)

    @property
    def optimizer(self) -> Any:
        """What holds the learning rate."""
        return self.engine.optimizer

    @property
    def _adamw(self) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = self.engine.optimizer.optimizer if self.stage else self.engine.optimizer
        return optimizer

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add a gradient, averaged over the gang; the `last` one of a step completes it."""
        self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss, scale_wrt_gas=False)

    def step(self) -> None:
        self.engine.step()

    def whole(self, parameter: Tensor) -> Tensor:
        """A parameter's fp32 value, on the CPU of every process."""
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters
        from deepspeed.utils import safe_get_full_fp32_param

        if self.stage == 3 and parameter.requires_grad:
            value: Tensor = safe_get_full_fp32_param(parameter)
            return value.detach().view(full_shape(parameter)).cpu().clone()
        with GatheredParameters([parameter], enabled=hasattr(parameter, "ds_id")):
            return parameter.detach().cpu().clone()

    @contextmanager
    def all_at_once(self, module: nn.Module) -> Iterator[None]:
        """Inside, every process holds the module's weights whole and may set them to the same values."""
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters

        parameters = [parameter for parameter in module.parameters() if hasattr(parameter, "ds_id")]
        with GatheredParameters(parameters, modifier_rank=0, enabled=bool(parameters)):
            yield

    def moments(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """AdamW's running means of a trained parameter's gradient and of its square; none before the first step."""
        from deepspeed.utils import safe_get_full_optimizer_state

        if not self._adamw.state:
            return {}
        if not self.stage:
            return {name: self._adamw.state[parameter][name].detach().cpu().clone() for name in MOMENTS}
        if self.stage < 3:
            return {name: self._from_fragments(parameter, name) for name in MOMENTS}
        return {
            name: safe_get_full_optimizer_state(parameter, name).detach().view(full_shape(parameter)).cpu().clone()
            for name in MOMENTS
        }

    def _from_fragments(self, parameter: Any, moment: str) -> Tensor:
        """Stages 1 and 2: put together what the processes hold. (DeepSpeed's own function loses the moments of all
        parameter groups but the first.)"""
        flat_F = torch.zeros(parameter.numel(), dtype=torch.float32, device=parameter.device)
        mapping = getattr(parameter, "_hp_mapping", None)
        if mapping is not None:
            here, there = mapping.lp_fragment_address, mapping.hp_fragment_address
            flat_F[here.start : here.start + here.numel] = self._group_state(mapping)[moment].narrow(
                0, there.start, there.numel
            )
        return self.gang.sum(flat_F).view(parameter.shape).cpu()

    def _group_state(self, mapping: Any) -> dict[str, Tensor]:
        """AdamW's state of the flat group that a fragment lies in."""
        state: dict[str, Tensor] = self._adamw.state[self._adamw.param_groups[mapping.param_group_index]["params"][0]]
        return state

    def restore(self, parameters: Mapping[str, nn.Parameter], read: Any, updates: int) -> None:
        """Set every trained parameter and its moments, `read(name, what)` being whole tensors, after so many
        updates."""
        self._make_state(updates)
        with torch.no_grad():
            for name, parameter in parameters.items():
                self._put(parameter, read(name, "weight"), None)
                for moment in MOMENTS:
                    self._put(parameter, read(name, moment), moment)

    def _make_state(self, updates: int) -> None:
        """The state that AdamW makes at its first step."""
        flat = (
            self.engine.optimizer.fp32_partitioned_groups_flat
            if self.stage == 3
            else [p for group in self._adamw.param_groups for p in group["params"]]
        )
        for parameter in flat:
            self._adamw.state[parameter] = {
                "step": torch.tensor(float(updates)),
                **{name: torch.zeros_like(parameter) for name in MOMENTS},
            }

    def _put(self, parameter: nn.Parameter, whole: Tensor, moment: str | None) -> None:
        """Copy a whole tensor into the parts of it that this process holds."""
        if not self.stage:
            target = parameter if moment is None else self._adamw.state[parameter][moment]
            target.copy_(whole)
        elif hasattr(parameter, "ds_id"):
            self._put_partition(parameter, whole, moment)
        else:
            self._put_fragment(parameter, whole, moment)

    def _put_partition(self, parameter: Any, whole: Tensor, moment: str | None) -> None:
        """Stage 3: every process holds an equal part of every tensor, the last one padded."""
        from deepspeed.utils import safe_set_local_fp32_param, safe_set_local_optimizer_state

        length = parameter.ds_tensor.numel()
        flat_F = torch.zeros(length * self.gang.size, dtype=torch.float32)
        flat_F[: whole.numel()] = whole.flatten()
        mine_F = flat_F[length * self.gang.rank : length * (self.gang.rank + 1)].to(parameter.ds_tensor.device)
        if moment is not None:
            safe_set_local_optimizer_state(parameter, mine_F, moment)
            return
        safe_set_local_fp32_param(parameter, mine_F)
        parameter.ds_tensor.data.copy_(mine_F)

    def _put_fragment(self, parameter: Any, whole: Tensor, moment: str | None) -> None:
        """Stages 1 and 2: weights are everywhere, their fp32 masters and moments lie in flat groups, of which each
        process holds a stretch."""
        if moment is None:
            parameter.data.copy_(whole)
        mapping = getattr(parameter, "_hp_mapping", None)
        if mapping is None:
            return  # another process's
        here, there = mapping.lp_fragment_address, mapping.hp_fragment_address
        mine_F = whole.flatten()[here.start : here.start + here.numel]
        if moment is None:
            mapping.hp_fragment.data.copy_(mine_F)
        else:
            self._group_state(mapping)[moment].narrow(0, there.start, there.numel).copy_(mine_F)

    def finite(self, parameters: Mapping[str, nn.Parameter]) -> bool:
        """Whether no weight anywhere is infinite or not a number."""
        local = [getattr(parameter, "ds_tensor", parameter).data for parameter in parameters.values()]
        faults = torch.tensor(
            float(sum(not bool(torch.isfinite(part).all()) for part in local)), device=local[0].device
        )
        return not bool(self.gang.sum(faults).item())


def full_shape(parameter: Tensor) -> torch.Size:
    """Of the whole tensor, of which a process may hold a part."""
    return getattr(parameter, "ds_shape", parameter.shape)
