"""Recipes: read, laid over each other, checked against the classes they name, resolved, built.

`shipped` finds recipe files, `read` turns them into trees that know their lines, `schema` says what keys a class takes,
`resolve` checks a tree and fills it up, `build` makes objects of the result. Nothing here imports torch.
"""
