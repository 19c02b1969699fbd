"""diffusers' attention and feed-forward modules, for @rass/nn."""
import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention, AttnProcessor

from common import randomize, save_case, seeded


def save_module(name: str, module: torch.nn.Module, inputs: dict[str, torch.Tensor], out: torch.Tensor, config: dict) -> None:
    weights = dict(module.named_parameters())
    dy = torch.randn(out.shape, generator=seeded(99))
    wanted = {**inputs, **{f"w/{k}": v for k, v in weights.items()}}
    grads = torch.autograd.grad((out * dy).sum(), list(wanted.values()))
    tensors = {f"w/{k}": v for k, v in weights.items()}
    tensors |= {f"in/{k}": v for k, v in inputs.items()}
    tensors |= {f"grad/{k}": g for k, g in zip(wanted, grads)}
    save_case(f"nn/{name}", {**tensors, "in/dy": dy, "out/y": out}, config)


def cross_attention() -> None:
    module = randomize(Attention(query_dim=12, cross_attention_dim=10, heads=3, dim_head=4, processor=AttnProcessor()), 1)
    x = torch.randn(2, 9, 12, generator=seeded(2)).requires_grad_()
    context = torch.randn(2, 5, 10, generator=seeded(3)).requires_grad_()
    out = module(x, encoder_hidden_states=context)
    probabilities = module.get_attention_scores(
        module.head_to_batch_dim(module.to_q(x)), module.head_to_batch_dim(module.to_k(context))
    ).reshape(2, 3, 9, 5)
    save_module("cross-attention", module, {"x": x, "context": context}, out, {"width": 12, "context": 10, "heads": 3})
    save_case("nn/cross-attention-probabilities", {"out/probabilities": probabilities}, {})


def feed_forward() -> None:
    module = randomize(FeedForward(8, activation_fn="geglu"), 4)
    x = torch.randn(2, 7, 8, generator=seeded(5)).requires_grad_()
    save_module("geglu-feed-forward", module, {"x": x}, module(x), {"width": 8})


if __name__ == "__main__":
    cross_attention()
    feed_forward()
