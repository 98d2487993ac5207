"""Fine-tune a ResNet on your own images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from resnet_tl.models.network import Network as Network
    from resnet_tl.models.resnet import ResNet
    from resnet_tl.prediction.load import AnyPredictor
    from resnet_tl.run.average import Averaged
    from resnet_tl.run.finished import Run
    from resnet_tl.tuning.callback import FineTuning as FineTuning

__version__ = "0.1.0"
__all__ = ["FineTuning", "Network", "average", "backbone", "evaluate", "fit", "load"]


def backbone(name: str, weights: str | Path | None = None, **options: Any) -> ResNet:
    """A ResNet without a classifier, ready to sit in any model.

    Args:
        name: a variant, `resnet18` ... `resnet1202_cifar`; `resnet_tl.models.variants.VARIANTS` lists them.
        weights: what to load: a file, `builtin/...`, `timm/...`, `torchvision/...`, `hf://USER/NAME`, a URL; None
            leaves it random.
        options: of `resnet_tl.models.resnet.ResNet`: `in_channels`, `output_stride`, `levels`, `norm`, ...

    Imports torch alone, unless `weights` names a library (`timm/...`, `torchvision/...`).
    """
    from resnet_tl.models.resnet import resnet, shapes_by_variant

    trunk = resnet(name, **options)
    if weights is not None:
        import logging

        from resnet_tl.weights.load import load_weights

        record, report = load_weights(trunk, weights, candidates=shapes_by_variant)
        trunk.preprocessing = record.preprocessing
        logging.getLogger("resnet_tl").info(report)
    return trunk


def fit(
    recipe: str | Path | Mapping[str, Any] | None = None,
    *,
    overlays: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]] = (),
    run: str | Path | None = None,
    resume: str | Path | None = None,
    trust_code: bool = False,
    accept_changed_data: bool = False,
    folds: int | None = None,
    **overrides: Any,
) -> Run:
    """Trains by a recipe, as `resnet-tl fit` does, and returns the run: its folder, metrics and predictor.

        run = resnet_tl.fit("classify/folder_resnet50_finetune", **{"data.root": "photos", "trainer.max_epochs": 5})
        run.best["val/acc"], run.predictor().predict("new_photos")

    Args:
        recipe: a file, the name of a shipped recipe, or a dict of its sections.
        overlays: a recipe, or several in order, that override it.
        run: the run's folder; None: `runs/<recipe>/<date-time>`.
        resume: a run folder, to resume it by its own recipe (then give none); `"auto"`: the recipe's newest unfinished
            run, or a new one; None: a new run.
        trust_code: let the recipe of a run folder to resume name classes outside `resnet_tl`.
        accept_changed_data: resume although images or labels are not what they were.
        folds: train so many networks, each validated on images of its own; returns a `Folds`, a run whose metrics are
            means and whose predictor is an ensemble.
        overrides: values by their keys, as Python values or as text that is read as on the command line.

    Lines about the run go to the logger `resnet_tl`; without a handler of its own they are printed, and what Lightning
    reports in every run is hidden, as by the command.

    Raises:
        UserError: a mistake in the recipe or the data, in one sentence.
        Preempted: SIGTERM or SIGUSR1 stopped the run, which is saved. It is a `SystemExit`: a script that does not
            catch it ends with the command's exit code.
        KeyboardInterrupt: Ctrl-C stopped the run, which is saved, too; pressed twice, at once and as last saved.
    """
    from resnet_tl.report.after_fit import after_fit
    from resnet_tl.run.build import with_overlays
    from resnet_tl.run.fit import fit

    recipes = with_overlays(recipe, overlays)
    return fit(
        recipes,
        _overrides("fit", overrides),
        run=run,
        resume=resume,
        finish=after_fit,
        trust_code=trust_code,
        accept_changed_data=accept_changed_data,
        folds=folds,
    )


def evaluate(
    recipe_or_run: str | Path | Mapping[str, Any] | Run,
    split: str = "val",
    *,
    overlays: str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]] = (),
    specificity: float | None = None,
    spacing: float | None = None,
    trust_code: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """Evaluates a run or a recipe's weights, as `resnet-tl validate` and `resnet-tl test` do.

        resnet_tl.evaluate(run, "test")["metrics"]

    Args:
        recipe_or_run: a finished run, a run folder (its best checkpoint), a checkpoint, an exported file, or a recipe
            whose weights are evaluated as they are.
        split: `"val"` or `"test"`.
        overlays: a recipe, or several in order, that override it or the run's own recipe.
        specificity: of classifiers, 0...1: adds the sensitivity of each class at it.
        spacing: of segmentation, the side of a pixel of the image files: adds the distances between true and predicted
            surfaces, in its unit.
        trust_code: let a checkpoint name classes outside `resnet_tl`.
        overrides: as of `fit`.

    Returns `{metrics, headline, interval, images, classes, per_class, ..., tables, notes}`; `tables` are those that the
    command prints, `{summary: [{metric, name, value, low, high}, ...], per_class: [...], ...}`.
    """
    from resnet_tl.run.build import with_overlays
    from resnet_tl.run.evaluate import Asked, evaluate

    asked, recipes = Asked(specificity, spacing), with_overlays(None, overlays)
    return evaluate(recipe_or_run, split, recipes, _overrides("evaluate", overrides), asked, trust_code=trust_code)


def average(
    runs: str | Path | Run | Sequence[str | Path | Run],
    out: str | Path | None = None,
    *,
    shares: Sequence[float] | None = None,
    greedy: bool = False,
    wise_ft: bool = False,
    trust_code: bool = False,
    **overrides: Any,
) -> Averaged:
    """Writes the mean of the weights of several runs as one checkpoint, as `resnet-tl average` does.

        resnet_tl.average([one, two, three], "soup.ckpt", greedy=True).score.value
        resnet_tl.load(resnet_tl.average(run, wise_ft=True).path).predict("new_photos")

    Args:
        runs: finished runs, run folders (their best checkpoints), folders of folds (all of them) or checkpoints.
        out: a new file, `FILE.ckpt`; None, for `wise_ft` alone: `checkpoints/wise_ft.ckpt` in the run.
        shares: of each run in the mean, divided by their sum; None: all the same.
        greedy: start with the best, and keep each other, by falling score, only if the mean does not score lower.
        wise_ft: of a single run: mix its end with the end of its head's phase, and write the mix that scores best.
        trust_code: let the runs name classes outside `resnet_tl`.
        overrides: of the first run's data, as `data.root` where its images have moved.

    Returns the file (`path`), the validation `score` of the mean, of its `ingredients` with their shares, and with
    `wise_ft` the `curve` of all mixes.

    Raises:
        UserError: the runs cannot be averaged, in one sentence.
    """
    from collections.abc import Sequence
    from pathlib import Path

    from resnet_tl.run.average import average
    from resnet_tl.run.finished import Run

    given = runs if isinstance(runs, Sequence) and not isinstance(runs, str) else [runs]
    paths = [run.path if isinstance(run, Run) else Path(run) for run in given]
    return average(
        paths,
        None if out is None else Path(out),
        shares,
        _overrides("average", overrides),
        greedy=greedy,
        wise_ft=wise_ft,
        trust_code=trust_code,
    )


def load(path: str, **options: Any) -> AnyPredictor:
    """A ready predictor from a run folder, a folder of folds (an ensemble) or a checkpoint:
    `load(path).predict(files_or_arrays)`."""
    from resnet_tl.prediction.load import load

    return load(path, **options)


def _overrides(function: str, given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Returns the overrides of a call of this module's function. Raises RecipeError: one is its argument, misspelt."""
    import inspect

    from resnet_tl.errors import RecipeError, did_you_mean

    arguments = [name for name in inspect.signature(globals()[function]).parameters if name != "overrides"]
    for name in given:
        if near := did_you_mean(name, arguments, 0.8):
            raise RecipeError(f"resnet_tl.{function}: {name}: unknown argument{near}")
    return list(given.items())


def __getattr__(name: str) -> Any:
    if name == "FineTuning":
        from resnet_tl.tuning.callback import FineTuning

        return FineTuning
    if name == "Network":
        from resnet_tl.models.network import Network

        return Network
    raise AttributeError(f"module 'resnet_tl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
