"""A trainer of your own: Sparrow says what to train, you say how good it has become.

    python examples/own_trainer.py runs/own

The loop below stands for yours: it draws squares on noise, and trains in plain PyTorch. Ended at
any time, the study goes on where it was when the script is started again.
"""

import sys
from pathlib import Path

import torch

from detectors import Detector
from launch import Study
from searchspace import load_space


def batch(count, side, seed):
    """Images with one bright square each, and their targets in torchvision's form."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.5 * torch.rand(count, 3, side, side, generator=generator)
    targets = []
    for image in images:
        x, y = torch.randint(side // 2, (2,), generator=generator).tolist()
        image[:, y : y + side // 4, x : x + side // 4] = 1
        box = torch.tensor([[x, y, x + side // 4, y + side // 4]], dtype=torch.float32)
        targets.append({"boxes": box, "labels": torch.tensor([1])})
    return images, targets


def train(config, steps):
    detector = Detector(config.detector, ("square",))
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    for step in range(steps):
        losses = detector(*batch(8, config.detector.size[0], seed=step))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    return detector.eval()


@torch.inference_mode()
def hits(detector, count=8):
    """The share of images on which the best detection covers the middle of the square."""
    images, targets = batch(count, detector.config.size[0], seed=-1)
    good = 0
    for found, target in zip(detector(images), targets, strict=True):
        if len(found["boxes"]):
            left, top, right, bottom = found["boxes"][0]
            x, y = (target["boxes"][0, :2] + target["boxes"][0, 2:]) / 2
            good += bool(left <= x <= right and top <= y <= bottom)
    return good / count


def main(folder, space="quick", trials=8, steps=100):
    if Path(folder, "study.json").exists():
        study = Study.open(folder)
    else:
        study = Study.create(folder, one_class(space), objectives=("ar_1", "fps"), trials=trials)
    with study:
        while (trial := study.ask()) is not None:
            detector = train(trial.config, steps)
            detector.save(trial.detector)  # for member.load() and member.predict()
            study.tell(trial, {"ar_1": hits(detector)})  # FPS is measured by Sparrow
        return study.front()


def one_class(space):
    return load_space(space).fix("detector.num_classes", 1)


if __name__ == "__main__":
    print(main(sys.argv[1]).to_pandas()[["ar_1", "fps", "design"]])
