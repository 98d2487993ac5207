"""`resnet-tl fit --help-all`: every key that a recipe takes."""

from __future__ import annotations

from resnet_tl.cli.command import Command


def help_all(command: Command) -> str:
    """A line a key: how it is set, to what it is set now, what it takes. The classes that the recipe names decide which
    keys there are."""
    from resnet_tl.recipe.hints import describe
    from resnet_tl.recipe.places import option_name
    from resnet_tl.recipe.resolve import options
    from resnet_tl.recipe.values import show
    from resnet_tl.run.build import settled, tree_of
    from resnet_tl.run.sections import sections

    tree = settled(tree_of(command.configs, command.overrides))
    rows = [
        (f"--{option_name(place)}", show(node), describe(field.hint))
        for place, field, node in options(tree, sections().fields)
    ]
    widths = [min(max(len(row[column]) for row in rows), 44) for column in (0, 1)]
    return "\n".join(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {kind}" for name, value, kind in rows)
