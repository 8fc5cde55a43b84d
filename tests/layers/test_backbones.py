"""Backbones: shapes and strides, torchvision's own features, weights that fit and that do not."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from teachseg.layers.backbones import (
    BACKBONES,
    CourseNet,
    FrozenNorm,
    MobileNetV2,
    Normalize,
    ResidualBlock,
    ResNet,
    build_backbone,
    conv_norm,
    freeze,
    group_norm,
    load_backbone_weights,
)


def images(count=2, height=64, width=96, seed=0):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def resnet18():
    torch.manual_seed(0)
    return ResNet("resnet18").eval()


@pytest.mark.parametrize("name", ["course", "resnet18", "resnet50", "mobilenet_v2", "vgg16"])
def test_every_map_has_the_channels_and_the_stride_that_are_told(name):
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        maps = backbone(images(1))
    assert len(maps) == len(backbone.out_channels) == len(backbone.strides)
    for features, channels, stride in zip(maps, backbone.out_channels, backbone.strides):
        assert features.shape == (1, channels, 64 // stride, 96 // stride)
        assert bool(features.isfinite().all())
    assert list(backbone.strides) == sorted(backbone.strides)


def test_backbones_by_name():
    assert set(BACKBONES) >= {"course", "resnet18", "resnet50", "vgg16", "mobilenet_v2"}
    with pytest.raises(
        ValueError, match="no backbone 'resnet500'. Choose one of: course, course32, resnet18"
    ):
        build_backbone("resnet500")


# ------------------------------------------------------------------------- the course's own


def test_group_norm_by_hand():
    # 32 channels in groups of 16; 24 does not divide: one group
    assert group_norm(32).num_groups == 2 and group_norm(16).num_groups == 1
    assert group_norm(24).num_groups == 1 and group_norm(24).num_channels == 24


def test_conv_norm_counts():
    # 3 x 3 x 4 x 16 weights, no bias beside the norm's 16 + 16
    layer = conv_norm(4, 16)
    assert sum(p.numel() for p in layer.parameters()) == 3 * 3 * 4 * 16 + 32
    assert layer(torch.rand(1, 4, 7, 9)).shape == (1, 16, 7, 9)
    assert conv_norm(4, 16, stride=2)(torch.rand(1, 4, 7, 9)).shape == (1, 16, 4, 5)
    assert conv_norm(4, 16, size=1)(torch.rand(1, 4, 7, 9)).shape == (1, 16, 7, 9)


def test_a_residual_block_adds_what_came_in():
    same, other = ResidualBlock(16, 16), ResidualBlock(16, 32, stride=2)
    assert isinstance(same.shortcut, nn.Identity) and isinstance(other.shortcut, nn.Sequential)
    # with nothing from its convolutions, the block passes what is positive
    nn.init.zeros_(same.second[1].weight)
    x = torch.randn(2, 16, 5, 5)
    torch.testing.assert_close(same(x.clone()), x.clamp(min=0))
    assert other(x).shape == (2, 32, 3, 3)


@pytest.mark.parametrize("height, width", [(128, 128), (33, 70), (1, 1)])
def test_odd_sides_are_rounded_up(height, width):
    net = CourseNet()
    maps = net(images(1, height, width))
    for features, stride in zip(maps, net.strides):
        assert features.shape[2:] == (-(-height // stride), -(-width // stride))


def test_an_image_does_not_see_its_neighbours_in_the_batch():
    net, batch = CourseNet(), images(3)
    for whole, alone in zip(net(batch), net(batch[1:2])):
        torch.testing.assert_close(whole[1:2], alone, atol=1e-5, rtol=1e-5)


def test_every_weight_learns():
    net = CourseNet(16, (16, 32), (1, 2))
    assert net.strides == (4, 8)
    sum(features.square().mean() for features in net(images())).backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in net.parameters())


# ------------------------------------------------------------------------- torchvision's


def test_resnet_gives_torchvisions_features(resnet18):
    torch.manual_seed(1)
    whole = models.resnet18(weights=None, norm_layer=FrozenBatchNorm2d).eval()
    state = {k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    ours = ResNet("resnet18").eval()
    ours.load_state_dict(state)
    caught = []
    for layer in (whole.layer1, whole.layer2, whole.layer3, whole.layer4):
        layer.register_forward_hook(lambda module, x, y: caught.append(y))
    with torch.no_grad():
        whole(images())
        maps = ours(images())
    assert len(caught) == 4
    for ours_one, theirs in zip(maps, caught):
        torch.testing.assert_close(ours_one, theirs)


def test_cut_networks_give_torchvisions_features():
    torch.manual_seed(2)
    whole = models.mobilenet_v2(weights=None, norm_layer=FrozenBatchNorm2d).eval()
    ours = MobileNetV2().eval()
    ours.load_state_dict(whole.features.state_dict(prefix="features."))
    with torch.no_grad():
        torch.testing.assert_close(ours(images())[-1], whole.features(images()))
        torch.testing.assert_close(ours(images())[1], whole.features[:7](images()))


def test_norms_are_frozen_or_learn():
    for name in ("resnet18", "mobilenet_v2"):
        frozen, learning = build_backbone(name), build_backbone(name, frozen_norm=False)
        assert any(isinstance(m, FrozenNorm) for m in frozen.modules())
        assert not any(isinstance(m, nn.BatchNorm2d) for m in frozen.modules())
        assert any(isinstance(m, nn.BatchNorm2d) for m in learning.modules())
        assert not any(isinstance(m, FrozenNorm) for m in learning.modules())


def test_a_frozen_norm_by_hand_and_against_torchvision():
    ours, theirs = FrozenNorm(2), FrozenBatchNorm2d(2)
    state = {
        "weight": torch.tensor([2.0, 3.0]), "bias": torch.tensor([0.5, -1.0]),
        "running_mean": torch.tensor([1.0, 0.0]), "running_var": torch.tensor([4.0, 0.25]),
    }  # fmt: skip
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    ours.eps = 1e-12  # too small to be seen; older torch refuses 0
    # (3 - 1) / 2 * 2 + 0.5 and 3 / 0.5 * 3 - 1
    out = ours(torch.full((1, 2, 1, 1), 3.0))
    torch.testing.assert_close(out.flatten(), torch.tensor([2.5, 17.0]))
    ours.eps = theirs.eps
    x = torch.randn(2, 2, 3, 3, requires_grad=True)
    torch.testing.assert_close(ours(x), theirs(x))
    # the same in training: nothing of it learns, and gradients pass through it
    torch.testing.assert_close(ours.train()(x), ours.eval()(x))
    assert not list(ours.parameters())
    ours(x).sum().backward()
    assert bool(x.grad.any())


@pytest.mark.parametrize("num_stages", [0, 1, 2, 5])
def test_freezing_stops_the_first_stages(num_stages):
    backbone = ResNet("resnet18")
    freeze(backbone, num_stages)
    for i, stage in enumerate(backbone.stages()):
        assert all(p.requires_grad == (i >= num_stages) for p in stage.parameters())
    stages = sum(p.numel() for stage in backbone.stages() for p in stage.parameters())
    assert stages == sum(p.numel() for p in backbone.parameters())  # nothing between the stages


def test_freezing_a_cut_network():
    backbone = MobileNetV2()
    freeze(backbone, 2)
    learning = [
        i for i, f in enumerate(backbone.features) for p in f.parameters() if p.requires_grad
    ]
    assert min(learning) == 7  # cut after 4 and after 7 layers


def test_a_frozen_norm_keeps_nothing_of_its_map_for_the_way_back():
    """Value and slope are as in prediction; what is kept are numbers of channels."""
    norm = FrozenNorm(3)
    for name, values in (("weight", (0.5, 2.0, -1.0)), ("bias", (1.0, 0.0, 3.0)),
                         ("running_mean", (0.1, 0.2, 0.3)), ("running_var", (1.0, 4.0, 0.25))):
        getattr(norm, name).copy_(torch.tensor(values))
    x = torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(0), requires_grad=True)
    kept = []
    keep = (lambda t: kept.append(t.numel()) or t, lambda t: t)
    with torch.autograd.graph.saved_tensors_hooks(*keep):
        out = norm(x)
    assert sum(kept) <= 12
    with torch.no_grad():
        torch.testing.assert_close(out, norm(x))
    (slope,) = torch.autograd.grad(out.sum(), x)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(slope, scale[:, None, None].expand_as(x))


def test_a_frozen_norm_stays_in_half_precision():
    """In training as in prediction; within bf16's three digits of the same in full."""
    norm, x = FrozenNorm(3), torch.randn(2, 3, 8, 8)
    norm.weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
    half = x.bfloat16().requires_grad_()
    out = norm(half)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), norm(x), atol=0.03, rtol=0.01)
    out.sum().backward()
    assert half.grad.dtype == torch.bfloat16


