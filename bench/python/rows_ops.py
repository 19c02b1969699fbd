"""Single ops in PyTorch at the sizes of ../src/rows/op-list.ts."""

import torch
import torch.nn.functional as F

random = torch.randn


def image(size, channels):
    return random(1, channels, size, size)


def conv(row):
    size, inputs, outputs, kernel = (row[name] for name in ("size", "inputs", "outputs", "kernel"))
    x, weight, bias = image(size, inputs), random(outputs, inputs, kernel, kernel), random(outputs)
    return lambda: F.conv2d(x, weight, bias, stride=row.get("stride", 1), padding=kernel // 2)


def gradients(forward, leaves):
    leaves = [leaf.requires_grad_() for leaf in leaves]
    with torch.no_grad():
        dy = torch.randn_like(forward(*leaves))

    def run():
        with torch.enable_grad():
            out = forward(*leaves)
        return torch.autograd.grad(out, leaves, dy)

    return run


def conv_input_gradient(row):
    size, inputs, outputs, kernel = (row[name] for name in ("size", "inputs", "outputs", "kernel"))
    weight = random(outputs, inputs, kernel, kernel)
    return gradients(lambda x: F.conv2d(x, weight, padding=kernel // 2), [image(size, inputs)])


def linear(row):
    x, weight, bias = random(row["rows"], row["inputs"]), random(row["outputs"], row["inputs"]), random(row["outputs"])
    return lambda: F.linear(x, weight, bias)


def heads(x, count):
    return x.view(1, x.shape[1], count, -1).transpose(1, 2)


def attend(row):
    def forward(q, k, v):
        out = F.scaled_dot_product_attention(*(heads(x, row["heads"]) for x in (q, k, v)))
        return out.transpose(1, 2).reshape(q.shape)

    return forward


def attention_inputs(row):
    width = row["heads"] * row["headSize"]
    return [random(1, row[name], width) for name in ("queries", "keys", "keys")]


def attention(row):
    inputs, forward = attention_inputs(row), attend(row)
    return lambda: forward(*inputs)


def norm_silu(x, weight, bias):
    return F.silu(F.group_norm(x, 32, weight, bias))


def norm_inputs(row):
    channels = row["channels"]
    return [image(row["size"], channels), random(channels), random(channels)]


def group_norm_silu(row):
    inputs = norm_inputs(row)
    return lambda: norm_silu(*inputs)


def layer_norm(row):
    width = row["channels"]
    x, weight, bias = random(1, row["rows"], width), random(width), random(width)
    return lambda: F.layer_norm(x, (width,), weight, bias)


def silu(row):
    x = random(1, row["rows"], row["channels"])
    return lambda: F.silu(x)


def add(row):
    x = random(1, row["rows"], row["channels"])
    return lambda: x + x


def geglu(row):
    x = random(1, row["rows"], 2 * row["channels"])

    def run():
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate)

    return run


def concat(row):
    x, y = image(row["size"], row["channels"]), image(row["size"], row["channels"])
    return lambda: torch.cat([x, y], dim=1)


def upsample(row):
    x = image(row["size"], row["channels"])
    return lambda: F.interpolate(x, scale_factor=2.0, mode="nearest")


def deformable(row):
    """transformers' own form, which needs no kernel of its own."""
    from transformers.models.mask2former.modeling_mask2former import multi_scale_deformable_attention

    levels = [(row["size"] // stride,) * 2 for stride in (32, 16, 8)]
    pixels, heads, points = sum(rows * columns for rows, columns in levels), row["heads"], row["points"]
    value = random(1, pixels, heads, row["headSize"])
    places = torch.rand(1, pixels, heads, len(levels), points, 2)
    weights = random(1, pixels, heads, len(levels), points)
    return [value, places, weights], lambda v, p, w: multi_scale_deformable_attention(v, levels, p, w)


def deformable_forward(row):
    inputs, forward = deformable(row)
    return lambda: forward(*inputs)


def deformable_gradients(row):
    inputs, forward = deformable(row)
    return gradients(forward, inputs)


OPS = {
    "conv": conv,
    "convInputGradient": conv_input_gradient,
    "linear": linear,
    "attention": attention,
    "attentionGradients": lambda row: gradients(attend(row), attention_inputs(row)),
    "groupNormSilu": group_norm_silu,
    "groupNormSiluGradients": lambda row: gradients(norm_silu, norm_inputs(row)),
    "deformableAttention": deformable_forward,
    "deformableAttentionGradients": deformable_gradients,
    "layerNorm": layer_norm,
    "silu": silu,
    "add": add,
    "geglu": geglu,
    "concat": concat,
    "upsample": upsample,
}


def prepare(row):
    run = OPS[row["op"]](row)

    def without_gradients():
        with torch.no_grad():
            return run()

    return without_gradients
