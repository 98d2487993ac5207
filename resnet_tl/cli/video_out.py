"""`predict film.mp4 --draw --out film_out.mp4`: what is drawn on the frames of a video, as a video."""

from __future__ import annotations

from argparse import Namespace

from resnet_tl.errors import RecipeError, RunError


def video_out_rate(options: Namespace) -> float | None:
    """Returns the frames per second of the video that `--out` names, so that it lasts as long as the one predicted;
    None if `--out` names no video.

    Raises:
        RecipeError: options from which no video can be made. RunError: the file exists.
        DataError: there is no such input, or it cannot be opened.
    """
    from resnet_tl.prediction.inputs import list_images
    from resnet_tl.prediction.videos import SUFFIXES, Video, frame_rate
    from resnet_tl.prediction.writers.video import CODECS

    out = options.out
    if out is None or out.suffix.lower() not in SUFFIXES:
        return None
    if out.suffix.lower() not in CODECS:
        raise RecipeError(f"--out {out}: expected a video that ends in {' or '.join(CODECS)}")
    if out.exists():
        raise RunError(f"--out {out}: exists already, and nothing is overwritten")
    if not options.draw:
        raise RecipeError(f"--out {out}: a video shows what is drawn on its frames; add --draw")
    for option in ("annotations", "top"):
        if getattr(options, option) is not None:
            raise RecipeError(f"--{option} applies to tables, and --out {out} is a video; remove it")
    listed = list_images(options.images, options.every)
    if len(listed) != 1 or not isinstance(listed[0], Video):
        raise RecipeError(f"--out {out}: a video is drawn from exactly one video; name one, or a folder as --out")
    return frame_rate(listed[0].path) / listed[0].every
