"""Runs that torchrun starts, on one host and on two, and starts again when a process or a host is gone.

The two hosts are network namespaces of this machine that a pair of veth joins: each sees its own addresses alone, and
the folders of both. Images come from these folders, or as shards from a server of the S3 protocol on the first host.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.tracking.run_folder import RunFolder
from tests.cli.test_stops import assert_same_run, last

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

RECIPE = """\
model:
  init_args:
    tuning:
      ema: 0.9
      phases: [{epochs: 1, train: [head]}, {epochs: 1, train: [layer3, head]}, {train: all, layer_decay: 0.7}]
data: {init_args: {num_workers: 1, augment: medium}}
trainer:
  max_epochs: 4
  accelerator: cpu
  global_batch: 20
  callbacks: [{class_path: at.At}]
tracking: {checkpoint_every: 4, report: false}
"""
"""Steps 0 to 39, ten an epoch; the last phase begins at step 20."""

AT = """
import hashlib, os, signal, time
from pathlib import Path
from lightning.pytorch import Callback

class At(Callback):
    \"\"\"KILL="1:17" ends rank 1 before step 17; HOLD makes it wait. Each rank leaves a digest of its weights.\"\"\"

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        here = f"{trainer.global_rank}:{trainer.global_step}"
        if here == os.environ.get("KILL") and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        if here == os.environ.get("HOLD"):
            Path("holds").touch()
            time.sleep(600)

    def on_train_end(self, trainer, module):
        values = b"".join(v.numpy().tobytes() for v in module.state_dict().values())
        Path(os.environ["NAME"], f"weights.{trainer.global_rank}").write_text(hashlib.sha256(values).hexdigest())
"""

GO = "import sys\nfrom resnet_tl.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder to work in, with the recipe on the quick start's images."""
    (tmp_path / "phases.yaml").write_text(RECIPE)
    (tmp_path / "at.py").write_text(AT)
    (tmp_path / "go.py").write_text(GO)
    return tmp_path


TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def fit(run: str, *options: str) -> list[str]:
    recipes = ["-c", "quickstart", "-c", "overlays/torchrun", "-c", "phases.yaml"]
    return ["--", "go.py", "fit", *recipes, "--run", run, *options]


def environment(run: str, **more: str) -> dict[str, str]:
    paths = os.pathsep.join([str(shipped_root()), os.environ.get("PYTHONPATH", "")])
    # Else, with torch 2.14.1, restarted processes find addresses of those before, a host that comes back finds none.
    store = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return {**os.environ, **store, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "NAME": run, **more}


