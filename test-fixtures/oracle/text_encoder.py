"""Makes two diffusers folders with a small random text encoder and the real tokenizer, and says what transformers makes of texts.

text_encoder.py FOLDER      writes FOLDER/published, as Stable Diffusion 2 was published (pytorch_model.bin with position_ids,
                            vocab.json, merges.txt), FOLDER/saved, as transformers 5 saves it, and FOLDER/results.json
"""
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "make"))

import torch
from common import randomize
from text_encoder_tokenizer import write_folders
from transformers import CLIPTextConfig, CLIPTextModel

TEXTS = ["a photo of a potted plant", "Wow! A café, 3 dogs & 👩‍👩‍👧‍👦", "", "sky, building, tree, road, " * 40]
CONFIG = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "hidden_act": "gelu",
          "eos_token_id": 2, "bos_token_id": 0}  # fmt: skip


def main(root: pathlib.Path) -> None:
    model = randomize(CLIPTextModel(CLIPTextConfig(**CONFIG)), 5)
    tokenizer = write_folders(root / "tokenizers")["sd2"]
    published, saved = root / "published", root / "saved"
    for folder in (published, saved):
        (folder / "text_encoder").mkdir(parents=True)
        (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    shutil.copytree(root / "tokenizers/sd2", published / "tokenizer")
    state = {f"text_model.{key}": value for key, value in model.state_dict().items()}
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    torch.save(state, published / "text_encoder/pytorch_model.bin")
    model.save_pretrained(saved / "text_encoder")
    shutil.copy(saved / "text_encoder/config.json", published / "text_encoder/config.json")
    tokenizer.save_pretrained(saved / "tokenizer")
    batch = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")
    with torch.no_grad():
        out = model(batch.input_ids)
    results = {"texts": TEXTS, "last": out.last_hidden_state.flatten().tolist(), "pooled": out.pooler_output.flatten().tolist()}
    (root / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