def test_the_courses_net_is_not_frozen():
    with pytest.raises(ValueError, match="random weights.*load_backbone_weights"):
        freeze(CourseNet(16, (16,), (1,)), 1)


# ------------------------------------------------------------------------- weights


def test_weights_from_a_file(resnet18, tmp_path):
    path = tmp_path / "resnet18.safetensors"
    # a file of the whole classifier has more than is needed
    save_file({**resnet18.state_dict(), "fc.weight": torch.zeros(1000, 512)}, path)
    torch.manual_seed(3)
    other = ResNet("resnet18").eval()
    load_backbone_weights(other, "resnet18", path)
    with torch.no_grad():
        for ours, theirs in zip(other(images()), resnet18(images())):
            assert torch.equal(ours, theirs)


def test_weights_of_another_network(resnet18, tmp_path):
    path, state = tmp_path / "weights.safetensors", resnet18.state_dict()
    save_file({k: v for k, v in state.items() if not k.startswith("layer4.1")}, path)
    with pytest.raises(
        ValueError, match=r"lacks \d+ of the \d+ tensors.*layer4\.1.*another network"
    ):
        load_backbone_weights(ResNet("resnet18"), "resnet18", path)
    save_file({**state, "conv1.weight": torch.zeros(64, 4, 7, 7)}, path)
    with pytest.raises(ValueError, match=r"conv1.weight .* is \(64, 4, 7, 7\), but resnet18 needs"):
        load_backbone_weights(ResNet("resnet18"), "resnet18", path)


