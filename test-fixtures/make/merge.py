"""mergekit on random tensors and on a checkpoint of two shards, for @rass/merge: recipes, inputs and results.

mergekit runs as its command for raw state dicts does. Where a method draws at random (DARE), what it draws is stored as a mask.
"""
# requirements: requirements-merge.txt
from __future__ import annotations

import json
import pathlib
import tempfile

import torch
import yaml
from mergekit.graph import Executor
from mergekit.io import ShardedTensorIndex
from mergekit.options import MergeOptions
from mergekit.scripts import merge_raw_pytorch as raw
from safetensors.torch import load_file, save_file

from common import save_case, seeded

SHAPES = {"conv.weight": (6, 4, 3, 3), "proj.weight": (8, 12), "norm.weight": (7,), "table.weight": (16, 20), "logit_scale": (1,)}
MODELS = ("a", "b", "c")

# Names that mergekit spells otherwise.
OURS = {"nuslerp_flatten": "flatten", "nuslerp_row_wise": "row_wise"}


def model(seed: int) -> dict[str, torch.Tensor]:
    generator = seeded(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def tuned(base: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """A model a good way from the base: differences, which are rounded, keep enough digits to be compared."""
    step = model(seed)
    return {name: base[name] + 0.5 * step[name] for name in base}


def recipe(method: str, models: dict[str, dict], base: str | None = None, **parameters) -> dict:
    made = {"merge_method": method, "models": [{"model": name, "parameters": own} if own else {"model": name} for name, own in models.items()]}
    if base is not None:
        made["base_model"] = base
    if parameters:
        made["parameters"] = parameters
    return made


def weights(*values: float, **more) -> dict[str, dict]:
    return {name: {"weight": value, **more} for name, value in zip(MODELS, values)}


FILTERED = [{"filter": "conv", "value": 0.9}, {"filter": "proj.weight", "value": 0.2}, {"value": 0.5}]
RECIPES = {
    "linear": recipe("linear", weights(0.3, 0.9, -0.1)),
    "linear-sum": recipe("linear", weights(0.3, 0.9), normalize=False),
    "linear-filters": recipe("linear", {"a": {"weight": 1.0}, "b": {"weight": FILTERED}}),
    "linear-common": recipe("linear", {"a": {}, "b": {"weight": [{"filter": "norm", "value": 3}]}}, weight=1.5),
    "slerp": recipe("slerp", {"base": {}, "a": {}}, base="base", t=0.3),
    "slerp-filters": recipe("slerp", {"base": {}, "a": {}}, base="base", t=FILTERED),
    "nuslerp": recipe("nuslerp", weights(0.3, 0.9)),
    "nuslerp-rows": recipe("nuslerp", weights(0.3, 0.9), nuslerp_flatten=False),
    "nuslerp-columns": recipe("nuslerp", weights(0.3, 0.9), nuslerp_flatten=False, nuslerp_row_wise=True),
    "nuslerp-base": recipe("nuslerp", weights(0.3, 0.9), base="base"),
    "nuslerp-base-rows": recipe("nuslerp", weights(0.3, 0.9), base="base", nuslerp_flatten=False),
    "task_arithmetic": recipe("task_arithmetic", weights(0.3, 0.9), base="base"),
    "task_arithmetic-mean": recipe("task_arithmetic", weights(0.3, 0.9, 0.5), base="base", normalize=True, **{"lambda": 0.7}),
    "ties": recipe("ties", weights(0.3, 0.9, 0.5, density=0.4), base="base"),
    "ties-sum": recipe("ties", weights(0.3, 0.9, 0.5, density=0.7), base="base", normalize=False, rescale=True, **{"lambda": 1.3}),
    "ties-whole": recipe("ties", weights(0.3, 0.9, 0.5), base="base", density=1.0),
    "ties-mixed": recipe(
        "ties", {"a": {"weight": 1.0, "density": 0.1}, "b": {"weight": FILTERED}}, base="base", density=0.9
    ),
    "model_stock": recipe("model_stock", {name: {} for name in MODELS}, base="base"),
    "model_stock-filters": recipe("model_stock", {name: {} for name in MODELS}, base="base", filter_wise=True),
    "nearswap": recipe("nearswap", {"a": {}}, base="base", t=0.2),
    "passthrough": recipe("passthrough", {"a": {}}),
    "passthrough-scale": recipe("passthrough", {"a": {"scale": FILTERED}}),
    "dare_linear": recipe("dare_linear", weights(0.3, 0.9, density=0.6), base="base"),
    "dare_linear-plain": recipe("dare_linear", weights(0.3, 0.9, density=0.6), base="base", rescale=False, normalize=True),
    "dare_ties": recipe("dare_ties", weights(0.3, 0.9, 0.5, density=0.6), base="base", **{"lambda": 0.8}),
}  # fmt: skip
# mergekit takes the last axis of a convolution for its vectors; here they are a filter's weights.
WITHOUT_CONVOLUTIONS = ("nuslerp-rows", "nuslerp-columns", "nuslerp-base-rows", "model_stock-filters")


from_file = ShardedTensorIndex.from_file


def from_path(path: str) -> ShardedTensorIndex:
    """The command for raw state dicts opens files alone; folders with an index go through the reader of its other commands."""
    return ShardedTensorIndex.from_disk(path) if pathlib.Path(path).is_dir() else from_file(path)


def run(folder: pathlib.Path, made: dict, out: str) -> dict[str, torch.Tensor]:
    """Runs a recipe whose models are files, or folders with an index, of the folder."""
    path = lambda name: str(folder / name if (folder / name).is_dir() else folder / f"{name}.safetensors")  # noqa: E731
    placed = {**made, "models": [{**each, "model": path(each["model"])} for each in made["models"]]}
    if "base_model" in made:
        placed["base_model"] = path(made["base_model"])
    raw.SimpleLoaderCache._instance = None
    options = MergeOptions(write_model_card=False)
    config = raw.RawPyTorchMergeConfig.model_validate(placed)
    tasks = raw.plan_flat_merge(config, str(folder / out), False, False, options)
    Executor(tasks, math_device="cpu", storage_device="cpu").execute()
    return load_file(folder / out / "model.safetensors")


def drawn(folder: pathlib.Path, made: dict, out: str, tensors: dict[str, dict[str, torch.Tensor]]):
    """As run, one tensor at a time, keeping what is drawn for each model."""
    draw = torch.bernoulli
    result, masks = {}, {}
    for name in SHAPES:
        kept: list[torch.Tensor] = []

        def keeping(probabilities: torch.Tensor, **more) -> torch.Tensor:
            kept.append(draw(probabilities, **more))
            return kept[-1]

        for each, values in tensors.items():
            save_file({name: values[name]}, folder / f"{each}.safetensors")
        torch.bernoulli = keeping
        try:
            result |= run(folder, made, f"{out}-{name}")
        finally:
            torch.bernoulli = draw
        masks |= {f"{i}/{name}": mask for i, mask in enumerate(kept)}
    for each, values in tensors.items():
        save_file(values, folder / f"{each}.safetensors")
    return result, masks


def ours(made: dict) -> dict:
    """The recipe as @rass/merge reads it."""
    if "parameters" not in made:
        return made
    return {**made, "parameters": {OURS.get(name, name): value for name, value in made["parameters"].items()}}


def methods(folder: pathlib.Path) -> None:
    base = model(0)
    tensors = {"base": base, **{name: tuned(base, seed) for seed, name in enumerate(MODELS, 1)}}
    for name, values in tensors.items():
        save_file(values, folder / f"{name}.safetensors")
    stored = {f"in/{name}/{key}": value for name, values in tensors.items() for key, value in values.items()}
    recipes = {}
    for name, made in RECIPES.items():
        torch.manual_seed(len(name))
        if made["merge_method"].startswith("dare"):
            result, masks = drawn(folder, made, name, tensors)
            stored |= {f"mask/{name}/{key}": mask for key, mask in masks.items()}
        else:
            result = run(folder, made, name)
        for key, value in result.items():
            if value.dim() < 3 or name not in WITHOUT_CONVOLUTIONS:
                stored[f"out/{name}/{key}"] = value
        recipes[name] = yaml.safe_dump(ours(made), sort_keys=False)
    save_case("merge/methods", stored, {"recipes": recipes})


def shards(folder: pathlib.Path) -> None:
    """Two models of two shards each, in half precision; the results are in float32 and in bfloat16."""
    stored, names = {}, {}
    for seed, name in ((20, "first"), (21, "second")):
        values = {key: value.half() for key, value in model(seed).items()}
        (folder / name).mkdir()
        halves = [list(values)[:2], list(values)[2:]]
        files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
        for keys, file in zip(halves, files):
            save_file({key: values[key] for key in keys}, folder / name / file)
        index = {"metadata": {}, "weight_map": {key: file for keys, file in zip(halves, files) for key in keys}}
        (folder / name / "model.safetensors.index.json").write_text(json.dumps(index))
        stored |= {f"in/{name}/{key}": value for key, value in values.items()}
        names[name] = {file: keys for keys, file in zip(halves, files)}
    made = recipe("linear", {"first": {"weight": 0.25}, "second": {"weight": FILTERED}})
    for dtype in ("float32", "bfloat16"):
        made |= {"dtype": "float32", "out_dtype": dtype}
        result = run(folder, made, dtype)
        assert all(str(value.dtype) == f"torch.{dtype}" for value in result.values())
        stored |= {f"out/{dtype}/{key}": value for key, value in result.items()}
    save_case("merge/shards", stored, {"recipe": yaml.safe_dump(made, sort_keys=False), "files": names})


if __name__ == "__main__":
    ShardedTensorIndex.from_file = from_path
    with tempfile.TemporaryDirectory() as folder:
        methods(pathlib.Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        shards(pathlib.Path(folder))
