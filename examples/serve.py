"""The winner behind HTTP, with ONNX Runtime and FastAPI; Sparrow is not needed to run it.

sparrow export runs/mine:3 --to onnx --out detector.onnx     # trial 3 of the study runs/mine
pip install fastapi uvicorn onnxruntime pillow
MODEL=detector.onnx uvicorn examples.serve:app
curl --data-binary @image.jpg localhost:8000/detect
"""

import io
import json
import os

import numpy as np
import onnxruntime
from fastapi import FastAPI, Request
from PIL import Image


def serve(model):
    """An application that detects with an exported file."""
    session = onnxruntime.InferenceSession(model)
    facts = session.get_modelmeta().custom_metadata_map
    height, width = json.loads(facts["input_size"])
    classes = json.loads(facts["classes"])
    if facts["resize"] != "stretch":
        raise ValueError(f"{model}: images have to be placed on its input by {facts['resize']}")
    app = FastAPI()

    @app.post("/detect")
    async def detect(request: Request, threshold: float = 0.5):
        image = Image.open(io.BytesIO(await request.body())).convert("RGB")
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        batch = (pixels.astype(np.float32) / 255).transpose(2, 0, 1)[None]
        boxes, scores, labels = session.run(["boxes", "scores", "labels"], {"images": batch})
        sides = np.array(image.size * 2)  # boxes are in fractions of the input
        return [
            {"class": classes[int(label) - 1], "score": float(score), "box": (box * sides).tolist()}
            for box, score, label in zip(boxes[0], scores[0], labels[0], strict=True)
            if label > 0 and score >= threshold
        ]

    return app


if "MODEL" in os.environ:
    app = serve(os.environ["MODEL"])
