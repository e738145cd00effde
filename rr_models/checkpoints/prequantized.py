"""Weights that were quantized before they were saved: transformers loads them with the method's package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from ..devices import out_of_memory
from ..errors import CriticError, first_line
from . import model_folder
from .load_progress import StoppedByCallback, report_progress
from .weights import OnProgress, Weights

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration


class PrequantizedWeights(Weights):
    """Weights that transformers loads, all at once."""

    PACKAGES: Final = {
        "bitsandbytes": "bitsandbytes",
        "compressed-tensors": "compressed-tensors",
        "gptq": "gptqmodel",
        "awq": "gptqmodel",
        "torchao": "torchao",
        "hqq": "hqq",
        "fp8": "kernels",
    }
    """method -> the package that transformers needs for it."""

    def __init__(self, folder: Path, model: Qwen3VLForConditionalGeneration):
        super().__init__(folder, model)
        self._unloaded_state = dict(model.__dict__)
        self.size = sum((folder / file).stat().st_size for file in model_folder.shards(folder))

    def _unload(self) -> None:
        self.model.__dict__.update(self._unloaded_state)

    def _load(self, device: torch.device, on_progress: OnProgress) -> None:
        from transformers import Qwen3VLForConditionalGeneration

        on_progress(0, self.size)
        try:
            with report_progress(Qwen3VLForConditionalGeneration, self.size, on_progress):
                loaded = self._from_pretrained(device)
        except StoppedByCallback as stopped:
            raise stopped.errors.pop() from None
        except (ImportError, ValueError, RuntimeError, NotImplementedError) as error:
            if out_of_memory(error):
                raise
            raise self._cannot_load(device, error) from error
        # critic and engine hold the model itself, so it takes over the state of the loaded one
        loaded.eval().requires_grad_(False)
        state = dict(loaded.__dict__)
        if "generation_config" in self._unloaded_state:  # the critic's
            state["generation_config"] = self._unloaded_state["generation_config"]
        self.model.__dict__.update(state)
        del loaded, state  # else an exception of the callback would hold them
        on_progress(self.size, self.size)

    def _from_pretrained(self, device: torch.device) -> Qwen3VLForConditionalGeneration:
        """The folder's model as transformers loads it. ValueError if that would not be the model itself."""
        from transformers import Qwen3VLForConditionalGeneration
        from transformers.quantizers.auto import AutoHfQuantizer

        config = self.model.config
        if not AutoHfQuantizer.supports_quant_method(getattr(config, "quantization_config", None)):
            raise ValueError("it does not know the method and would read the weights as unquantized")
        # transformers declares no return type for output_loading_info
        from_pretrained: Any = Qwen3VLForConditionalGeneration.from_pretrained
        loaded, report = from_pretrained(
            self.folder,
            config=config,
            dtype=self.dtype,
            device_map={"": device},
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
        if missing := sorted(report["missing_keys"]):
            raise ValueError(f"{len(missing)} tensors are missing, such as {missing[0]}")
        return loaded

    def _cannot_load(self, device: torch.device, error: Exception) -> CriticError:
        method = model_folder.quantization_method(self.folder)
        package = self.PACKAGES.get(method or "") if isinstance(error, ImportError) else None
        install = f"Install {package} with ComfyUI's Python, or use" if package else "Use"
        return CriticError(
            f"{self.folder.name} is quantized by {method}, and transformers cannot load it on {device} "
            f"({first_line(error)}). {install} the unquantized model, which needs no "
            "further package."
        )
