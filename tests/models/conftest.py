from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def project_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What models keep on disk, such as item codes, goes where no run looks for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROJECT_ROOT", str(tmp_path_factory.mktemp("root")))
        yield
