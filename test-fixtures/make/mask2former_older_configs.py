"""The configuration of a small Mask2Former as older versions of transformers save it, with every field that they write: each version is put
into a folder of its own, with the huggingface_hub that it asks for.
"""
# requirements: requirements-older.txt
import json
import pathlib
import subprocess
import sys
import tempfile

VERSIONS = {"4.26.1": "0.19.4", "4.30.2": "0.19.4", "4.36.2": "0.19.4", "4.45.2": "0.36.0", "4.57.1": "0.36.0"}
GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "mask2former"
PROGRAM = """
import sys, types
# A configuration needs none of the packages whose versions are compared.
check = types.ModuleType("transformers.dependency_versions_check")
check.dep_version_check = lambda *_, **__: None
sys.modules[check.__name__] = check
from transformers import Mask2FormerConfig, SwinConfig
stages = ["stage1", "stage2", "stage3", "stage4"]
backbone = SwinConfig(embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4, image_size=64, out_features=stages)
config = Mask2FormerConfig(backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, num_labels=7)
config.architectures = ["Mask2FormerForUniversalSegmentation"]
print(config.to_json_string(use_diff=False))
"""


def saved(version: str, hub: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        subprocess.run([*install, f"transformers=={version}", f"huggingface_hub=={hub}"], check=True)
        program = f"import sys; sys.path.insert(0, {folder!r})\n{PROGRAM}"
        return json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    configs = {version: saved(version, hub) for version, hub in VERSIONS.items()}
    (GOLDEN / "older-configs.json").write_text(json.dumps(configs, sort_keys=True) + "\n")
