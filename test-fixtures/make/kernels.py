"""What torch computes for the ops of @rass/kernels: outputs and gradients of sum(output * weights)."""
import torch
import torch.nn.functional as F

from common import save_case, seeded


def gradients(out: torch.Tensor, inputs: dict[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The gradient of sum(out * dy) for a fixed random dy."""
    dy = torch.randn(out.shape, generator=generator)
    grads = torch.autograd.grad((out * dy).sum(), list(inputs.values()))
    return {"in/dy": dy, **{f"grad/{k}": g for k, g in zip(inputs, grads)}}


def case(name: str, inputs: dict[str, torch.Tensor], out: torch.Tensor, config: dict, generator: torch.Generator) -> None:
    tensors = {f"in/{k}": v for k, v in inputs.items()}
    save_case(f"kernels/{name}", {**tensors, "out/y": out, **gradients(out, inputs, generator)}, config)


def activations() -> None:
    g = seeded(1)
    x = (3 * torch.randn(4, 10, generator=g)).requires_grad_()
    case("silu", {"x": x}, F.silu(x), {}, g)
    case("gelu", {"x": x}, F.gelu(x), {}, g)
    case("quick-gelu", {"x": x}, x * torch.sigmoid(1.702 * x), {}, g)
    value, gate = x.chunk(2, dim=-1)
    case("geglu", {"x": x}, value * F.gelu(gate), {}, g)


def norms() -> None:
    g = seeded(2)
    # An offset far from zero shows a variance that cancels.
    x = (torch.randn(2, 12, 5, 7, generator=g) * 2 + 20).requires_grad_()
    w = torch.randn(12, generator=g).requires_grad_()
    b = torch.randn(12, generator=g).requires_grad_()
    case("group-norm", {"x": x, "weight": w, "bias": b}, F.group_norm(x, 4, w, b, 1e-6), {"groups": 4, "epsilon": 1e-6}, g)
    case("group-norm-silu", {"x": x, "weight": w, "bias": b}, F.silu(F.group_norm(x, 3, w, b, 1e-5)), {"groups": 3, "epsilon": 1e-5}, g)
    y = (torch.randn(3, 5, 12, generator=g) + 4).requires_grad_()
    case("layer-norm", {"x": y, "weight": w, "bias": b}, F.layer_norm(y, [12], w, b, 1e-5), {"epsilon": 1e-5}, g)


def convolutions() -> None:
    g = seeded(3)
    for name, (size, kernel, stride, padding, dilation) in {
        "conv-3x3": ((6, 9), 3, 1, 1, 1),
        "conv-stride-2": ((7, 10), 3, 2, 1, 1),
        "conv-1x1": ((5, 4), 1, 1, 0, 1),
        "conv-dilated": ((9, 8), 3, 1, 2, 2),
    }.items():
        x = torch.randn(2, 3, *size, generator=g).requires_grad_()
        w = torch.randn(4, 3, kernel, kernel, generator=g).requires_grad_()
        b = torch.randn(4, generator=g).requires_grad_()
        out = F.conv2d(x, w, b, stride, padding, dilation)
        case(name, {"x": x, "weight": w, "bias": b}, out, {"stride": stride, "padding": padding, "dilation": dilation}, g)
    x = torch.randn(2, 3, 6, 7, generator=g).requires_grad_()
    w = torch.randn(4, 3, 3, 3, generator=g).requires_grad_()
    b = torch.randn(4, generator=g).requires_grad_()
    out = F.conv2d(F.pad(x, (0, 1, 0, 1)), w, b, 2)
    case("conv-one-sided", {"x": x, "weight": w, "bias": b}, out, {"stride": 2, "padding": [[0, 1], [0, 1]], "dilation": 1}, g)
    x = torch.randn(2, 5, 6, generator=g).requires_grad_()
    w = torch.randn(4, 6, generator=g).requires_grad_()
    case("linear", {"x": x, "weight": w, "bias": b}, F.linear(x, w, b), {}, g)


def attention() -> None:
    g = seeded(4)
    q = torch.randn(2, 9, 8, generator=g).requires_grad_()
    k = torch.randn(2, 6, 8, generator=g).requires_grad_()
    v = torch.randn(2, 6, 8, generator=g).requires_grad_()
    heads = 2
    qh, kh, vh = (t.view(2, -1, heads, 4).transpose(1, 2) for t in (q, k, v))
    out = F.scaled_dot_product_attention(qh, kh, vh).transpose(1, 2).reshape(2, 9, 8)
    case("attention", {"q": q, "k": k, "v": v}, out, {"heads": heads, "causal": False}, g)
    out = F.scaled_dot_product_attention(kh, kh, vh, is_causal=True).transpose(1, 2).reshape(2, 6, 8)
    case("attention-causal", {"k": k, "v": v}, out, {"heads": heads, "causal": True}, g)


def resize_cases(method: str, options: dict[str, bool], g: torch.Generator) -> None:
    for size in ((17, 5), (4, 20)):
        x = torch.randn(2, 2, 9, 11, generator=g).requires_grad_()
        out = F.interpolate(x, size=size, mode=method, **options)
        suffix = "-".join(["", *options]).replace("_", "-")
        config = {"method": method, "size": size, "alignCorners": "align_corners" in options, "antialias": "antialias" in options}
        case(f"resize-{method}{suffix}-{size[0]}x{size[1]}", {"x": x}, out, config, g)


def resizes() -> None:
    g = seeded(5)
    # Nine rows: where float32 positions round differently, nearest neighbours would show it.
    for method, options in {
        "bilinear": [{}, {"align_corners": True}, {"antialias": True}],
        "bicubic": [{}, {"align_corners": True}, {"antialias": True}],
        "nearest": [{}],
        "nearest-exact": [{}],
    }.items():
        for o in options:
            resize_cases(method, o, g)
    # Of a generator of their own: cases that are added leave the others as they are.
    g = seeded(6)
    for method in ("bilinear", "bicubic"):
        resize_cases(method, {"antialias": True, "align_corners": True}, g)


if __name__ == "__main__":
    torch.set_num_threads(2)
    for make in (activations, norms, convolutions, attention, resizes):
        make()
