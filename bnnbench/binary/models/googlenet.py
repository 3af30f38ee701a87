"""GoogLeNet (Szegedy et al. 2015) with a batch normalisation after every convolution."""

import torch
from torch import Tensor, nn

from bnnbench.binary.models.parts import Parts
from bnnbench.errors import UserError

# For each module: 1x1, (1x1 before) 3x3, (1x1 before) 5x5, and 1x1 after pooling (Table 1 there).
STAGES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    ((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
     (256, 160, 320, 32, 128, 128)),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip
AUXILIARY = (2, 5)  # modules 4a and 4d, counted from 3a


class GoogLeNet(nn.Module):
    """[N, 3, crop, crop] -> [N, n_classes], for each head; the auxiliary heads compute in training only.

    Where the original pools between stages, each branch pools before its BatchNorm and activation, in the order of the
    paper's nets. `width` scales all channels.
    """

    def __init__(
        self, parts: Parts, n_classes: int, crop: int = 224, *, width: float = 1.0, auxiliary: bool = False
    ) -> None:
        super().__init__()
        side = (crop + 1) // 2 // 8  # of the fourth stage: the first convolution rounds up, the pools down
        if side < (5 if auxiliary else 2):
            what = "GoogLeNet's auxiliary classifiers need" if auxiliary else "GoogLeNet needs"
            raise UserError(f"crop {crop} is too small: {what} at least {79 if auxiliary else 31} pixels")

        def wide(channels: int) -> int:
            return max(1, round(channels * width))

        self.stem = nn.Sequential(
            *_pooled_block(parts, 3, wide(64), 7, stride=2, padding=3),
            *parts.conv_block(wide(64), wide(64), 1),
            *_pooled_block(parts, wide(64), wide(192), 3, padding=1),
        )
        self.inceptions = nn.ModuleList()
        self.auxiliary = nn.ModuleDict()
        channels = wide(192)
        for stage in STAGES:
            for plan in stage:
                pool = plan is stage[-1] and stage is not STAGES[-1]
                inception = Inception(parts, channels, tuple(map(wide, plan)), pool=pool)
                channels = inception.channels
                if auxiliary and len(self.inceptions) in AUXILIARY:
                    head = _auxiliary(parts, channels, wide(128), wide(1024), side, n_classes)
                    self.auxiliary[str(len(self.inceptions))] = head
                self.inceptions.append(inception)
        self.classifier = nn.Sequential(*parts.classifier(channels, n_classes))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the classifier, and in training those of the auxiliary ones."""
        x = self.stem(x)
        side_outputs = []
        for i, inception in enumerate(self.inceptions):
            x = inception(x)
            if self.training and str(i) in self.auxiliary:
                side_outputs.append(self.auxiliary[str(i)](x))
        return (self.classifier(x.mean(dim=(2, 3))), *side_outputs)


class Inception(nn.Module):
    """Four branches side by side, [N, channels_in, H, W] -> [N, channels, H, W]; half the side with `pool`."""

    def __init__(self, parts: Parts, channels_in: int, plan: tuple[int, ...], *, pool: bool) -> None:
        super().__init__()
        one, before_three, three, before_five, five, after_pool = plan
        block = _pooled_block if pool else _block
        self.channels = one + three + five + after_pool
        self.branches = nn.ModuleList([
            nn.Sequential(*block(parts, channels_in, one, 1)),
            nn.Sequential(*_block(parts, channels_in, before_three, 1),
                          *block(parts, before_three, three, 3, padding=1)),
            nn.Sequential(*_block(parts, channels_in, before_five, 1), *block(parts, before_five, five, 5, padding=2)),
            nn.Sequential(nn.MaxPool2d(3, 1, padding=1), *block(parts, channels_in, after_pool, 1)),
        ])  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """All branches, concatenated by channel."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _block(parts: Parts, channels_in: int, channels_out: int, kernel: int, padding: int = 0) -> list[nn.Module]:
    return parts.conv_block(channels_in, channels_out, kernel, padding=padding)


def _pooled_block(
    parts: Parts, channels_in: int, channels_out: int, kernel: int, padding: int = 0, stride: int = 1
) -> list[nn.Module]:
    """Convolution - max-pool (3, stride 2, rounded up) - BatchNorm - activation."""
    conv, *rest = parts.conv_block(channels_in, channels_out, kernel, stride=stride, padding=padding)
    return [conv, nn.MaxPool2d(3, 2, ceil_mode=True), *rest]


def _auxiliary(parts: Parts, channels_in: int, channels: int, units: int, side: int, n_classes: int) -> nn.Sequential:
    """Average pooling (5, stride 3) - 1x1 convolution - dense - classifier."""
    left = (side - 5) // 3 + 1
    return nn.Sequential(
        nn.AvgPool2d(5, 3),
        *parts.conv_block(channels_in, channels, 1),
        nn.Flatten(),
        *parts.dense_block(channels * left**2, units),
        *parts.classifier(units, n_classes),
    )
