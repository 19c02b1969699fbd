"""Reads a folder of event files with TensorBoard's own reader, and prints what it finds as JSON."""
import io
import json
import sys

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader


def pixels(png: bytes) -> dict:
    image = Image.open(io.BytesIO(png))
    return {"mode": image.mode, "size": list(image.size), "data": list(image.tobytes())}


def main(folder: str, files: list[str]) -> None:
    reader = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0})
    reader.Reload()
    tags = reader.Tags()
    found = {
        "scalars": {tag: [[e.step, repr(e.value)] for e in reader.Scalars(tag)] for tag in tags["scalars"]},
        "images": {
            tag: [
                {"step": e.step, "width": e.width, "height": e.height, **pixels(e.encoded_image_string)}
                for e in reader.Images(tag)
            ]
            for tag in tags["images"]
        },
        # Each record's check sums are compared by this reader; it stops at one that is wrong.
        "events": [len(list(LegacyEventFileLoader(file).Load())) for file in files],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
