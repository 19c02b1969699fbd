"""Whole training steps of both stages in PyTorch: diffusers, peft, transformers, and LPIPS on VGG16, with random weights at full size."""

import torch
import torch.nn.functional as F

from rows_models import CONFIGS, config, mask2former_config, unet_model

SIZE, LATENTS, TAGS, CLASSES = 512, 64, 5, 150
JUDGED = 250
GUIDANCE = 7.5
VGG = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]]


def alphas():
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return torch.cumprod(1 - betas, 0)


def adapted(extra=()):
    from peft import LoraConfig, get_peft_model

    targets = [*(CONFIGS / "lora-targets.txt").read_text().split(), *extra]
    unet = unet_model().train()
    unet.enable_gradient_checkpointing()
    unet = get_peft_model(unet, LoraConfig(r=4, init_lora_weights="gaussian", target_modules=targets))
    base = unet.base_model.model.conv_in.base_layer
    base.requires_grad_(True)
    return unet


class Vgg(torch.nn.Module):
    def __init__(self):
        super().__init__()
        inputs, groups = 3, []
        for widths in VGG:
            layers = []
            for width in widths:
                layers += [torch.nn.Conv2d(inputs, width, 3, padding=1), torch.nn.ReLU()]
                inputs = width
            groups.append(torch.nn.Sequential(*layers))
        self.groups = torch.nn.ModuleList(groups)
        self.weights = torch.nn.ModuleList(torch.nn.Conv2d(widths[-1], 1, 1, bias=False) for widths in VGG)
        self.requires_grad_(False)

    def features(self, x):
        out = []
        for i, group in enumerate(self.groups):
            x = group(F.max_pool2d(x, 2) if i else x)
            out.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return out

    def forward(self, a, b):
        pairs = zip(self.weights, self.features(a), self.features(b))
        return sum(weight((x - y) ** 2).mean() for weight, x, y in pairs)


class Probabilities:
    """An attention processor that keeps what the way up attends to."""

    def __init__(self, kept):
        self.kept = kept

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key)
        self.kept.append(probabilities)
        out = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        return attn.to_out[1](attn.to_out[0](out))


def watch_attention(unet):
    """Blocks are computed again in the backward pass: those that are watched must not be, or the kept maps would carry no gradient."""
    kept = []
    for block in unet.base_model.model.up_blocks:
        block.gradient_checkpointing = False
        for name, module in block.named_modules():
            if name.endswith("attn2"):
                module.set_processor(Probabilities(kept))
    return kept


def alignment(kept):
    """The area and pixel terms of each size, the tags' masks being stripes."""
    by_size = {}
    for p in kept:
        by_size.setdefault(p.shape[1], []).append(p.mean(0))
    total = 0
    for cells, maps in by_size.items():
        side = int(cells**0.5)
        mean = torch.stack(maps).mean(0)
        tags = torch.stack([mean[:, 1 + 2 * i : 3 + 2 * i].sum(1) for i in range(TAGS)], 1)
        columns = torch.arange(side).repeat(side) * TAGS // side
        masks = F.one_hot(columns, TAGS).float()
        inside = (masks * tags).sum(0) / (tags.sum(0) + 1e-6)
        share = tags / (tags.sum(1, keepdim=True) + 1e-6)
        total = total + ((1 - inside) ** 2).mean() - 0.1 * (masks * torch.log(share + 1e-6)).sum(1).mean()
    return total / len(by_size)


def scr_row():
    from diffusers import AutoencoderKL

    unet = adapted(["conv_out"])
    kept = watch_attention(unet)
    vae = AutoencoderKL.from_config(config("vae")).train().requires_grad_(False)
    vae.enable_gradient_checkpointing()
    del vae.encoder
    vgg = Vgg()
    ab = alphas()[JUDGED]
    latents, noise = torch.randn(1, 4, LATENTS, LATENTS), torch.randn(1, 4, LATENTS, LATENTS)
    text, negative = torch.randn(1, 77, 1024), torch.randn(1, 77, 1024)
    target = torch.rand(1, 3, SIZE, SIZE) * 2 - 1
    trained = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.01)

    def judged(z):
        """CSD: PiSA-SR's direction, from the free guess to the guided one, by the model without its LoRA."""
        with torch.no_grad(), unet.disable_adapter():
            noised = ab.sqrt() * z + (1 - ab).sqrt() * noise
            guesses = []
            for condition in (text, negative):
                e = unet(noised, JUDGED, encoder_hidden_states=condition).sample
                guesses.append((noised - (1 - ab).sqrt() * e) / ab.sqrt())
            led, free = guesses
            led = free + GUIDANCE * (led - free)
            direction = (free - led) / (z - led).abs().mean()
        return F.mse_loss(z, (z - direction).detach())

    def run():
        kept.clear()
        optimizer.zero_grad(set_to_none=True)
        restored = latents - unet(latents, 1, encoder_hidden_states=text).sample
        maps = list(kept)
        image = vae.decode(restored / 0.18215).sample
        loss = F.mse_loss(image, target) + 2 * vgg(image, target) + judged(restored) + alignment(maps)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return loss

    return run


