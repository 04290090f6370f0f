"""Takes this package's modules out of the native library, before anything imports their source."""

import os
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location

__all__ = ["compiled"]

# In the order of their imports: each finds the compiled ones before it in sys.modules.
_MODULES = (
    "identifiers",
    "records",
    "placeholders",
    "reasons",
    "exclusion",
    "bootimage",
    "windows",
    "identity",
    "settling",
    "deployment",
    "endings",
    "decision",
)


def _load() -> bool:
    if os.environ.get("PXEFAST_PURE") == "1":
        return False
    library = find_spec("pxefast._native")
    if library is None or library.origin is None:
        return False
    loaded: list[str] = []
    try:
        for name in _MODULES:
            # Many modules in one file: PEP 489 finds each by its name (PyInit_<name>).
            full_name = f"{__package__}.{name}"
            loader = ExtensionFileLoader(full_name, library.origin)
            spec = spec_from_file_location(full_name, library.origin, loader=loader)
            if spec is None:
                raise ImportError(full_name)
            module = module_from_spec(spec)
            sys.modules[full_name] = module
            loaded.append(full_name)
            loader.exec_module(module)
    except ImportError:
        # A library built without them: the source then, and never a mix of both.
        for full_name in loaded:
            del sys.modules[full_name]
        return False
    package = sys.modules[__package__]
    for name in _MODULES:
        setattr(package, name, sys.modules[f"{__package__}.{name}"])
    return True


compiled: bool = _load()
