"""Seeds, embeddings in colour and the greedy choice: by hand, drawn, moved, and refused."""

import time
import xml.etree.ElementTree as ElementTree
from statistics import median

import pytest
import torch

from teachseg.decoding.seeds import choose_seeds, grow_masks
from teachseg.explore import choice as choice_module
from teachseg.explore.choice import choice_frame, explore_choice, hits_of, values_before
from teachseg.explore.embeddings import (
    component_colours,
    embedding_frame,
    explore_embeddings,
    principal_components,
    spreads,
)
from teachseg.explore.seeds import Field, explore_seeds, field_of, grow_all, seed_frame
from teachseg.papers.deep_metric import Config, DeepMetric
from teachseg.structures import Targets

NAMES = ("disc", "square")
TAUS = (0.5, 0.9)


def field(size=8, seed=0) -> Field:
    """Two objects of 3 x 3 cells, their embeddings at (3, 0) and (0, 3), background at (0, 0)."""
    instances = torch.zeros(size, size, dtype=torch.int64)
    instances[1:4, 1:4], instances[4:7, 4:7] = 1, 2
    places = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    noise = 0.05 * torch.randn(2, size, size, generator=torch.Generator().manual_seed(seed))
    embeddings = places[instances].permute(2, 0, 1) + noise
    probs = torch.full((2, 3, size, size), 0.02)
    probs[:, 0] = 0.96
    for number, prob in ((1, 0.9), (2, 0.8)):
        probs[0, number][instances == number] = prob
        probs[0, 0][instances == number] = 0.98 - prob
    image = torch.rand(3, 2 * size, 2 * size, generator=torch.Generator().manual_seed(seed))
    return Field(image, embeddings, probs, TAUS, 2, instances, torch.tensor([1, 2]))


@pytest.fixture(scope="module")
def one():
    return field()


def parsed(frame) -> ElementTree.Element:
    root = ElementTree.fromstring(frame.svg)
    assert root.get("aria-label") == frame.caption
    return root


# ---- a seed and its masks -----------------------------------------------------------------------


def test_a_seed_on_an_object_grows_it(one):
    similarity, found = grow_all(one, 2, 2)
    assert similarity[2, 2] == 1 and similarity.shape == (8, 8)
    for grown, tau in zip(found, TAUS):
        assert torch.equal(grown.mask, grow_masks(one.embeddings, torch.tensor([[2, 2]]), tau)[0])
        assert grown.object == 0 and grown.label == 1
    assert found[0].cells == 9 and found[0].iou == 1 and found[0].prob == pytest.approx(0.9)


def test_a_seed_on_background_fits_no_object(one):
    _, found = grow_all(one, 0, 7)
    assert found[0].cells == 64 - 18 and found[0].iou == 0


def test_the_frame_of_a_seed_says_it(one):
    found = seed_frame([one], NAMES, 2, 2, 0.5)
    assert found.caption.startswith(
        "Seed at row 2, column 2, on object 0, a disc. At tau 0.5 its mask has 9 cells, best fit "
        "object 0, IoU 1.000; the network says disc with 0.900. All thresholds: 0.5: 9 cells")
    parsed(found)
    assert "on background. At tau 0.5 its mask has 46 cells, fits no object" in seed_frame(
        [one], NAMES, 0, 7, 0.5).caption


@pytest.mark.parametrize("state, words", [
    ((8, 0, 0.5), r"on the map of 8 x 8 cells, got row 8, column 0"),
    ((0, -1, 0.5), "column -1"),
    ((0, 0, 0.3), r"tau must be one of 0.5, 0.9, which the network knows, got 0.3"),
    ((0, 0, 0.5, 1), r"scene must be in 0\.\.0, got 1"),
])
def test_a_seed_that_cannot_be_is_told(one, state, words):
    with pytest.raises(ValueError, match=words):
        seed_frame([one], NAMES, *state)


