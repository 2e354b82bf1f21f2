"""How a command imports what is heavy: without what it does not need, and in one go.

`import torchmetrics` imports every metric that it has, and with them torchvision, transformers and
SciPy where they are installed: seconds, of which Lightning needs two classes.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import Any

_LOCK = RLock()


@contextmanager
def heavy_imports() -> Iterator[None]:
    """A block of imports, in which nobody looks for garbage: they leave none, and make a lot.

    Looking takes up to a quarter of their time.
    """
    defer_metrics()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def defer_metrics() -> None:
    """Has `import torchmetrics` import what Lightning and we need, and the rest on demand.

    Nothing of it is replaced: whoever names another part gets it, a moment later.
    """
    names = {
        "__version__": "torchmetrics.__about__",
        "Metric": "torchmetrics.utilities.checks",  # where its circle of imports can be entered
        "MetricCollection": "torchmetrics.collections",
    }
    logger = {"_logger": logging.getLogger("torchmetrics")}  # which its modules ask for
    if not any(isinstance(finder, Deferring) for finder in sys.meta_path):
        sys.meta_path.insert(0, Deferring("torchmetrics", names, known=logger))


class Deferring(MetaPathFinder):
    """Finds one package, and has it begin with some of its names."""

    def __init__(
        self, package: str, names: Mapping[str, str], *, known: Mapping[str, Any] | None = None
    ) -> None:
        """Keeps the settings.

        Args:
            package: to defer.
            names: of it, each with the module that defines it.
            known: names that those modules take from the package itself, with their values.
        """
        self._package = package
        self._names = names
        self._known = known or {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """That of the package, which is loaded in two steps."""
        if fullname != self._package:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _InTwoSteps(spec.loader, self._names, self._known)
        return spec


class _InTwoSteps(Loader):
    def __init__(self, whole: Loader, names: Mapping[str, str], known: Mapping[str, Any]) -> None:
        self._whole = whole
        self._names = names
        self._known = known

    def __getattr__(self, name: str) -> Any:  # such as what reads its source
        return getattr(self._whole, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Begun(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(self._known)
        try:
            begun = {
                name: getattr(import_module(place), name) for name, place in self._names.items()
            }
        except (ImportError, AttributeError):  # of a version that is made otherwise
            for name in [name for name in sys.modules if name.startswith(f"{module.__name__}.")]:
                del sys.modules[name]
            self._whole.exec_module(module)
            return
        vars(module).update(begun, __rest__=self._whole)


class _Begun(ModuleType):
    """A package that runs its own code when a name is asked for that it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        with _LOCK:
            rest = vars(self).pop("__rest__", None)
            if rest is not None:
                try:
                    rest.exec_module(self)
                except BaseException:
                    self.__rest__ = rest
                    raise
        return super().__getattribute__(name)
