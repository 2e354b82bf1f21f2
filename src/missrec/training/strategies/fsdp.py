"""Training by several processes, each of which keeps a share of the tables of item ids."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from missrec.training.strategies.ddp import OneProcessPerDevice, StrategyError


class ShardedTables(OneProcessPerDevice):
    """Fully sharded tables of item ids (FSDP); the rest of the model is as in the base class.

    With millions of items the table, its gradient and the optimiser's two moments of it are nearly
    all of the model. Between steps a process holds its rows alone of table and moments. A step
    gathers the table for as long as it computes, and an evaluation for as long as it lasts.

    Checkpoints hold whole tensors. The optimiser's state in them is in another order than without
    sharding, so a run is resumed with the strategy that it began with.
    """

    clips_gradients = False

    def __init__(
        self, *, command: Sequence[str], timeout_sec: float, tables: Sequence[str]
    ) -> None:
        """Keeps the settings.

        Args:
            command: see `OneProcessPerDevice`.
            timeout_sec: see `OneProcessPerDevice`.
            tables: names of embeddings of the model; those that it does not have, that are no
                `nn.Embedding` or that do not train are passed over.
        """
        super().__init__(command=command, timeout_sec=timeout_sec)
        self._names = list(tables)
        self._plain: dict[str, nn.Module] = {}

    def _setup_model(self, model: nn.Module) -> DistributedDataParallel:
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for name in (f"model.{table}" for table in self._names):
            table = dict(model.named_modules()).get(name)
            if isinstance(table, nn.Embedding) and table.weight.requires_grad:
                self._plain[name] = _without_weight(table)
                fully_shard(table, mesh=mesh, reshard_after_forward=False)
        tables = [f"{name}.weight" for name in self._plain]
        trained = {name for name, one in model.named_parameters() if one.requires_grad}
        if trained <= set(tables):
            raise StrategyError("nothing trains beside the tables that are sharded")
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]
            model, tables
        )
        return super()._setup_model(model)

    def setup_optimizers(self, trainer: Trainer) -> None:
        """Makes the optimisers; sharded parameters become groups of their own, as torch asks."""
        super().setup_optimizers(trainer)
        for optimizer in self.optimizers:
            for group in list(optimizer.param_groups):
                sharded = [one for one in group["params"] if isinstance(one, DTensor)]
                whole = [one for one in group["params"] if not isinstance(one, DTensor)]
                if sharded and whole:
                    group["params"] = whole
                    optimizer.add_param_group({**group, "params": sharded})

    def on_validation_start(self) -> None:
        """Gathers the tables once: the processes may evaluate different numbers of batches."""
        self._for_tables(FSDPModule.unshard)

    def on_validation_end(self) -> None:
        """Leaves each process its rows again."""
        self._for_tables(FSDPModule.reshard)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The model's state with whole tables."""
        return _whole(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """An optimiser's state with whole moments."""
        return _whole(super().optimizer_state(optimizer))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes up the state that `optimizer_state` gave."""
        super().load_optimizer_state_dict(checkpoint)
        for optimizer in self.optimizers:
            for parameter, state in optimizer.state.items():
                if isinstance(parameter, DTensor):
                    for key, value in state.items():
                        if value.shape == parameter.shape:
                            state[key] = distribute_tensor(
                                value, parameter.device_mesh, parameter.placements
                            )

    def teardown(self) -> None:
        """Puts whole tables in the place of the sharded ones: whoever has the model may use it."""
        module = self.lightning_module
        if module is not None and not module.trainer.interrupted:  # else a process may be missing
            for name, plain in self._plain.items():
                sharded: Any = module.get_submodule(name)
                sharded.reshard()
                plain.weight = nn.Parameter(sharded.weight.full_tensor().detach())
                module.set_submodule(name, plain)
            self._plain = {}
        super().teardown()

    def _for_tables(self, act: Callable[[Any], object]) -> None:
        module = self.lightning_module
        assert module is not None
        for name in self._plain:
            act(module.get_submodule(name))


def _without_weight(table: nn.Embedding) -> nn.Module:
    """A copy of the table as it is before it is sharded."""
    weight = table.weight
    table.register_parameter("weight", None)
    plain = copy.deepcopy(table)
    table.weight = weight
    return plain


def _whole(state: dict[str, Any]) -> dict[str, Any]:
    """The state with what is spread over the processes put together in each."""
    gathered: dict[str, Any] = tree_map(
        lambda value: value.full_tensor() if isinstance(value, DTensor) else value, state
    )
    return gathered