def test_pointing_moves_the_seed_and_the_scene_changes_the_image(one):
    explorer = explore_seeds([one, field(seed=1)], NAMES)
    stage = explorer.stage
    assert (stage.row, stage.column) == divmod(int(one.seediness[0].argmax()), 8)
    stage.row, stage.column = 5, 5  # as a click does
    assert "row 5, column 5, on object 1, a square" in repr(explorer)
    explorer.set(row=0)
    assert stage.row == 0
    before = stage.image
    explorer.set(scene=1)
    assert stage.image != before
    assert explore_seeds([one], NAMES, (3, 4)).stage.column == 4


def test_a_field_of_a_model_holds_what_its_trace_says():
    torch.manual_seed(0)
    model = DeepMetric(Config.course(2)).eval()
    image = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 32, 48, dtype=torch.bool)
    mask[0, 8:20, 10:30] = True
    targets = Targets(torch.tensor([[10.0, 8, 30, 20]]), torch.tensor([2]), mask)
    found = field_of(model, image, targets)
    assert found.size == (16, 24) and found.taus == model.config.taus and found.stride == 2
    assert found.objects.shape == (1, 16, 24) and int(found.objects.sum()) == 6 * 10
    assert not found.embeddings.requires_grad
    parsed(seed_frame([found], NAMES, 3, 3, 0.5))
    alone = field_of(model, image)
    assert alone.objects.shape == (0, 16, 24)
    parsed(seed_frame([alone], NAMES, 3, 3, 0.5))
    parsed(choice_frame([alone], NAMES, 0, 0.3, 5, 5, 0.0))


def test_fields_that_do_not_fit_are_told(one):
    with pytest.raises(ValueError, match="At least one Field is needed"):
        explore_seeds([], NAMES)
    with pytest.raises(ValueError, match=r"fields\[0\].class_probs must have the shape \(2, 2"):
        explore_choice([one], ("disc",))
    with pytest.raises(ValueError, match=r"fields\[1\] has \(10, 10\) cells"):
        explore_embeddings([one, field(size=10)], NAMES)


# ---- embeddings in colour -----------------------------------------------------------------------


