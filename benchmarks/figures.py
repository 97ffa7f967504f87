"""Plotly figures as PNG files, by a browser."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import plotly.graph_objects as go

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def write_png(figure: go.Figure, file: Path, width: int = 900, height: int = 560) -> None:
    """Write a figure of `width` x `height` pixels.

    Raises:
        RuntimeError: there is no browser, or it wrote no image.
    """
    figure.update_layout(width=width, height=height, template="plotly_white")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "figure.html"
        style = "<style>body { margin: 0 }</style>"
        page.write_text(style + figure.to_html({"staticPlot": True}, include_plotlyjs=True))
        screenshot(page, file, width, height)


def screenshot(page: Path, file: Path, width: int, height: int) -> None:
    """Write a picture of the top of an HTML page, given by its absolute path; raises as above."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise RuntimeError(f"{file} needs a browser: install one of {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "page.png"
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--virtual-time-budget=10000", f"--window-size={width},{height}",
            f"--screenshot={drawn}", page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, capture_output=True, timeout=120, check=False)
        if not drawn.is_file():
            raise RuntimeError(f"{browser} did not write {file}")
        shutil.copyfile(drawn, file)
