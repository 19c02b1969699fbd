"""PyTorch's optimisers, clipping, schedules and averages, and diffusers' warm-up of an average, for @rass/training.

Everything is computed in float64, so that what differs is the rounding of the implementation under test alone.
"""
import math

import torch
from diffusers.training_utils import EMAModel
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from common import save_case, seeded

STEPS = 20
SHAPES = {
    "backbone.weight": (5, 4),
    "backbone.bias": (5,),
    "head.weight": (3, 5),
    "head.bias": (3,),
}
CLIP = 2.0


def initial() -> dict[str, torch.Tensor]:
    generator = seeded(1)
    return {key: torch.randn(shape, generator=generator, dtype=torch.float32).double() for key, shape in SHAPES.items()}


def gradients() -> dict[str, torch.Tensor]:
    """One of each variable for each step, [STEPS, ...shape], some steps beyond the limit of clipping and some within."""
    generator = seeded(2)
    sizes = torch.logspace(-2, 1, STEPS)[torch.randperm(STEPS, generator=generator)]
    return {
        key: (torch.randn(STEPS, *shape, generator=generator) * sizes.reshape(-1, *[1] * len(shape))).float().double()
        for key, shape in SHAPES.items()
    }


def groups(parameters: dict[str, torch.nn.Parameter], rate: float, decay: float) -> list[dict]:
    return [
        {"params": [p for k, p in parameters.items() if k.endswith("bias")], "lr": rate, "weight_decay": 0.0},
        {"params": [parameters["backbone.weight"]], "lr": rate * 0.1, "weight_decay": decay},
        {"params": [parameters["head.weight"]], "lr": rate, "weight_decay": decay},
    ]


def optimizer_case(name: str, make, rate: float, decay: float, options: dict) -> None:
    parameters = {key: torch.nn.Parameter(value) for key, value in initial().items()}
    optimizer = make(groups(parameters, rate, decay), **options)
    schedule = lr_scheduler.PolynomialLR(optimizer, STEPS + 5, power=0.9)
    given = gradients()
    history = {key: [] for key in SHAPES}
    norms = []
    for step in range(STEPS):
        for key, parameter in parameters.items():
            parameter.grad = given[key][step].clone()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), CLIP))
        optimizer.step()
        schedule.step()
        for key, parameter in parameters.items():
            history[key].append(parameter.detach().clone())
    tensors = {f"w/{key}": value for key, value in initial().items()}
    tensors |= {f"in/{key}": value for key, value in given.items()}
    tensors |= {f"out/{key}": torch.stack(values) for key, values in history.items()}
    for slot in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
        tensors |= {
            f"state/{slot}/{key}": optimizer.state[p][slot] for key, p in parameters.items() if slot in optimizer.state[p]
        }
    config = {"steps": STEPS, "rate": rate, "decay": decay, "clip": CLIP, "power": 0.9, "scheduleSteps": STEPS + 5, **options}
    save_case(f"training/{name}", {**tensors, "out/norms": torch.stack(norms)}, config)


def scheduled(make) -> torch.Tensor:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = make(optimizer)
    rates = []
    for _ in range(40):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return torch.tensor(rates, dtype=torch.float64)


def warmup_poly(steps: int, factor: float, warmup: int, method: str, power: float, ending: float) -> torch.Tensor:
    """detectron2's WarmupPolyLR (projects/DeepLab), which is not published on its own, from its formula."""
    rates = []
    for step in range(40):
        if step >= steps:
            break
        if step >= warmup:
            warm = 1.0
        elif method == "constant":
            warm = factor
        else:
            alpha = step / warmup
            warm = factor * (1 - alpha) + alpha
        decay = math.pow(1.0 - step / steps, power)
        if ending > 0 and warm == 1.0 and decay < ending:
            rates.append(0.3 * ending)
        else:
            rates.append(0.3 * warm * decay)
    return torch.tensor(rates, dtype=torch.float64)


def schedules() -> None:
    # Torch's cosine comes up again behind its end, where ours stays: 39 is the last step that is compared.
    cases = {
        "polynomial": scheduled(lambda o: lr_scheduler.PolynomialLR(o, 30, power=0.9)),
        "cosine": scheduled(lambda o: lr_scheduler.CosineAnnealingLR(o, 39, eta_min=0.01)),
        "multi-step": scheduled(lambda o: lr_scheduler.MultiStepLR(o, [5, 6, 20], gamma=0.5)),
        "linear": scheduled(lambda o: lr_scheduler.LinearLR(o, 0.1, 0.8, total_iters=12)),
        "sequential": scheduled(
            lambda o: lr_scheduler.SequentialLR(
                o,
                [lr_scheduler.LinearLR(o, 0.01, 1.0, total_iters=8), lr_scheduler.CosineAnnealingLR(o, 40)],
                milestones=[8],
            )
        ),
        "warmup-poly": warmup_poly(40, 0.001, 10, "linear", 0.9, 0.0),
        "warmup-poly-constant": warmup_poly(40, 0.25, 6, "constant", 0.9, 0.0),
        "warmup-poly-ending": warmup_poly(40, 0.001, 10, "linear", 0.9, 0.3),
    }
    save_case("training/schedules", {f"out/{name}": rates for name, rates in cases.items()}, {"rate": 0.3})


def averages() -> None:
    generator = seeded(5)
    values = torch.randn(STEPS, 6, generator=generator).float().double()
    model = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(6, dtype=torch.float64))])
    plain = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    warm = EMAModel(list(model.parameters()), decay=0.6)
    outs = {"plain": [], "warm": []}
    for value in values:
        model[0].data.copy_(value)
        plain.update_parameters(model)
        warm.step(model.parameters())
        outs["plain"].append(plain.module[0].detach().clone())
        outs["warm"].append(warm.shadow_params[0].detach().clone())
    tensors = {f"out/{name}": torch.stack(each) for name, each in outs.items()}
    save_case("training/averages", {"in/values": values, **tensors}, {"plain": 0.9, "warm": 0.6})


if __name__ == "__main__":
    optimizer_case("adamw", torch.optim.AdamW, 0.02, 0.05, {"betas": [0.9, 0.99], "eps": 1e-6})
    optimizer_case("sgd", torch.optim.SGD, 0.02, 0.05, {"momentum": 0.9})
    optimizer_case("sgd-nesterov", torch.optim.SGD, 0.02, 0.05, {"momentum": 0.8, "nesterov": True})
    schedules()
    averages()
