"""Backbones: from images to feature maps of several strides.

`CourseNet` is small and learns from scratch; `ResNet`, `VGG16` and `MobileNetV2` are torchvision's
networks, cut where their stride changes. All give a list of feature maps, finest first, and say
what they give in `out_channels` and `strides`.

Letters
    N     images in the batch
    C     channels of a feature map
    H, W  height and width of the images, in pixels

Lesson: 03
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB in [0, 1]
CHANNELS_PER_GROUP = 16  # of group normalisation; it needs no batch, so a batch of 2 trains too


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation in groups of `CHANNELS_PER_GROUP`, or one where that does not divide."""
    groups = channels // CHANNELS_PER_GROUP if channels % CHANNELS_PER_GROUP == 0 else 1
    return nn.GroupNorm(groups, channels)


def conv_norm(in_channels: int, out_channels: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    """A convolution that keeps the middle of each window in place, and its normalisation."""
    conv = nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(conv, group_norm(out_channels))


class ResidualBlock(nn.Module):
    """Two convolutions whose answer is added to what came in.   [He et al. 2016, Fig. 2]"""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.first = conv_norm(in_channels, out_channels, stride)
        self.second = conv_norm(out_channels, out_channels)
        same = in_channels == out_channels and stride == 1
        self.shortcut = (
            nn.Identity() if same else conv_norm(in_channels, out_channels, stride, size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H / stride, W / stride)"""
        y = F.relu(self.first(x), inplace=True)
        return F.relu(self.second(y) + self.shortcut(x), inplace=True)


class CourseNet(nn.Module):
    """A small residual network: stride 2 in the stem, then 4, 8, 16 as deep as `blocks` says.

    Args:
        stem_map: give the stem's map, of stride 2, as well. The weights are the same.
    """

    def __init__(
        self,
        stem_channels: int = 32,
        channels: Sequence[int] = (64, 128, 192),
        blocks: Sequence[int] = (1, 2, 2),
        stem_map: bool = False,
    ):
        super().__init__()
        self.stem_map = stem_map
        stem = (stem_channels,) * stem_map
        self.out_channels = (*stem, *channels)
        self.strides = ((2,) * stem_map) + tuple(4 * 2**i for i in range(len(channels)))
        self.stem = conv_norm(3, stem_channels, stride=2)
        stages, width = [], stem_channels
        for out, depth in zip(channels, blocks):
            first = ResidualBlock(width, out, stride=2)
            stages.append(
                nn.Sequential(first, *(ResidualBlock(out, out) for _ in range(depth - 1)))
            )
            width = out
        self.stages = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> a map (N, C, ceil(H / stride), ceil(W / stride)) for each stride."""
        x = F.relu(self.stem(images), inplace=True)
        features = [x] if self.stem_map else []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class FrozenNorm(FrozenBatchNorm2d):
    """Batch normalisation whose statistics never change, in one pass over the map.

    torchvision's own forward makes two passes, times scale and plus shift, each with a copy. In
    training nothing of the map is kept for the way back, whose slope is the scale alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        if x.requires_grad and torch.is_grad_enabled():
            scale = self.weight * (self.running_var + self.eps).rsqrt()
            shift = self.bias - self.running_mean * scale
            y = torch.addcmul(shift[:, None, None], x, scale[:, None, None])
            return y.to(x.dtype)  # with mixed precision that was half, and the sum is not
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class ResNet(nn.Module):
    """torchvision's resnet18 ... resnet152 up to their last convolution; strides 4, 8, 16, 32.

    Args:
        dilated: the last two strides of 2 become dilations of 2 and 4: strides 4, 8, 8, 8, with the
            same weights. Not of resnet18.   [Chen et al. 2016, DeepLab, section 3.1]
        c4: one map, of stride 16, from all but the last group of layers; that one, `layer4`, is for
            boxes, (R, C, S, S) -> (R, 2 C, S, S): its stride is 1.   [Mask R-CNN, Fig. 4 left]
    """

    def __init__(self, name: str = "resnet50", frozen_norm: bool = True, dilated: bool = False,
                 c4: bool = False):
        super().__init__()
        norm = FrozenNorm if frozen_norm else nn.BatchNorm2d
        if dilated and name == "resnet18":
            raise ValueError("resnet18 cannot be dilated: torchvision's plain blocks have no "
                             "dilation. Take resnet50 or resnet101.")
        dilation = {"replace_stride_with_dilation": (False, True, True)} if dilated else {}
        whole = getattr(models, name)(weights=None, norm_layer=norm, **dilation)
        for part in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"):
            self.add_module(part, getattr(whole, part))
        base = whole.fc.in_features
        self.out_channels = (base // 8, base // 4, base // 2, base)
        self.strides = (4, 8, 8, 8) if dilated else (4, 8, 16, 32)
        self.c4 = c4
        if c4:
            self.out_channels, self.strides = self.out_channels[2:3], self.strides[2:3]
            for layer in self.layer4.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.stride = (1, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> a map of each of the strides that `strides` says."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images)), inplace=True), 3, stride=2, padding=1)
        features = []
        for layer in (self.layer1, self.layer2, self.layer3):
            x = layer(x)
            features.append(x)
        return features[2:] if self.c4 else [*features, self.layer4(x)]

    def stages(self) -> list[nn.Module]:
        """What `freeze` freezes, first to last: stem, layer1 .. layer4."""
        return [
            nn.ModuleList([self.conv1, self.bn1]),
            self.layer1,
            self.layer2,
            self.layer3,
            self.layer4,
        ]


class Cut(nn.Module):
    """A torchvision network that is one long `features` list, cut after the given layers."""

    def __init__(
        self,
        features: nn.Sequential,
        cuts: Sequence[int],
        channels: Sequence[int],
        strides: Sequence[int],
    ):
        super().__init__()
        self.features = features[: cuts[-1]]
        self.cuts, self.out_channels, self.strides = tuple(cuts), tuple(channels), tuple(strides)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> one map for each of `strides`."""
        maps, x = [], images
        for i, layer in enumerate(self.features, start=1):
            x = layer(x)
            if i in self.cuts:
                maps.append(x)
        return maps

    def stages(self) -> list[nn.Module]:
        """What `freeze` freezes, first to last: the layers before each cut."""
        starts = (0, *self.cuts[:-1])
        return [self.features[a:b] for a, b in zip(starts, self.cuts)]


class VGG16(Cut):
    """torchvision's vgg16 up to conv5_3, without the last pooling; strides 4, 8, 16.

    Args:
        frozen_norm: without effect, as there are no norms.
        ceil_mode: pooling keeps the last odd row and column, as Caffe's does: 600 x 1000 pixels
            become 38 x 63 cells, not 37 x 62.
    """

    def __init__(self, frozen_norm: bool = True, ceil_mode: bool = False):
        features = models.vgg16(weights=None).features
        for layer in features:
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode = ceil_mode
        super().__init__(features, (16, 23, 30), (256, 512, 512), (4, 8, 16))

    def stages(self) -> list[nn.Module]:
        """What `freeze` freezes, first to last: conv1 .. conv5, each up to its pooling."""
        return [self.features[a:b] for a, b in ((0, 5), (5, 10), (10, 17), (17, 24), (24, 30))]


class MobileNetV2(Cut):
    """torchvision's mobilenet_v2 up to its last convolution; strides 4, 8, 16, 32."""

    def __init__(self, frozen_norm: bool = True):
        norm = FrozenNorm if frozen_norm else nn.BatchNorm2d
        features = models.mobilenet_v2(weights=None, norm_layer=norm).features
        super().__init__(features, (4, 7, 14, 19), (24, 32, 96, 1280), (4, 8, 16, 32))


BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "course": CourseNet,
    "course32": partial(CourseNet, channels=(64, 128, 192, 256), blocks=(1, 2, 2, 1)),
    "resnet18": lambda **options: ResNet("resnet18", **options),
    "resnet50": lambda **options: ResNet("resnet50", **options),
    "resnet101": lambda **options: ResNet("resnet101", **options),
    "vgg16": VGG16,
    "mobilenet_v2": MobileNetV2,
}


OWN = ("course", "course32")  # the course's: no pretrained norms, no weights of torchvision


def build_backbone(name: str, **options) -> nn.Module:
    """A backbone by its name in `BACKBONES`, with random weights.

    Args:
        options: for "course" those of `CourseNet` ("course32" is the same, one stage deeper, to
            stride 32); for the others `frozen_norm`, whether batch
            normalisation keeps the pretrained statistics, as all three papers do; for "vgg16" also
            `ceil_mode`, for the resnets `dilated` and `c4`, see there.
    """
    if name not in BACKBONES:
        raise ValueError(f"There is no backbone {name!r}. Choose one of: {', '.join(BACKBONES)}.")
    return BACKBONES[name](**options)


def load_backbone_weights(backbone: nn.Module, name: str, weights: str | Path) -> None:
    """Fill a backbone with pretrained weights.

    Args:
        name: the backbone's name in `BACKBONES`.
        weights: a name of torchvision's weight enum such as "IMAGENET1K_V1" or "DEFAULT",
            downloaded once by torchvision; or the path of a .safetensors file with its keys, or
            of a whole model's, of which the tensors named "backbone." are taken.

    Raises:
        ValueError: the file cannot be read, or tensors that the backbone needs are missing from it.
    """
    path = Path(weights)
    if path.suffix == ".safetensors":
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"{path} cannot be read as backbone weights: {error}. A .safetensors file "
                f"with the keys of torchvision's {name} is needed."
            ) from error
    else:
        try:
            state = models.get_model_weights(name)[str(weights)].get_state_dict(progress=False)
        except KeyError:
            known = ", ".join(weight.name for weight in models.get_model_weights(name))
            raise ValueError(
                f"torchvision's {name} has no weights {str(weights)!r}. It has: {known}. "
                "A file must end in .safetensors."
            ) from None
    own = "backbone."  # how a whole model calls them
    if any(key.startswith(own) for key in state):
        state = {key[len(own):]: value for key, value in state.items() if key.startswith(own)}
    needed = backbone.state_dict()
    missing = [
        key for key in needed if key not in state and not key.endswith("num_batches_tracked")
    ]
    if missing:
        raise ValueError(
            f"{weights} lacks {len(missing)} of the {len(needed)} tensors of {name}, the "
            f"first of them {missing[0]}. Were these weights saved from another network?"
        )
    wrong = [key for key in needed if key in state and state[key].shape != needed[key].shape]
    if wrong:
        raise ValueError(
            f"{wrong[0]} in {weights} is {tuple(state[wrong[0]].shape)}, but {name} needs "
            f"{tuple(needed[wrong[0]].shape)}. Were these saved from another network?"
        )
    backbone.load_state_dict({key: state[key] for key in needed if key in state}, strict=False)


def freeze(backbone: nn.Module, num_stages: int) -> None:
    """Stop the first `num_stages` stages of a torchvision backbone from learning."""
    if isinstance(backbone, CourseNet):
        raise ValueError(
            "CourseNet starts from random weights, which are not worth keeping: freeze one of "
            "torchvision's backbones, after load_backbone_weights()."
        )
    for stage in backbone.stages()[:num_stages] if num_stages else []:
        for parameter in stage.parameters():
            parameter.requires_grad_(False)


class Normalize(nn.Module):
    """Images in [0, 1] -> what the backbone was trained on: (x - mean) / std, a channel each."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(3, H, W) in [0, 1] -> (3, H, W)"""
        return (image - self.mean) / self.std
