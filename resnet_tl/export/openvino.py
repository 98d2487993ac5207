"""Writes a graph as a folder with an OpenVINO model, converted from its ONNX file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor

from resnet_tl.export import onnx
from resnet_tl.export.graph import Graph
from resnet_tl.prediction.exported.openvino import DESCRIPTION, DIGEST, MODEL, digest, without_telemetry

PACKAGES = ("onnx", "onnxscript", "openvino")
"""What writes and checks OpenVINO's models."""
README = """# An OpenVINO model

`{model}` is the graph, and the file `.bin` next to it its weights. Images go in as bytes, `[N, {channels}, H, W]`, \
uint8, {colours}resized as in validation; the model normalises them itself. Out come {outputs}.{more}

```python
import numpy as np
import openvino
from PIL import Image

run = openvino.compile_model("{model}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
pixels = {pixels}
print(run(pixels)["{output}"])
```

Keep the hint: without it, CPUs that have bfloat16 compute in bfloat16, and predict something else than was measured.

Class names, preprocessing and all else that the model knows are JSON:
`openvino.Core().read_model("{model}").get_rt_info({description}).value`.
With resnet_tl, `resnet_tl.load("this_folder")` resizes images and names classes, too.
"""


def write_openvino(graph: Graph, example: Tensor, outputs: list[str], description: str, path: Path) -> None:
    """Writes the folder: `model.xml`, `model.bin` with fp32 weights, and `README.md`. Args as those of `write_onnx`.

    Raises:
        RunError: the network does what a graph cannot.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx.write_onnx(graph, example, outputs, description, file)
        save(_converted(file), path)


def save(model: Any, folder: Path, more: str = "") -> None:
    """Writes a new folder with the model.

    more: sentences about this very model, for the README.
    """
    with without_telemetry():
        import openvino
    file = folder / MODEL
    openvino.save_model(model, file, compress_to_fp16=False)
    model.set_rt_info(digest(file.with_suffix(".bin")), DIGEST)
    openvino.save_model(model, file, compress_to_fp16=False)  # again: the graph holds the digest of its weights
    (folder / "README.md").write_text(_readme(model, more), encoding="utf-8")


def _converted(path: Path) -> Any:
    """Returns an ONNX file as an OpenVINO model. OpenVINO puts its metadata under `framework`."""
    with without_telemetry():
        import openvino
    model = openvino.Core().read_model(path)
    for node in model.get_ops():
        if node.get_type_name() == "If":
            _mend_empty(node.get_function(0))
    model.validate_nodes_and_infer_types()
    return model


def _mend_empty(branch: Any) -> None:
    """Makes the constant that suppression returns where there are no boxes empty: OpenVINO reads it as one zero."""
    from openvino import opset13

    for result in branch.get_results():
        if result.input_value(0).get_node().get_type_name() == "Constant":
            result.input(0).replace_source_output(opset13.constant(np.empty(0, np.int64)).output(0))
    branch.validate_nodes_and_infer_types()


def _readme(model: Any, more: str) -> str:
    channels = model.input(0).get_partial_shape()[1].get_length()
    names = [output.get_any_name() for output in model.outputs]
    pixels = {
        1: 'np.asarray(Image.open("photo.png").convert("L"))[None, None]',
        3: 'np.asarray(Image.open("photo.jpg").convert("RGB")).transpose(2, 0, 1)[None]',
    }
    return README.format(
        model=MODEL,
        channels=channels,
        colours="RGB, " if channels == 3 else "",
        outputs=", ".join(f"`{name}`" for name in names),
        more=f"\n\n{more}" if more else "",
        pixels=pixels.get(channels, f"np.zeros((1, {channels}, 480, 640), np.uint8)  # an image"),
        output=names[0],
        description=str(DESCRIPTION).replace("'", '"'),
    )
