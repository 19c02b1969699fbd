"""What transformers' CLIPTokenizer makes of seeded texts, for the tests of packages/text-encoder.

    python test-fixtures/make/text_encoder_tokenizer.py                      writes golden/text-encoder/tokenizer.json
    python test-fixtures/make/text_encoder_tokenizer.py FOLDER COUNT SEED    writes tokenizer folders and results there

The vocabulary is the one that the package ships: OpenAI's, with its hash checked.
"""
from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import re
import sys
import tempfile

from text_encoder_strings import every_character, texts
from transformers import CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parent
GENERATED = HERE.parents[1] / "packages/text-encoder/src/tokenizer/merges.generated.ts"
MERGES_SHA256 = "d308b7377a8ceaa9707a21614fe8c831b9196e197b7aeb69833359362907af02"
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
COUNTED = {"newer": 2000, "saved": 2000}  # texts for the folders that nobody publishes; all for the others
DETAILED = 800  # texts with spans, rows and decoded text; the others with ids alone


def read_vocabulary() -> tuple[dict[str, int], str]:
    """vocab.json's content and merges.txt's text."""
    text = GENERATED.read_text()
    planes = base64.b64decode(re.search(r"mergePlanes: string =\s*'([^']+)'", text)[1])
    n = len(planes) // 4
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]
    tokens = characters + [c + "</w>" for c in characters]
    lines = []
    for i in range(n):
        left, right = (tokens[planes[p + i] | planes[p + n + i] << 8] for p in (0, 2 * n))
        tokens.append(left + right)
        lines.append(f"{left} {right}\n")
    merges = "".join(lines)
    if hashlib.sha256(merges.encode()).hexdigest() != MERGES_SHA256:
        raise SystemExit(f"{GENERATED}: these are not CLIP's merges")
    tokens += [START, END]
    return {token: i for i, token in enumerate(tokens)}, "#version: 0.2\n" + merges


def entry(content: str, normalized: bool, **more: bool) -> dict:
    flags = {"lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}
    return {"content": content, **flags, **more}


def published_files(pad: str) -> dict[str, dict]:
    """The two JSON files of Stable Diffusion's own `tokenizer/` folders; Stable Diffusion 2 pads with "!"."""
    marker = {"bos_token": entry(START, True), "eos_token": entry(END, True), "unk_token": entry(END, True)}
    typed = {role: {"__type": "AddedToken", **token} for role, token in marker.items()}
    config = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": LENGTH}
    config |= {"pad_token": END, "tokenizer_class": "CLIPTokenizer", **typed}
    return {"tokenizer_config.json": config, "special_tokens_map.json": {**marker, "pad_token": pad}}


def newer_files() -> dict[str, dict]:
    """As transformers 4.40 saved them, with tokens added: raw, lower-cased, with the spaces around, special."""
    decoder = {
        "49406": entry(START, True, special=True),
        "49407": entry(END, False, special=True),
        "49408": entry("<cat-toy>", False, special=False),
        "49409": entry("Mood", True, special=False),
        "49410": entry("stripword", True, special=False, lstrip=True, rstrip=True),
        "49411": entry("keepword", True, special=True),
    }
    config = {"added_tokens_decoder": decoder, "model_max_length": LENGTH, "tokenizer_class": "CLIPTokenizer"}
    config |= {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END, "padding_side": "left"}
    config |= {"truncation_side": "left", "additional_special_tokens": ["keepword"], "clean_up_tokenization_spaces": True}
    return {"tokenizer_config.json": config}


def write_folders(root: pathlib.Path) -> dict[str, CLIPTokenizer]:
    vocab, merges = read_vocabulary()
    settings = {"bare": {}, "sd1": published_files(END), "sd2": published_files("!"), "newer": newer_files()}
    for name, files in settings.items():
        folder = root / name
        folder.mkdir(parents=True)
        (folder / "merges.txt").write_text(merges, encoding="utf-8")
        for file, content in {"vocab.json": vocab, **files}.items():
            (folder / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    tokenizers = {name: CLIPTokenizer.from_pretrained(str(root / name)) for name in settings}
    # What transformers 5 saves: tokenizer.json instead of vocab.json and merges.txt.
    tokenizers["newer"].save_pretrained(root / "saved")
    return {**tokenizers, "saved": CLIPTokenizer.from_pretrained(str(root / "saved"))}


def utf16_offsets(text: str, offsets: list[tuple[int, int]]) -> list[int]:
    """Start and end of each token, flattened, counted in UTF-16 units."""
    units = [0]
    for c in text:
        units.append(units[-1] + (2 if ord(c) > 0xFFFF else 1))
    return [units[x] for pair in offsets for x in pair]


def details(tokenizer: CLIPTokenizer, items: list[str]) -> dict:
    """Spans, rows of 77 and decoded texts."""
    plain = tokenizer(items, return_offsets_mapping=True)
    padded = tokenizer(items, padding="max_length", truncation=True, max_length=LENGTH)
    return {
        "spans": [utf16_offsets(text, offsets[1:-1]) for text, offsets in zip(items, plain["offset_mapping"])],
        "padded": padded["input_ids"],
        "mask": padded["attention_mask"],
        "decoded": tokenizer.batch_decode(plain["input_ids"]),
        "skipped": tokenizer.batch_decode(plain["input_ids"], skip_special_tokens=True),
    }


def write_live(root: pathlib.Path, count: int, seed: int) -> None:
    tokenizers = write_folders(root)
    items, every = texts(count, seed), every_character(128)
    some = items[:DETAILED]
    composed = tokenizers["bare"].backend_tokenizer.normalizer[0]
    content = {
        "texts": items,
        "ids": {name: tokenizer(items[: COUNTED.get(name)])["input_ids"] for name, tokenizer in tokenizers.items()},
        "details": {name: details(tokenizer, some) for name, tokenizer in tokenizers.items()},
        "unchanged": [composed.normalize_str(text) == text for text in some],
        "every": every,
        "everyIds": tokenizers["bare"](every)["input_ids"],
    }
    (root / "results.json").write_text(json.dumps(content))


def write_fixture() -> None:
    items = sorted(texts(900, 7), key=len)[:600]
    with tempfile.TemporaryDirectory() as folder:
        tokenizers = write_folders(pathlib.Path(folder))
    cases = [
        {
            "text": text,
            "sd1": tokenizers["sd1"](text)["input_ids"][1:-1],
            "sd2": tokenizers["sd2"](text)["input_ids"][1:-1],
            "decoded": tokenizers["sd1"].decode(tokenizers["sd1"](text)["input_ids"]),
        }
        for text in items
    ]
    path = HERE.parent / "golden/text-encoder/tokenizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(f"text-encoder/tokenizer: {path.stat().st_size} bytes, {len(cases)} texts")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        write_live(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    else:
        write_fixture()