def test_components_by_hand():
    """Points on a line through (2, 1): one direction holds all, its coordinates are lengths."""
    along = torch.tensor([-2.0, -1.0, 0.0, 3.0])
    embeddings = (torch.tensor([2.0, 1.0])[:, None] / 5**0.5 * along)[:, None]
    components, shares = principal_components(embeddings)
    torch.testing.assert_close(shares, torch.tensor([1.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(components[0, 0], along - along.mean(), atol=1e-5, rtol=1e-5)


def test_components_are_svds_and_always_have_the_same_sign():
    embeddings = torch.randn(5, 6, 7, generator=torch.Generator().manual_seed(0))
    components, shares = principal_components(embeddings)
    flat = embeddings.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    _, values, right = torch.linalg.svd(flat, full_matrices=False)
    torch.testing.assert_close(shares, values.square() / values.square().sum())
    torch.testing.assert_close(components.flatten(1).abs(), (values[:, None] * right).abs(),
                               atol=1e-4, rtol=1e-4)
    assert torch.equal(principal_components(embeddings.clone())[0], components)


def test_components_of_constant_embeddings_and_of_one_dimension():
    components, shares = principal_components(torch.ones(3, 2, 2))
    assert not components.any() and not shares.any()
    assert principal_components(torch.rand(1, 2, 3))[0].shape == (1, 2, 3)
    colours = component_colours(torch.zeros(3, 2, 2))
    assert bool(((colours >= 0) & (colours <= 1)).all())


def test_spreads_by_hand(one):
    """The means lie 3 from background's: 9; from each other 18. The cells 0.05 about them."""
    apart, within = spreads(one)
    assert apart == pytest.approx(9, abs=0.5)
    assert within == pytest.approx(2 * 0.05**2, rel=0.3)


def test_the_frame_of_embeddings_says_it(one):
    found = embedding_frame([one], NAMES, 0, 1, 2)
    assert found.caption.startswith("Scene 0: three components hold 1.000 of the variance")
    words = [t.text for t in parsed(found).iter("{http://www.w3.org/2000/svg}text")]
    assert "object 0, a disc" in words and "background" in words
    with pytest.raises(ValueError, match=r"down must be in 1\.\.2"):
        embedding_frame([one], NAMES, 0, 1, 3)
    explorer = explore_embeddings([one], NAMES)
    assert explorer.set(across=2, down=1) != found.caption


# ---- the greedy choice --------------------------------------------------------------------------


def test_what_a_step_sees_is_what_it_takes_the_best_of(one):
    choice = choose_seeds(one.embeddings, one.seediness[0], 6, 0.3, 0.05)
    for step in range(1, 7):
        values = values_before(one, choice, step, 0.3)
        row, column = choice.seeds[step - 1].tolist()
        assert values[row, column] == values.max()
        torch.testing.assert_close(values.max(), choice.values[step - 1], atol=1e-5, rtol=1e-5)


def test_hits_name_the_object_of_their_class(one):
    choice = choose_seeds(one.embeddings, one.seediness[0], 3, 0.3, 0.05)
    hits = hits_of(one, choice)
    assert [hit.object for hit in hits[:2]] == [0, 1]
    assert [hit.label for hit in hits[:2]] == [1, 2]
    assert hits[0].score == pytest.approx(0.9) and hits[0].tau == 0.5
    wrong = Field(one.image, one.embeddings, one.class_probs, TAUS, 2, one.instances,
                  torch.tensor([2, 1]))  # the objects are of other classes than the seeds say
    assert [hit.object for hit in hits_of(wrong, choice)] == [-1] * 3


def test_the_frame_of_a_choice_counts(one):
    found = choice_frame([one], NAMES, 0, 0.3, 6, 3)
    assert "step 3 of 6 seeds: disc 0.90 at" in found.caption
    assert found.caption.endswith(
        "Objects found: 2 of 2; seeds on an object that is found already: 1.")
    parsed(found)
    without = choice_frame([one], NAMES, 0, 0.0, 6, 6)
    assert without.caption.endswith("found: 1 of 2; seeds on an object that is found already: 5.")


def test_more_steps_than_seeds_and_none_at_all(one):
    assert "step 18 of 18" in choice_frame([one], NAMES, 0, 0.0, 40, 99).caption
    none = choice_frame([one], NAMES, 0, 0.3, 6, 3, min_score=0.99)
    assert "step 0 of 0 seeds: no seed above the floor." in none.caption
    parsed(none)
    with pytest.raises(ValueError, match="step must be 1 or more, got 0"):
        choice_frame([one], NAMES, 0, 0.3, 6, 0)


def test_a_step_draws_the_masks_of_the_seeds_so_far(one):
    def outlines(step):
        found = choice_frame([one], NAMES, 0, 0.3, 6, step)
        return sum(p.get("stroke-width") == "1.5"
                   for p in parsed(found).iter("{http://www.w3.org/2000/svg}path"))

    assert outlines(2) - outlines(1) == 1


def test_the_explorer_of_the_choice_observes_its_sliders(one):
    explorer = explore_choice([one, field(seed=1)], NAMES)
    first = repr(explorer)
    assert explorer.set(step=1) != first
    assert "alpha 0.60" in explorer.set(alpha=0.6)
    assert explorer.set(scene=1).startswith("Scene 1")


def test_frames_are_quick_at_the_courses_size():
    """A map of 64 x 64 with D = 32, the median of some; each frame draws for a slider's step."""
    torch.manual_seed(0)
    model = DeepMetric(Config.course(5)).eval()
    names = ("disc", "square", "triangle", "star", "ring")
    one = field_of(model, torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0)))
    waits = {}
    for name, draw in {
        "seed": lambda k: seed_frame([one], names, 10 + k, 20, 0.5),
        "embeddings": lambda k: embedding_frame([one], names, 0, 1 + k % 3, 4),
        "choice": lambda k: choice_frame([one], names, 0, 0.3, 12, 1 + k),
    }.items():
        seconds = []
        for k in range(7):
            start = time.perf_counter()
            draw(k)
            seconds.append(time.perf_counter() - start)
        waits[name] = 1e3 * median(seconds)
    print({name: round(wait, 1) for name, wait in waits.items()})
    assert max(waits.values()) < 300  # some 10 ms each on a quiet machine


def test_the_modules_tell_where_the_numbers_come_from():
    assert "log S_p + alpha log D" in values_before.__doc__
    assert choice_module.__doc__.rstrip().endswith("Lesson: 32")
