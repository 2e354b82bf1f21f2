"""Turns `resume=<run folder>` into the command that made the run."""

from __future__ import annotations

from pathlib import Path

CHECKPOINTS = "checkpoints"
LAST_CHECKPOINT = f"{CHECKPOINTS}/last.ckpt"
_PREFIX = "resume="


def resume_arguments(arguments: list[str]) -> list[str]:
    """Command-line arguments that compose the config a run was saved with.

    `[resume=logs/scratch/a, trainer.max_epochs=5]` becomes arguments that take
    `logs/scratch/a/config.yaml` instead of `conf/train.yaml`, write into the same folder, and
    apply the rest. Arguments without `resume=` come back as they are.

    Args:
        arguments: without the program's name.

    Raises:
        FileNotFoundError: the folder holds no saved config or no such checkpoint.
    """
    named = [argument for argument in arguments if argument.startswith(_PREFIX)]
    if not named or named[-1] == f"{_PREFIX}null":
        return arguments
    run_dir = Path(named[-1].removeprefix(_PREFIX)).resolve()
    for needed in (run_dir / "config.yaml", run_dir / LAST_CHECKPOINT):
        if not needed.is_file():
            raise FileNotFoundError(
                f"{needed} is missing, so there is nothing to resume; resume= must name a run "
                "folder with a checkpoint, such as resume=logs/scratch/<run>"
            )
    rest = [argument for argument in arguments if not argument.startswith(_PREFIX)]
    return [
        f"--config-path={run_dir}",
        "--config-name=config",
        f"hydra.run.dir={run_dir}",
        "hydra.output_subdir=null",
        "hydra.job.name=train",
        f"run_dir={run_dir}",
        f"resume={run_dir}",
        *rest,
    ]
