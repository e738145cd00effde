"""Make a torchvision that was built for CUDA importable with a CPU build of torch.

PyPI's torchvision registers fake kernels for two operators that its CUDA library would have declared; with a
CPU torch that library cannot be loaded and the import ends in "operator torchvision::nms does not exist".
Declaring the two first is enough for everything but the operators themselves. `dev_env.py` copies this file
into the development environment, and only where the import fails without it; a .pth file imports it at
start-up, so that child processes have it too.
"""

import sys


class DeclareOperators:
    """An import hook that acts once, right before torchvision is imported, and finds nothing itself."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch  # slow; here because start-up must stay quick for programs that want no torchvision

            # Kept on the class: the declarations end with the object.
            DeclareOperators.library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                self.library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


sys.meta_path.insert(0, DeclareOperators())
