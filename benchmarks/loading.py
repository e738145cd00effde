"""How fast, and in how much host memory, are weights loaded, compared with transformers' `from_pretrained`?

    python benchmarks/loading.py [--quick] [--device cpu] [--precision fp32]

Creates a Qwen3-VL with random weights in bf16 (4.3 GB, with --quick 0.3 GB) in a temporary folder and loads
it in separate processes, each loader in turn, with the files in the page cache. A run ends when every weight
has been touched, because a mapped file is only read then. Ratios are ours to theirs: below 1 is better.

seconds_*  until every weight is loaded
peak_*     peak resident memory above that of the empty process, as a share of the weights' files
again_*    seconds for loading again after unloading
left_*     resident memory that remains after unloading, as a share of the weights' files
import_seconds, import_modules: the cost of importing the library, in addition to torch, numpy and PIL
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import close

HERE = Path(__file__).resolve()
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="a model of 0.3 GB, one run each")
    options.add_argument("--device", default="cpu", help="target device, such as cuda (default: cpu)")
    options.add_argument("--precision", choices=DTYPES, help="only this one (default: all)")
    options.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.one:
        loader, dtype, folder = options.one
        return print(json.dumps(measure(loader, dtype, Path(folder), options.device)))
    with tempfile.TemporaryDirectory(prefix="rr_loading_") as temporary:
        folder = Path(temporary, "model")
        make(folder, layers=2 if options.quick else 22, hidden=1024 if options.quick else 2048)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        print(f"a model of {size / 1e9:.2f} GB, to {options.device}", file=sys.stderr)
        figures = {"gigabytes": size / 1e9}
        for name in [options.precision] if options.precision else DTYPES:
            dtype, best = DTYPES[name], {}
            for loader in ("ours", "theirs") * (1 if options.quick else 3):
                measured = run(loader, dtype, folder, options.device)
                print(f"{name} {loader}: {measured}", file=sys.stderr)
                previous = best.setdefault(loader, measured)
                best[loader] = {key: min(value, previous[key]) for key, value in measured.items()}
            ours, theirs = best["ours"], best["theirs"]
            for key in ("seconds", "peak"):
                scale = size if key == "peak" else 1
                figures[f"{key}_{name}"] = ours[key] / scale
                figures[f"{key}_ratio_{name}"] = ours[key] / theirs[key]
            figures |= {f"again_{name}": ours["again"], f"left_{name}": ours["left"] / size}
    close(figures | import_cost())


def run(loader: str, dtype: str, folder: Path, device: str) -> dict[str, float]:
    command = [sys.executable, HERE, "--device", device, "--one", loader, dtype, folder]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(loader: str, dtype: str, folder: Path, device: str) -> dict[str, float]:
    """Load once; with our loader, also unload and load again."""
    import torch
    from transformers import Qwen3VLForConditionalGeneration

    from rr_models.checkpoints.loading import meta_model, weights_of
    from rr_models.checkpoints.precision import choose_precision

    target = torch.device(device)
    if target.type != "cpu":
        torch.zeros(1, device=target)  # so that initialising the device does not count
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as stream:
            while stream.read(1 << 26):
                pass
    gc.collect()
    empty, start = resident(), time.perf_counter()
    if loader == "theirs":
        model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, dtype)).to(
            target
        )
        touch(model)
        return {"seconds": time.perf_counter() - start, "peak": peak() - empty}
    model = meta_model(folder, choose_precision(dtype, target, folder))
    weights = weights_of(folder, model)
    weights.load(target)
    touch(model)
    figures = {"seconds": time.perf_counter() - start, "peak": peak() - empty}
    weights.unload()
    gc.collect()
    figures["left"] = max(0, resident() - empty)
    start = time.perf_counter()
    weights.load(target)
    touch(model)
    return figures | {"again": time.perf_counter() - start}


def touch(model) -> None:
    """Read a part of every page."""
    for parameter in model.parameters():
        parameter.data.view(-1)[::1024].float().sum().item()


def resident() -> int:
    import psutil

    return psutil.Process().memory_info().rss


def peak() -> int:
    """Peak resident memory, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # rusage would include the parent's memory at the fork
        (line,) = [line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    import psutil

    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):
        return memory.peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def make(folder: Path, layers: int, hidden: int) -> None:
    """A model folder without a tokenizer; its weights repeat one random block."""
    import torch
    from safetensors.torch import save_file
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    config = Qwen3VLConfig(
        text_config={
            "vocab_size": 151936 if layers > 2 else 32000,
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // 128,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "rope_scaling": {"mrope_section": [24, 20, 20], "rope_type": "default"},
        },
        vision_config={"depth": layers, "out_hidden_size": hidden, "deepstack_visual_indexes": [0]},
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        names = {name: p.shape for name, p in Qwen3VLForConditionalGeneration(config).named_parameters()}
    block = torch.randn(1 << 22).mul_(0.02).bfloat16()
    folder.mkdir()
    config.save_pretrained(folder)
    shards, index, held = [{}], {}, 0
    for name, shape in names.items():
        if held > 1e9:
            shards.append({})
            held = 0
        count = shape.numel()
        shards[-1][name] = block.repeat(-(-count // len(block)))[:count].reshape(shape).clone()
        held += 2 * count
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        index |= dict.fromkeys(shard, file)
        save_file(shard, folder / file, metadata={"format": "pt"})
        shard.clear()
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index}), "utf-8"
    )


def import_cost() -> dict[str, float]:
    """Seconds and modules that importing the library costs in a process with torch, numpy and PIL loaded."""
    code = (
        "import importlib, pkgutil, sys, time, torch, numpy, PIL.Image\n"
        f"sys.path.insert(0, {str(HERE.parents[1])!r})\n"
        "before, start = set(sys.modules), time.perf_counter()\n"
        "import rr_models\n"
        "for module in pkgutil.walk_packages(rr_models.__path__, 'rr_models.'):\n"
        "    importlib.import_module(module.name) if '__main__' not in module.name else None\n"
        "spent, new = time.perf_counter() - start, set(sys.modules) - before\n"
        "print(spent, len(new))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.split()
        for _ in range(3)
    ]
    seconds, modules = min(runs, key=lambda pair: float(pair[0]))
    return {"import_seconds": float(seconds), "import_modules": int(modules)}


if __name__ == "__main__":
    main()