def one_host(here: Path, run: str, *options: str, restarts: int = 0, on: str | None = None, **more: str) -> str:
    """Trains in two processes of a host, by default this machine, and returns what they print."""
    command = [*inside(on), *TORCHRUN, "--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    done = subprocess.run(
        [*command, *fit(run, *options)],
        cwd=here, env=environment(run, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def digests(run: Path, ranks: int = 2) -> list[str]:
    return [(run / f"weights.{rank}").read_text() for rank in range(ranks)]


def in_mid_epoch(checkpoint: dict[str, Any]) -> bool:
    completed: int = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"]
    return completed > 0


def test_processes_that_torchrun_starts_again_resume_bit_for_bit(here: Path) -> None:
    one_host(here, "whole")
    printed = one_host(here, "killed", restarts=2, KILL="1:27")
    assert "killed resumes at step 24, in epoch 3" in printed
    assert_same_run(here / "whole", here / "killed")
    assert len({*digests(here / "whole"), *digests(here / "killed")}) == 1


Host = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """The names of two network namespaces, 10.77.0.1 and 10.77.0.2 on eth0."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("two network namespaces need root and `ip` of iproute2")
    names = [f"resnet_tl_{os.getpid()}_{number}" for number in (1, 2)]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "eth0", "netns", names[0], "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
            for link in ("eth0", "lo"):
                ip("-n", name, "link", "set", link, "up")
        yield names
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
    finally:
        for name in names:
            switch_off(name)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def inside(host: str | None) -> list[str]:
    """The words that run a command on a host."""
    return [] if host is None else ["ip", "netns", "exec", host]


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


def switch_off(name: str) -> None:
    """Ends all processes of a host at once."""
    found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
    for process in found.split():
        os.kill(int(process), signal.SIGKILL)


def start(here: Path, hosts: list[str], number: int, run: str, *options: str, nodes: str = "2", **more: str) -> Any:
    """Starts torchrun on a host, with what it prints appended to `RUN.NUMBER.txt`."""
    joins = ["--nnodes", nodes, "--max-restarts", "3", "--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29400"]
    quick = f"is_host={number == 1},last_call_timeout=20,keep_alive_interval=1"
    command = [*inside(hosts[number - 1]), *TORCHRUN, *joins, "--rdzv-id", run, "--rdzv-conf", quick]
    command += ["--nproc-per-node", "1", "--local-addr", f"10.77.0.{number}", *fit(run, *options)]
    with open(here / f"{run}.{number}.txt", "a") as file:
        env = environment(run, **{"GLOO_SOCKET_IFNAME": "eth0", **more})
        return subprocess.Popen(command, cwd=here, env=env, stdout=file, stderr=subprocess.STDOUT)


def wait(here: Path, *processes: Any) -> None:
    codes = [process.wait(900) for process in processes]
    assert set(codes) == {0}, [path.read_text() for path in sorted(here.glob("*.txt"))]


def wait_for(path: Path, *processes: Any) -> None:
    while not path.exists():
        assert [process.poll() for process in processes] == [None] * len(processes)
        time.sleep(0.1)


def test_two_hosts_are_two_ranks_of_one_also_when_one_was_switched_off(here: Path, hosts: list[str]) -> None:
    one_host(here, "whole")
    wait(here, *(start(here, hosts, number, "two") for number in (1, 2)))
    assert_same_run(here / "whole", here / "two")
    assert len({*digests(here / "whole"), *digests(here / "two")}) == 1

    first = start(here, hosts, 1, "off")
    second = start(here, hosts, 2, "off", HOLD="1:27")
    wait_for(here / "holds", first, second)
    switch_off(hosts[1])
    assert in_mid_epoch(last(here / "off"))
    second.wait(60)
    wait(here, first, start(here, hosts, 2, "off"))  # as whatever watches over a host starts it again
    assert "off resumes at step 24, in epoch 3" in (here / "off.1.txt").read_text()
    assert_same_run(here / "whole", here / "off")
    assert set(digests(here / "off")) == set(digests(here / "whole"))


EXACT = ["--model.tuning.norm", "frozen", "--trainer.precision", "64-true"]


def test_a_host_that_stays_off_leaves_its_share_to_the_other(here: Path, hosts: list[str]) -> None:
    one_host(here, "whole", *EXACT)
    first = start(here, hosts, 1, "alone", *EXACT, nodes="1:2")
    second = start(here, hosts, 2, "alone", *EXACT, nodes="1:2", HOLD="1:27")
    wait_for(here / "holds", first, second)
    switch_off(hosts[1])
    second.wait(60)
    wait(here, first)
    printed = (here / "alone.1.txt").read_text()
    assert "global batch: 20 = 10 per device x 2 devices x 1 accumulated" in printed
    assert "global batch: 20\n" in printed
    assert last(here / "alone")["global_step"] == last(here / "whole")["global_step"] == 40
    states = [torch.load(RunFolder(here / run).last, weights_only=True)["state_dict"] for run in ("whole", "alone")]
    assert max(float((states[0][key] - states[1][key]).abs().max()) for key in states[0]) <= 1e-9


PACKED = ["--data", "Shards", "--data.root", "s3://photos/packed"]
"""Twelve steps an epoch; the last phase begins at step 24."""


@pytest.fixture
def photos(here: Path, request: pytest.FixtureRequest) -> Path:
    """Ants and bees; as many images of noise where there is no real data."""
    try:
        return Path(request.getfixturevalue("shared_data")) / "hymenoptera"
    except pytest.skip.Exception:
        draw = np.random.default_rng(0)
        for split, count in (("train", 245), ("val", 153)):
            for number in range(count):
                path = here / "noise" / split / ("ants", "bees")[number % 2] / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draw.integers(0, 256, (150, 150, 3), np.uint8)).save(path)
        return here / "noise"


@pytest.fixture
def store(here: Path, hosts: list[str], photos: Path) -> Iterator[dict[str, str]]:
    """The environment by which both hosts reach a server of the S3 protocol on the first, where shards lie."""
    for package in ("litdata", "s3fs", "moto.server"):
        pytest.importorskip(package)
    reached = {
        "AWS_ENDPOINT_URL": "http://10.77.0.1:9000",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "GLOO_SOCKET_IFNAME": "eth0",
    }
    command = [*inside(hosts[0]), sys.executable, "-m", "moto.server", "-H", "10.77.0.1", "-p", "9000"]
    with open(here / "server.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        python = [*inside(hosts[0]), sys.executable]
        run = partial(subprocess.run, check=True, cwd=here, env=environment("", **reached))
        run([*python, "-c", BUCKET])
        packing = ["go.py", "data", "pack", str(photos), "s3://photos/packed", "--shard-mb", "1"]
        run([*python, *packing])
        yield reached
    finally:
        server.kill()
        server.wait()


BUCKET = """
import time, urllib.request
for _ in range(300):
    try:
        urllib.request.urlopen(urllib.request.Request("http://10.77.0.1:9000/photos", method="PUT"))
        break
    except OSError:
        time.sleep(0.1)
"""


def cache_of(here: Path, run: str, number: int) -> dict[str, str]:
    """The environment of a host with a cache of its own."""
    return {"XDG_CACHE_HOME": str(here / f"cache.{run}.{number}")}


def test_shards_of_a_server_train_two_hosts_as_two_ranks_of_one_also_when_one_was_switched_off(
    here: Path, hosts: list[str], store: dict[str, str]
) -> None:
    one_host(here, "whole", *PACKED, on=hosts[0], **store, **cache_of(here, "whole", 1))

    def join(number: int, run: str, **more: str) -> Any:
        return start(here, hosts, number, run, *PACKED, **store, **cache_of(here, run, number), **more)

    wait(here, join(1, "two"), join(2, "two"))
    assert_same_run(here / "whole", here / "two")
    assert len({*digests(here / "whole"), *digests(here / "two")}) == 1
    for number in (1, 2):
        (packed,) = here.glob(f"cache.two.{number}/resnet_tl/shards/*")
        shards = [shard["name"] for shard in json.loads((packed / "manifest.json").read_text())["shards"]]
        assert len(shards) > 16
        assert all((packed / shard).exists() for shard in shards)

    first, second = join(1, "off"), join(2, "off", HOLD="1:31")
    wait_for(here / "holds", first, second)
    switch_off(hosts[1])
    assert in_mid_epoch(last(here / "off"))
    second.wait(60)
    wait(here, first, join(2, "off"))
    assert "off resumes at step 28, in epoch 3" in (here / "off.1.txt").read_text()
    assert_same_run(here / "whole", here / "off")
    assert set(digests(here / "off")) == set(digests(here / "whole"))
