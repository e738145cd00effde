"""Precisions: the memory and accuracy of each, the choice of "auto", and what is quantized."""

from __future__ import annotations

import json
import re
from pathlib import Path

import _random_model as random_model
import pytest
import torch
from rr_tests import tiny

from rr_models.checkpoints import kernels, loading, model_folder, precision, quantized_linear
from rr_models.critics import local
from rr_models.critics.judging import critique
from rr_models.engine.kv_cache import cache_width
from rr_models.engine.memory import estimate_memory
from rr_models.errors import CriticError

CPU, CARD = torch.device("cpu"), torch.device("cuda")
QUANTIZED = (precision.INT8, precision.FP8, precision.FOUR_BIT)
GB = 1_000_000_000
ROOT = Path(__file__).resolve().parents[1]
PEAKS = [(0, "bf16", 1), (0, "bf16", 4), (0, "int8", 1), (0, "int8", 4), (0, "4-bit", 1), (0, "4-bit", 4)]
PEAKS += [(1, "int8", 1), (1, "int8", 2)]
"""Of the README's table: 8B or 4B, precision, images at once."""


def needs(name: str) -> None:
    if name == precision.FOUR_BIT and not precision.has_bitsandbytes():
        pytest.skip("4-bit needs bitsandbytes >= 0.50, which is not installed here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("models") / "tiny")


def headers(folder: Path, hidden: int, inner: int, vision: int, tied: bool) -> Path:
    """The headers of the weights of a Qwen3-VL of 36 layers, without the weights themselves. `vision` is how
    many the tower has in all."""
    shapes = {"model.language_model.embed_tokens.weight": [151936, hidden], "model.visual.all": [vision]}
    shapes |= {} if tied else {"lm_head.weight": [151936, hidden]}
    for number in range(36):
        for name, shape in {
            "self_attn.q_proj": [4096, hidden],
            "self_attn.k_proj": [1024, hidden],
            "self_attn.v_proj": [1024, hidden],
            "self_attn.o_proj": [hidden, 4096],
            "mlp.gate_proj": [inner, hidden],
            "mlp.up_proj": [inner, hidden],
            "mlp.down_proj": [hidden, inner],
        }.items():
            shapes[f"model.language_model.layers.{number}.{name}.weight"] = shape
    header = {
        name: {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()
    }
    raw = json.dumps(header).encode()
    (folder / "config.json").write_text("{}", "utf-8")
    (folder / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw)
    return folder


@pytest.fixture(scope="module")
def eight(tmp_path_factory) -> Path:
    return headers(tmp_path_factory.mktemp("eight"), 4096, 12288, 576_000_000, tied=False)


@pytest.mark.parametrize(
    ("name", "error"), [(precision.INT8, 0.008), (precision.FP8, 0.03), (precision.FOUR_BIT, 0.11)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [False, True])
def test_a_quantized_layer_computes_nearly_what_the_original_does(name, error, dtype, bias):
    needs(name)
    torch.manual_seed(0)
    whole = torch.nn.Linear(256, 192, bias=bias)
    if name != precision.FOUR_BIT:  # rows of very different size, which have scales of their own
        whole.weight.data *= torch.logspace(-3, 1, 192)[:, None]
    layer = quantized_linear.QUANTIZED_LAYERS[name](256, 192, bias, dtype)
    layer.quantize(whole.weight.data.to(dtype))
    if bias:
        layer.bias = torch.nn.Parameter(whole.bias.data.to(dtype))
    for shape in ((64, 256), (4, 16, 256)):
        x = torch.randn(shape)
        with torch.inference_mode():
            wanted, got = whole(x), layer(x.to(dtype))
        assert got.dtype == dtype and got.shape == wanted.shape
        off = (got.float() - wanted).pow(2).mean((*range(len(shape) - 1),)).sqrt()
        typical = wanted.pow(2).mean((*range(len(shape) - 1),)).sqrt() + 1e-3
        assert (off / typical).mean() < error + 0.004  # rounding of 16 bit comes on top


def test_a_row_of_zeros_stays_zeros():
    for name in (precision.INT8, precision.FP8):
        layer = quantized_linear.QUANTIZED_LAYERS[name](8, 4, False, torch.float32)
        layer.quantize(torch.zeros(4, 8))
        assert torch.equal(layer(torch.ones(1, 8)), torch.zeros(1, 4))


def test_large_numbers_stay_finite_in_half_precision():
    """Before the scale is applied, 4096 products of up to 448 would leave the range of fp16."""
    for name in (precision.INT8, precision.FP8):
        layer = quantized_linear.QUANTIZED_LAYERS[name](4096, 4, False, torch.float16)
        layer.quantize(torch.full((4, 4096), 0.01))
        out = layer(torch.full((1, 4096), 10.0, dtype=torch.float16))
        assert torch.allclose(out.float(), torch.full((1, 4), 409.6), rtol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUANTIZED)
def test_a_quantized_critic_judges_and_leaves_vision_and_head_unquantized(folder, name):
    needs(name)
    critic, whole = local.load(folder, dtype=name), local.load(folder)
    assert re.fullmatch(rf"{name}( \(int8pack\))?", critic.precision) and critic.precision in repr(critic)
    quantized = {
        path
        for path, layer in critic.model.named_modules()
        if isinstance(layer, quantized_linear.QuantizedLinear)
    }
    linear = {path for path, layer in whole.model.named_modules() if type(layer) is torch.nn.Linear}
    assert quantized == {path for path in linear if path.startswith("model.language_model.")} != set()
    for path, parameter in whole.model.named_parameters():
        if path.rpartition(".")[0] not in quantized:
            assert torch.equal(parameter, critic.model.get_parameter(path)), path
    image = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1))
    (first,) = critique(critic, [image], "a fox", detail="scores", max_new_tokens=300)
    assert first.status == "complete" and first.source["precision"] == critic.precision
    critic.weights.unload()
    assert all(p.is_meta for p in critic.model.parameters())
    critic.weights.load(CPU)
    assert critique(critic, [image], "a fox", detail="scores", max_new_tokens=300)[0].text == first.text


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_quantized_critic_takes_the_memory_that_was_estimated(folder, name):
    needs(name)
    critic = local.load(folder, dtype=name)
    taken = sum(p.nbytes for p in critic.model.parameters())
    for layer in critic.model.modules():
        if state := getattr(layer, "state", None):
            taken += state.absmax.nbytes + state.state2.absmax.nbytes
    assert critic.weights.size == taken
    whole = local.prepare(folder, CPU, "bf16").weights.size
    assert precision.size(folder, "bf16") == whole > precision.size(folder, name)


def test_four_bit_moves_with_its_scales(folder):
    needs(precision.FOUR_BIT)
    critic = local.load(folder, dtype=precision.FOUR_BIT)
    layer = next(one for one in critic.model.modules() if isinstance(one, quantized_linear.Nf4Linear))
    layer.to("meta")
    assert layer.weight.is_meta and layer.state.absmax.is_meta and layer.state.state2.absmax.is_meta


def test_sizes_in_the_readme(eight, tmp_path):
    four = headers(tmp_path, 2560, 9728, 415_000_000, tied=True)
    sizes = [
        {name: round(precision.size(f, name) / GB, 1) for name in precision.NAMES} for f in (eight, four)
    ]
    assert sizes[0] == {"bf16": 17.5, "fp16": 17.5, "fp32": 35.1, "fp8": 10.6, "int8": 10.6, "4-bit": 7.2}
    assert (sizes[1]["bf16"], sizes[1]["int8"], sizes[1]["4-bit"]) == (8.9, 5.2, 3.5)
    # a question about one image of 784 tokens, and the longest answer, in 16 bit
    question = {
        "prompt_tokens": 1754,
        "largest_image_tokens": 784,
        "all_image_tokens": 784,
        "cache_columns": cache_width(1754, 2048),
    }
    rooms = [
        estimate_memory(random_model.make(name, "meta", torch.bfloat16).model, **question)
        for name in ("8b", "4b")
    ]
    peaks = [sizes[model][name] + rooms[model].total(images) / GB for model, name, images in PEAKS]
    rows = re.findall(r"^\| \d+ GB \| .*", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    told = [float(cell.split()[0]) for row in rows for cell in row.split("|")[5:7]]
    assert told == [round(peak, 1) for peak in peaks]


def kernel_on_the_card(monkeypatch, kernel: kernels.Kernel) -> None:
    monkeypatch.setattr(precision, "choose_int8_kernel", lambda device, dtype: kernel)


@pytest.mark.parametrize(
    ("room", "name"), [(23.5, "bf16"), (15.5, "int8"), (11.6, "4-bit"), (9.5, "4-bit"), (7.5, "4-bit")]
)
def test_auto_takes_the_best_that_fits_and_gives_the_reason(eight, monkeypatch, room, name):
    monkeypatch.setattr(precision, "has_bitsandbytes", lambda: True)
    kernel_on_the_card(monkeypatch, kernels.COMFY_KITCHEN)
    found = precision.choose_precision("auto", CARD, eight, int(room * GB), fast_bf16=True)
    assert found.name == name and found.dtype == torch.bfloat16
    assert found.kernel == (kernels.COMFY_KITCHEN if name == "int8" else kernels.DEQUANTIZING)
    label = "int8 (comfy-kitchen)" if name == "int8" else name
    assert str(found).startswith(f"{label}, because {room} GB can be free on cuda")
    assert ("barely" in str(found)) == (room < 9)


@pytest.mark.parametrize("room", [10.7 + 2, 15.5, 19.4])
def test_auto_takes_no_int8_that_is_slower_than_4_bit(eight, monkeypatch, room):
    """A step of eight images took 30 ms with dequantized int8 weights, 18 ms in 4-bit, 11 ms in bf16."""
    kernel_on_the_card(monkeypatch, kernels.DEQUANTIZING)
    monkeypatch.setattr(precision, "has_bitsandbytes", lambda: True)
    found = precision.choose_precision("auto", CARD, eight, int(room * GB), fast_bf16=True)
    assert found.name == "4-bit" and "its weights take 7.2; int8 (10.6) would be slower" in found.reason
    monkeypatch.setattr(precision, "has_bitsandbytes", lambda: False)
    found = precision.choose_precision("auto", CARD, eight, int(room * GB), fast_bf16=True)
    assert str(found) == f"int8, because {room:.1f} GB can be free on cuda: its weights take 10.6"


def test_auto_tries_no_kernel_where_16_bit_fits(eight, monkeypatch):
    def never(device, dtype):
        raise AssertionError("a kernel was tried")

    monkeypatch.setattr(precision, "choose_int8_kernel", never)
    assert precision.choose_precision("auto", CARD, eight, 20 * GB, fast_bf16=True).name == "bf16"


def test_auto_without_bitsandbytes_stops_at_int8_and_says_so(eight, monkeypatch):
    monkeypatch.setattr(precision, "has_bitsandbytes", lambda: False)
    kernel_on_the_card(monkeypatch, kernels.DEQUANTIZING)
    found = precision.choose_precision("auto", CARD, eight, 8 * GB, fast_bf16=False)
    assert (found.name, found.dtype) == ("int8", torch.float16) and "bitsandbytes >= 0.50" in found.reason


def test_the_choice_of_int8_takes_the_kernel_of_the_device(folder, monkeypatch):
    tried = []
    monkeypatch.setattr(
        precision, "choose_int8_kernel", lambda *what: tried.append(what) or kernels.COMFY_KITCHEN
    )
    found = precision.choose_precision("int8", CARD, folder, fast_bf16=True)
    assert (found.name, found.label) == ("int8", "int8 (comfy-kitchen)")
    model = loading.meta_model(folder, found)
    layers = [one for one in model.modules() if isinstance(one, quantized_linear.Int8Linear)]
    assert layers and all(one.kernel is kernels.COMFY_KITCHEN for one in layers)
    assert precision.choose_precision("fp8", CPU, folder).label == "fp8"
    assert tried == [(CARD, torch.bfloat16)]


def test_a_choice_is_used_as_it_is_or_refused(folder, monkeypatch):
    for name in ("bf16", "bfloat16", torch.bfloat16):
        assert precision.choose_precision(name, CARD, folder, free_bytes=1) == precision.Precision(
            "bf16", torch.bfloat16
        )
    assert precision.choose_precision("int8", CARD, folder, 1, fast_bf16=True).dtype == torch.bfloat16
    assert precision.choose_precision("int8", CPU, folder).dtype == torch.float32
    with pytest.raises(ValueError, match="precision must be auto or one of bf16, .*, not 'float8'"):
        precision.choose_precision("float8", CPU, folder)
    monkeypatch.setattr(precision, "has_bitsandbytes", lambda: False)
    with pytest.raises(CriticError, match=r'pip install "bitsandbytes>=0.50"'):
        precision.choose_precision("4-bit", CPU, folder)


def test_an_old_bitsandbytes_does_not_count(monkeypatch):
    from importlib import metadata

    monkeypatch.setattr(precision.importlib.util, "find_spec", lambda name: object())
    for version, enough in {"0.49.2": False, "0.50.0": True, "1.0": True, "dev": False}.items():
        monkeypatch.setattr(metadata, "version", lambda name, version=version: version)
        assert precision.has_bitsandbytes() == enough


def test_the_head_of_the_built_in_critic_can_be_read():
    assert precision.size(model_folder.SHAPES_CRITIC, "bf16") > 1_000_000
