"""diffusers' DDPMScheduler and DDIMScheduler, for the noise schedules of @rass/unet: shares of signal, timesteps, noising
and single steps from random samples and predictions."""
from __future__ import annotations

import inspect

import torch
from diffusers import DDIMScheduler, DDPMScheduler

from common import save_case, seeded

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CURVES = {
    "linear": {},
    "scaled_linear": SD,
    "squaredcos_cap_v2": {"beta_schedule": "squaredcos_cap_v2"},
    "zero-snr": {**SD, "rescale_betas_zero_snr": True},
    "given": {"trained_betas": [0.1, 0.01, 0.5, 0.2]},
}
COUNTS = [1, 2, 3, 4, 6, 7, 9, 10, 11, 13, 20, 25, 30, 50, 60, 128, 300, 999, 1000]
SPACINGS = [("leading", 0), ("leading", 1), ("trailing", 0), ("linspace", 0)]
SHAPE = (2, 3, 4, 2)
# Changes of the config, number of steps, eta, use_clipped_model_output (the last two are DDIM's).
STEPS = {
    "epsilon": ({"clip_sample": False}, 4, 0, False),
    "sample": ({"clip_sample": False, "prediction_type": "sample"}, 4, 0.5, False),
    "v": ({"clip_sample": False, "prediction_type": "v_prediction", "steps_offset": 1}, 4, 1, False),
    "clipped": ({"prediction_type": "v_prediction", "clip_sample_range": 0.8}, 4, 0.5, True),
    "clipped-plain": ({"prediction_type": "epsilon"}, 3, 0, False),
    "not-to-one": ({"clip_sample": False, "set_alpha_to_one": False, "timestep_spacing": "trailing"}, 7, 0.3, False),
    "linspace": ({"clip_sample": False, "timestep_spacing": "linspace", "variance_type": "fixed_large"}, 6, 0, False),
    "logarithmic": ({"clip_sample": False, "variance_type": "fixed_small_log"}, 4, 0, False),
    "zero-snr": (
        {"clip_sample": False, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
        3,
        0.5,
        False,
    ),
}


def curves() -> None:
    shares = {k: DDPMScheduler(**config).alphas_cumprod for k, config in CURVES.items()}
    save_case("unet/schedule-shares", {f"out/{k}": v for k, v in shares.items()}, CURVES)


def timesteps() -> None:
    cases = []
    for spacing, offset in SPACINGS:
        for count in COUNTS:
            if offset + (count - 1) * (1000 // count) > 999:
                continue
            for scheduler in (DDPMScheduler, DDIMScheduler):
                s = scheduler(timestep_spacing=spacing, steps_offset=offset)
                s.set_timesteps(count)
                steps = s.timesteps.tolist()
            # Long lists by their first, last and sum.
            short = steps if count <= 60 else [steps[0], steps[-1], sum(steps)]
            cases.append({"spacing": spacing, "offset": offset, "count": count, "steps": short})
    fields = {c.__name__: [n for n in inspect.signature(c.__init__).parameters if n != "self"] for c in (DDPMScheduler, DDIMScheduler)}
    save_case("unet/schedule-timesteps", {"none": torch.zeros(1)}, {"cases": cases, "fields": fields})


def only(scheduler, config: dict) -> dict:
    return {k: v for k, v in config.items() if k in inspect.signature(scheduler.__init__).parameters}


def steps() -> None:
    for name, (changes, count, eta, clipped) in STEPS.items():
        config = {**SD, **changes}
        g = seeded(len(name))
        ddpm, ddim = DDPMScheduler(**only(DDPMScheduler, config)), DDIMScheduler(**only(DDIMScheduler, config))
        ddpm.set_timesteps(count)
        ddim.set_timesteps(count)
        tensors = {}
        for i, t in enumerate(ddpm.timesteps):
            sample, prediction = torch.randn(SHAPE, generator=g), torch.randn(SHAPE, generator=g)
            noise = torch.randn(SHAPE, generator=seeded(i))
            a = ddpm.step(prediction, t, sample, generator=seeded(i))
            b = ddim.step(prediction, int(t), sample, eta=eta, use_clipped_model_output=clipped, variance_noise=noise)
            tensors |= {f"{i}/sample": sample, f"{i}/prediction": prediction, f"{i}/noise": noise}
            tensors |= {f"{i}/ddpm": a.prev_sample, f"{i}/ddim": b.prev_sample, f"{i}/clean": a.pred_original_sample.clone()}
        clean, noise = torch.randn(SHAPE, generator=g), torch.randn(SHAPE, generator=g)
        at = torch.tensor([3, 750])
        tensors |= {"clean": clean, "noise": noise}
        tensors |= {"noised": ddpm.add_noise(clean, noise, at), "velocity": ddpm.get_velocity(clean, noise, at)}
        case = {"schedule": config, "count": count, "eta": eta, "clipped": clipped, "at": at.tolist()}
        save_case(f"unet/schedule-steps-{name}", tensors, case)


if __name__ == "__main__":
    torch.set_num_threads(1)
    curves()
    timesteps()
    steps()