class Projection(torch.nn.Module):
    """A bottleneck residual block with group norms."""

    def __init__(self, inputs, outputs=512, inner=128):
        super().__init__()
        conv = lambda a, b, k: torch.nn.Sequential(torch.nn.Conv2d(a, b, k, padding=k // 2, bias=False), torch.nn.GroupNorm(32, b))  # noqa: E731
        self.first, self.second, self.third = conv(inputs, inner, 1), conv(inner, inner, 3), conv(inner, outputs, 1)
        self.shortcut = conv(inputs, outputs, 1) if inputs != outputs else torch.nn.Identity()

    def forward(self, x):
        out = self.third(F.relu(self.second(F.relu(self.first(x)))))
        return F.relu(out + self.shortcut(x))


# Module, channels, which level.
TAPS = [("vae.1", 256, 0), ("vae.3", 512, 1), ("unet.0", 1280, 3), ("unet.1", 1280, 2), ("unet.2", 640, 1), ("unet.3", 320, 1)]
SIDES = (128, 64, 32, 16)


def seg_row():
    from diffusers import AutoencoderKL
    from transformers.models.mask2former import modeling_mask2former as parts

    unet = adapted()
    vae = AutoencoderKL.from_config(config("vae")).eval().requires_grad_(False)
    del vae.decoder
    seen = {}
    for name, module in (("vae", vae.encoder.down_blocks), ("unet", unet.base_model.model.up_blocks)):
        for i, block in enumerate(module):
            block.register_forward_hook(lambda _, __, out, key=f"{name}.{i}": seen.__setitem__(key, out))
    projections = torch.nn.ModuleList(Projection(channels) for _, channels, _ in TAPS)
    settings = mask2former_config()
    pixel = parts.Mask2FormerPixelDecoder(settings, feature_channels=[512] * 4)
    torch.nn.init.normal_(pixel.level_embed)
    transformer = parts.Mask2FormerTransformerModule(in_features=settings.feature_size, config=settings)
    classes = torch.nn.Linear(settings.hidden_dim, CLASSES + 1)
    weights = {"loss_cross_entropy": 2.0, "loss_mask": 5.0, "loss_dice": 5.0}
    criterion = parts.Mask2FormerLoss(settings, weights)
    trained = [p for m in (unet, projections, pixel, transformer, classes) for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.01)
    image, text = torch.rand(1, 3, SIZE, SIZE) * 2 - 1, torch.randn(1, 77, 1024)
    stripe = torch.arange(SIZE) * 10 // SIZE
    masks = [torch.stack([(stripe == i).float().expand(SIZE, SIZE) for i in range(10)])]
    labels = [torch.arange(10)]

    def run():
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            z = vae.encode(image).latent_dist.mean * 0.18215
        unet(z, 1, encoder_hidden_states=text)
        levels = [0, 0, 0, 0]
        for (key, _, level), projection in zip(TAPS, projections):
            x = seen[key]
            side = SIDES[level]
            levels[level] = levels[level] + projection(x if x.shape[-1] == side else F.interpolate(x, size=(side, side)))
        decoded = pixel(levels, return_dict=True)
        out = transformer(decoded.multi_scale_features, decoded.mask_features, output_hidden_states=True)
        logits = [classes(x.transpose(0, 1)) for x in out.intermediate_hidden_states]
        auxiliary = [dict(class_queries_logits=c, masks_queries_logits=m) for c, m in zip(logits[:-1], out.masks_queries_logits[:-1])]
        found = criterion(out.masks_queries_logits[-1], logits[-1], masks, labels, auxiliary)
        loss = sum(value * next(w for name, w in weights.items() if key.startswith(name)) for key, value in found.items())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 0.01)
        optimizer.step()
        return loss

    return run


ROWS = {"scr-step": scr_row, "seg-step": seg_row}
