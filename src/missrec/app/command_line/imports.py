"""How a command imports what is heavy: without what it does not need, and in one go.

`import torchmetrics` imports every metric that it has, and with them torchvision, transformers and
SciPy where they are installed: seconds, of which Lightning needs two classes. Torch's compiler is a
quarter of what remains, and all that optimisers ask of it is not to compile them.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import Any

_LOCK = RLock()
_COMPILER = "torch._dynamo"
_COUNTER = "torch.utils.flop_counter"


@contextmanager
def heavy_imports() -> Iterator[None]:
    """A block of imports, in which nobody looks for garbage: they leave none, and make a lot.

    Looking takes up to a quarter of their time.
    """
    defer_metrics()
    defer_compiler()
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
    _defer(Deferring("torchmetrics", names, known=logger))


def defer_compiler() -> None:
    """Has torch's compiler imported when somebody compiles.

    Lightning asks whether a model is a compiled one, and optimisers that their steps be left as
    they are. Until there is a compiler, no model is, and all steps are.
    """
    known = {
        "OptimizedModule": _CompiledModule,
        "disable": _left_as_it_is,
        "graph_break": lambda msg="": None,
    }
    _defer(Deferring(_COMPILER, {}, known=known, parts_need_it=True))
    _defer(Deferring("torch._inductor", {}))  # of which torch sets a setting, in a part of its own
    _defer(Deferring("triton", {}, parts_need_it=True))  # torch looks for a part that is not there
    # Lightning has it at hand to count operations, and it looks for those of triton.
    _defer(Deferring(_COUNTER, {}, known={"FlopCounterMode": _count_operations}))


def _defer(finder: Deferring) -> None:
    """Once for each package."""
    known = {one.package for one in sys.meta_path if isinstance(one, Deferring)}
    if finder.package not in known:
        sys.meta_path.insert(0, finder)


class Deferring(MetaPathFinder):
    """Finds one package or module, and has it begin with some of its names."""

    def __init__(
        self,
        package: str,
        names: Mapping[str, str],
        *,
        known: Mapping[str, Any] | None = None,
        parts_need_it: bool = False,
    ) -> None:
        """Keeps the settings.

        Args:
            package: to defer.
            names: of it, each with the module that defines it.
            known: names that those modules, or others, take from the package itself, with the
                values that they have until it is imported.
            parts_need_it: none of its modules can be imported before the package itself.
        """
        self.package = package
        self._names = names
        self._known = known or {}
        self._parts_need_it = parts_need_it

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """That of the package, which is loaded in two steps."""
        begun = sys.modules.get(self.package)
        if self._parts_need_it and isinstance(begun, _Begun):
            is_part = fullname.startswith(f"{self.package}.")
            if is_part and PathFinder.find_spec(fullname, path, target) and begun.finish():
                # It is not there for a moment, or the interpreter would load it once more.
                imported = sys.modules.pop(fullname, None)
                return None if imported is None else ModuleSpec(fullname, _Found(imported))
        if fullname != self.package:
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


class _Found(Loader):
    """Of a module that its package has imported meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _Begun(ModuleType):
    """A package that runs its own code when a name is asked for that it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        if name != "__path__":  # whether it is a package is asked at each import
            self.finish()
        return super().__getattribute__(name)

    def finish(self) -> bool:
        """Runs it, unless it has been; whether it was now."""
        with _LOCK:
            rest = vars(self).pop("__rest__", None)
            if rest is not None:
                try:
                    rest.exec_module(self)
                except BaseException:
                    self.__rest__ = rest
                    raise
        return rest is not None


class _WhereCompiled(type):
    def __instancecheck__(cls, model: object) -> bool:
        compiled = sys.modules[_COMPILER].OptimizedModule
        return compiled is not cls and isinstance(model, compiled)


class _CompiledModule(metaclass=_WhereCompiled):
    """`torch._dynamo.OptimizedModule`, for who asks before anything has been compiled."""


def _left_as_it_is(
    function: Callable[..., Any] | None = None, *settings: Any, **named: Any
) -> Callable[..., Any]:
    """`torch._dynamo.disable`, whose mark a function gets once there is a compiler to see it."""
    if function is None:
        return partial(_left_as_it_is, **named)

    @wraps(function)
    def called(*arguments: Any, **keywords: Any) -> Any:
        disable = sys.modules[_COMPILER].disable
        marked = function if disable is _left_as_it_is else disable(function, *settings, **named)
        return marked(*arguments, **keywords)

    return called


def _count_operations(*settings: Any, **named: Any) -> Any:
    """`torch.utils.flop_counter.FlopCounterMode`, imported when it is made."""
    counter: Any = sys.modules[_COUNTER]
    counter.finish()
    return counter.FlopCounterMode(*settings, **named)