def test_weights_that_cannot_be_read(resnet18, tmp_path):
    with pytest.raises(ValueError, match="nowhere.safetensors cannot be read as backbone weights"):
        load_backbone_weights(resnet18, "resnet18", tmp_path / "nowhere.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x10\x00\x00")
    with pytest.raises(ValueError, match="broken.safetensors cannot be read"):
        load_backbone_weights(resnet18, "resnet18", broken)


def test_weights_that_torchvision_does_not_know(resnet18):
    with pytest.raises(
        ValueError, match="no weights 'IMAGENET'. It has: IMAGENET1K_V1.*safetensors"
    ):
        load_backbone_weights(resnet18, "resnet18", "IMAGENET")


# ------------------------------------------------------------------------- normalising


def test_normalize_by_hand():
    normalize = Normalize((0.5, 0.25, 0.0), (0.25, 0.5, 1.0))
    out = normalize(torch.ones(3, 2, 4))
    assert out.shape == (3, 2, 4)
    assert out[:, 0, 0].tolist() == [2.0, 1.5, 1.0]  # 0.5 / 0.25, 0.75 / 0.5, 1 / 1
    assert normalize.state_dict() == {}  # its numbers are in the config


REAL = Path(__file__).parents[3] / "shared/weights/mobilenet_v2_imagenet_features.safetensors"


@pytest.mark.skipif(not REAL.exists(), reason="the real ImageNet weights are not on this machine")
def test_real_imagenet_weights_tell_edges_from_plains():
    torch.manual_seed(0)
    backbone = build_backbone("mobilenet_v2").eval()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    load_backbone_weights(backbone, "mobilenet_v2", REAL)
    after = backbone.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in after)
    plain = torch.zeros(1, 3, 96, 96)
    edged = plain.clone()
    edged[..., 40:] = 1.0
    with torch.no_grad():
        finest = (backbone(edged)[0] - backbone(plain)[0]).abs().mean(dim=(0, 1, 2))  # (24,)
    # the left end of the finest map sees no edge and should not change; around the edge it does
    assert float(finest[:4].max()) < 0.05 * float(finest.max())


def test_the_backbone_of_a_whole_model_can_be_taken_over(tmp_path):
    """A file of a model with a head: only what is named backbone. counts, in any precision."""
    torch.manual_seed(0)
    trained, fresh = build_backbone("course"), build_backbone("course")
    tensors = {f"backbone.{key}": value.half() for key, value in trained.state_dict().items()}
    save_file(tensors | {"box_head.fc6.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    load_backbone_weights(fresh, "course", tmp_path / "model.safetensors")
    for key, value in fresh.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, trained.state_dict()[key].half().float())
    save_file({"backbone.stem.0.weight": torch.zeros(1)}, tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match="lacks"):
        load_backbone_weights(fresh, "course", tmp_path / "part.safetensors")


@pytest.mark.parametrize("ceil_mode, size", [(True, (38, 63)), (False, (37, 62))])
def test_vgg_keeps_the_last_odd_row_as_caffe_does(ceil_mode, size):
    """600 -> 300 -> 150 -> 75 -> 38 (not 37); 1000 -> 500 -> 250 -> 125 -> 63 (not 62)."""
    with torch.device("meta"):
        backbone = build_backbone("vgg16", ceil_mode=ceil_mode)
        maps = backbone(torch.zeros(1, 3, 600, 1000))
    assert maps[-1].shape == (1, 512, *size)
    assert maps[-2].shape == (1, 512, 75, 125)
