"""Makes real PyTorch and pickle files in a folder, too large to be kept, for tests that read them.

weights_torch.py FOLDER     writes files, and beside each <file>.safetensors with its tensors; prints the names, one a line
"""
import io
import pathlib
import pickle
import sys

import numpy as np
import torch
from safetensors.torch import save_file


def values(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def large_state() -> dict[str, torch.Tensor]:
    """Tensors above and below every buffer of the reader, some of them views of one storage."""
    base = values(1000, 700, seed=1)
    return {
        "large": base,
        "transposed": base.t(),
        "window": base[500:700, 100:300],
        "half": values(300, 300, seed=2, dtype=torch.float16),
        "brain": values(129, 257, seed=3, dtype=torch.bfloat16).t(),
        "double": values(100, 100, seed=4, dtype=torch.float64),
    }


def many_state() -> dict[str, torch.Tensor]:
    """A pickle of some megabytes: longer than the reader's window."""
    shared = values(64, seed=5)
    return {f"module.{'x' * (i % 50)}.{i}.weight": shared[i % 60 : i % 60 + 3] for i in range(12000)}


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    large = rng.standard_normal((300, 200)).astype("f4")
    return {"large": large, "fortran": np.asfortranarray(large), "swapped": large.astype(">f4"), "small": large[:2, :2].copy()}


def saved(value: object, legacy: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def main(folder: pathlib.Path) -> None:
    files = {}
    for name, state in (("large", large_state()), ("many", many_state())):
        files[f"{name}-zip.pt"] = saved(state, False), state
        files[f"{name}-legacy.pt"] = saved(state, True), state
    plain = {"large": large_state()["large"], "half": large_state()["half"]}
    for protocol in (2, 4, 5):
        files[f"plain-{protocol}.pkl"] = pickle.dumps(plain, protocol), plain
        state = {key: torch.from_numpy(array.astype("f4", order="C")) for key, array in arrays().items()}
        files[f"numpy-{protocol}.pkl"] = pickle.dumps(arrays(), protocol), state
    for name, (data, state) in files.items():
        (folder / name).write_bytes(data)
        save_file({key: tensor.clone().contiguous() for key, tensor in state.items()}, folder / f"{name}.safetensors")
        print(name)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
