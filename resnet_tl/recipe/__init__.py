"""Recipes: read, overlaid, checked against the classes they name, resolved, built.

`shipped` finds recipe files, `read` turns them into trees that know their lines, `schema` lists the keys a class takes,
`resolve` checks a tree and fills it up, `build` makes objects of the result. Nothing here imports torch.
"""
