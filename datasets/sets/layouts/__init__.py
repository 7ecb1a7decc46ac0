"""Layouts of image sets: every module here registers its own. Imports image_set, sidd and formats."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
