"""`resnet-tl serve`: a model as a web server with a page to try it on."""

from __future__ import annotations

from resnet_tl.cli.command import Command, Options, check_counts
from resnet_tl.errors import RecipeError

HELP = """usage: resnet-tl serve MODEL [--port 8000] [--host ADDRESS]

Serve a run, checkpoint, folder of folds, exported file or published folder: a page to try it on at /, and for programs
POST /predict and /explain, GET /model, /health, /metrics (Prometheus) and /docs. Images that arrive together go through
the network together. They stay in memory: none is written to disk. Ctrl-C or SIGTERM stops it, after what was accepted
is answered. It knows no passwords: with --host, everyone who reaches that address may use it.

  --port N                          0: a free one (8000)
  --host ADDRESS                    of this machine, at which others reach it, as 0.0.0.0 (default: 127.0.0.1, this
                                    machine alone)
  --batch-size N                    images that go through the network together (32; segmentation and detection: 1)
  --deadline-ms N                   how long an image waits for others (5)
  --queue N                         images that are accepted and not yet answered; more get 503 (128)
  --max-mb N                        of a request, in 10^6 bytes (32)
  --max-pixels N                    of an image, which is refused before it is decoded (67108864)
  --timeout N                       seconds for a request to arrive, and for its prediction (30)
  --device DEVICE                   cpu, cuda, cuda:1, mps
  --trust-code                      let the checkpoint name classes outside resnet_tl; open .pt2 files, which run code

example: resnet-tl serve runs/folder_resnet50_finetune/2026-01-31_12-00-00"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("model", nargs="?", metavar="MODEL")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--deadline-ms", type=float, default=5)
    parser.add_argument("--queue", type=int, default=128)
    parser.add_argument("--max-mb", type=float, default=32)
    parser.add_argument("--max-pixels", type=int, default=2**26)
    parser.add_argument("--timeout", type=float, default=30)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command, recipe=False)
    if options.help:
        print(HELP)
        return 0
    if options.model is None:
        raise RecipeError("serve needs a run, checkpoint, exported file or published folder: resnet-tl serve RUN")
    check_counts(options, "batch_size", "queue", "max_pixels", "timeout")
    check_counts(options, "deadline_ms", least=0)
    check_counts(options, "max_mb", least=0.001)
    from resnet_tl.extras import require

    require("a server", "fastapi", "uvicorn", "python_multipart", extra="serve")
    from resnet_tl.prediction.load import load
    from resnet_tl.serve.about import describe
    from resnet_tl.serve.app import create_app
    from resnet_tl.serve.listen import LOCAL, address, is_loopback, listen
    from resnet_tl.serve.server import run as run_server
    from resnet_tl.serve.settings import Settings

    with listen(options.host, options.port) as listening:
        settings = Settings(
            max_bytes=int(options.max_mb * 1e6),
            max_pixels=options.max_pixels,
            max_images=min(Settings.max_images, options.queue),
            queue=options.queue,
            deadline_ms=options.deadline_ms,
            timeout_s=options.timeout,
            hosts=LOCAL if is_loopback(listening) else None,
        )
        predictor = load(
            options.model, device=options.device, trust_code=options.trust_code, batch_size=options.batch_size
        )
        app = create_app(predictor, settings, describe(options.model))
        run_server(app, listening, lambda: print(address(listening), flush=True))
    return 0
