"""What made a picture: written into it, read back from it, with the pictures that it asks for."""

from impasto.recipes.finding import find_input, read_recipe
from impasto.recipes.model import InputRecord, Recipe, Stop, Trace, kind_of, roles

__all__ = ["InputRecord", "Recipe", "Stop", "Trace", "find_input", "kind_of", "read_recipe", "roles"]
