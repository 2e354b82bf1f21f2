from __future__ import annotations

import pytest

from missrec.app.command_line.typing_mistakes import check_arguments


@pytest.mark.parametrize(
    "arguments",
    [[], ["seed=1"], ["-m"], ["-m", "seed=1,2"], ["--info"], ["--cfg", "job", "seed=1"]],
)
def test_what_may_be_typed_passes_also_nothing(arguments: list[str]) -> None:
    check_arguments(arguments)


@pytest.mark.parametrize("arguments", [["--cfg"], ["seed=1", "--cfg"], ["--cfg", "-m"]])
def test_an_option_needs_its_value_wherever_it_stands(arguments: list[str]) -> None:
    with pytest.raises(ValueError, match="--cfg has no value"):
        check_arguments(arguments)
