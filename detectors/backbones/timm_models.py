"""Feature extractors of timm."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from detectors.backbones.contract import Backbone
from detectors.building import builds
from detectors.features import Features
from searchspace.backbones import Timm


@builds(Timm)
class TimmNetwork(Backbone):
    """timm's own network up to the last tapped map, below `net`.

    Raises:
        ValueError: the installed timm has another network under the name.
    """

    def __init__(self, config: Timm, width: float) -> None:
        super().__init__()
        import timm  # here, because detectors without it need not wait for it

        try:
            net: Any = timm.create_model(
                config.name.partition(".")[0],
                pretrained=False,
                features_only=True,
                out_indices=config.indices,
            )
        except RuntimeError as error:
            raise ValueError(_differs(config, str(error))) from None
        self.net: nn.Module = net
        found = net.feature_info.channels(), net.feature_info.reduction()
        declared = [level.channels for level in config.levels(width, (1, 1)).maps]
        if found != (declared, list(config.taps)):
            raise ValueError(_differs(config, f"channels and strides are {found}"))
        self._drop_unread(len(declared))

    def forward(self, images: Tensor) -> Features:
        maps = list(self.net(images))
        return Features(maps=maps, top=maps[-1])

    def _drop_unread(self, maps: int) -> None:
        """Leave out the stages after the last tap, where timm itself does not."""
        blocks = getattr(self.net, "blocks", None)
        if not isinstance(blocks, nn.Sequential):
            return
        read = self._read_by(maps)
        last = max(int(name.split(".")[2]) for name in read if name.startswith("net.blocks."))
        del blocks[last + 1 :]


def _differs(config: Timm, found: str) -> str:
    import timm

    return (
        f"detector.backbone.name {config.name!r}: the installed timm {timm.__version__} has "
        f"another network under that name ({found}): install the version that this package names"
    )
