"""What made a picture: written into it, read back from it, with the pictures that it asks for."""

from impasto.recipes.finding import find_input, read_recipe
from impasto.recipes.model import InputRecord, Recipe, Stop, Trace, Turn, chosen
from impasto.recipes.roles import KINDS, by_role, inputs_of, kind_of, named, roles

__all__ = [
    "KINDS",
    "InputRecord",
    "Recipe",
    "Stop",
    "Trace",
    "Turn",
    "by_role",
    "chosen",
    "find_input",
    "inputs_of",
    "kind_of",
    "named",
    "read_recipe",
    "roles",
]
