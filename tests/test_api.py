"""The public API: exported names, docstrings and annotations."""

from __future__ import annotations

import gc
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import impasto

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(impasto.__path__, "impasto.")
    if not module.name.endswith("__main__")
)


def test_all_names_are_sorted_and_exist() -> None:
    assert impasto.__all__ == sorted(impasto.__all__)
    for name in impasto.__all__:
        assert getattr(impasto, name) is not None
    assert set(impasto.__all__) <= set(dir(impasto))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'stylise'"):
        impasto.stylise  # noqa: B018


@pytest.mark.parametrize("enabled", [True, False])
def test_finding_a_name_leaves_the_garbage_collector_as_it_was(enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        assert impasto.stylize is not None
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_package_is_typed() -> None:
    assert (Path(impasto.__file__).parent / "py.typed").exists()


def test_public_functions_are_documented_and_typed() -> None:
    for name in MODULES:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            member = getattr(module, public)
            if inspect.isfunction(member) or inspect.isclass(member):
                assert inspect.getdoc(member), f"{name}.{public}"
            if inspect.isfunction(member) and not hasattr(member, "__wrapped__"):
                for parameter in inspect.signature(member).parameters.values():
                    assert parameter.annotation is not parameter.empty, f"{name}.{public}: {parameter.name}"


def test_all_of_a_module_is_sorted_and_complete() -> None:
    for name in MODULES:
        module = importlib.import_module(name)
        listed = list(getattr(module, "__all__", ()))
        # CONSTANTS, then Classes, then functions, as the linter sorts them.
        in_order = sorted(listed, key=lambda public: (not public.isupper(), not public[0].isupper(), public))
        assert listed == in_order, name
        assert all(hasattr(module, public) for public in listed), name
