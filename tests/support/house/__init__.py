"""The rules of the house, as functions from a checkout's root to the problems found, a line each.

`imports.py`: who may import whom. `packaging.py`: what reaches the wheel, what is tracked. `words.py`: names and calls
that are not used here. `pages.py`: docs/architecture.md against the tree. `test_house.py` applies each to this checkout
and shows each failing on a bad one.
"""
