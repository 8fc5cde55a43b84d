"""Wrong answers of every kind: each gets a sentence that helps, and nothing gets out."""

import functools
import math

import numpy as np
import pytest
import torch

from teachseg.exercises import roi as page
from teachseg.exercises.judging import judge

RIGHT = page.align


def told(function, exercise=page.ALIGN) -> str:
    """The sentence for a function that must be rejected."""
    verdict = judge(exercise, function)
    assert verdict.status == "TRY AGAIN", verdict
    return verdict.sentence


def changed(change):
    """`align` whose result goes through `change`."""
    return lambda *arguments: change(RIGHT(*arguments))


@pytest.mark.parametrize("nothing", [None, ...], ids=["None", "Ellipsis"])
def test_nothing_returned_is_still_to_be_done(nothing):
    verdict = judge(page.ALIGN, lambda features, box, bins, scale: nothing)
    assert verdict.status == "TODO"
    assert "write align(features, box, bins, scale)" in verdict.sentence
    assert "return" in verdict.sentence


def test_a_branch_without_a_return_is_no_todo():
    said = told(lambda x: page.round_half_away(x) if x > 0 else None, page.ROUND)
    assert 'case "a half below zero": nothing was returned. Does every branch' in said


def test_the_first_wrong_case_is_shown_with_place_and_numbers():
    # as if cells outside the map were not 0 but wrong in one place of one case
    def wrong(features, box, bins, scale):
        out = RIGHT(features, box, bins, scale)
        if box[0] < 0:
            out[0, 1] += 4
        return out

    want = float(RIGHT(*page.ALIGN.cases[3].arguments)[0, 1])
    first, second = told(wrong).split("\n")
    assert first == (f'roi.align: case "box half outside": max |diff| 4 at (0, 1): '
                     f"got {want + 4:.4f}, expected {want:.4f}")
    assert second == ('4 of 5 cases are right. case("roi.align", 4) shows this one, '
                      'hint("roi.align") helps; both are in teachseg.exercises.')


@pytest.mark.parametrize("change, words", [
    (lambda out: out[None], r"must have the shape (2, 2), got (1, 2, 2). Only sides of 1 differ"),
    (lambda out: out.sum(), "got (). A single number came back"),
    (lambda out: out.flatten(), "got (4,). Read again, in the task, what"),
    (lambda out: out.long(), "real numbers are needed, got a tensor of whole ones (torch.int64)"),
    (lambda out: out > 0, "numbers are needed, got torch.bool: is a comparison returned"),
    (lambda out: out + 0j, "torch.complex64"),
    (lambda out: "2.0", "a tensor, a list of them), got str"),
    (lambda out: {"out": out}, "got dict"),
    (lambda out: [out[0], out[0, 0]], "parts of the list are of different shapes: (), (2,)"),
    (lambda out: [["a"]], "got str"),
    (lambda out: np.array(["a"]), "got an array of <U1"),
    (lambda out: out / 0, "got inf at (0, 0), expected 2.0000. That comes from 0 / 0"),
    (lambda out: out * math.nan, "got nan at (0, 0), expected 2.0000"),
    (lambda out: True, "numbers are needed (a number, a tensor, a list of them), got bool"),
    (lambda out: 10**400, "the result, int, cannot be read"),
])
def test_a_result_of_the_wrong_kind(change, words):
    said = told(changed(change))
    assert said.startswith('roi.align: case "')
    assert words in said


def test_swapped_axes_are_told():
    said = told(lambda *axis: torch.tensor(page.pool_bins(*axis)).T, page.POOL_BINS)
    assert "must have the shape (3, 2), got (2, 3). The axes are in another order" in said


@pytest.mark.parametrize("change", [
    lambda out: out.numpy(), lambda out: out.tolist(), lambda out: out.double(),
    lambda out: [list(row) for row in out], lambda out: out.clone().requires_grad_(),
    lambda out: tuple(tuple(float(x) for x in row) for row in out),
    lambda out: [np.float32(x) for x in out] if out.ndim < 2 else out,
], ids=["array", "lists", "float64", "lists of tensors", "on the graph", "tuples", "numpy"])
def test_any_kind_of_numbers_will_do(change):
    assert judge(page.ALIGN, changed(change)).status == "PASS"


def broken(error):
    def my_align(features, box, bins, scale):
        raise error

    return my_align


@pytest.mark.parametrize("error, words", [
    (IndexError("index 7 is out of bounds"), "index 7 is out of bounds. An index is larger than"),
    (ZeroDivisionError("division by zero"), "Something was divided by 0"),
    (NameError("name 'bilinear' is not defined"), "Has the cell that defines that name been run?"),
    (RecursionError(), "calls itself without end"),
    (SystemExit(3), "your function raised SystemExit in the line `raise error`: 3"),
    (RuntimeError("first line\nsecond"), "RuntimeError in the line `raise error`: first line\n"),
    (ValueError("x" * 500), "x...\n"),
    (AssertionError(), "AssertionError in the line `raise error`\n"),
])
def test_a_function_that_raises(error, words):
    said = told(broken(error))
    assert words in said and len(said) < 600


def test_an_error_that_cannot_be_printed():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("not even this")

    assert "your function raised Broken" in told(broken(Broken()))


def test_an_interrupt_gets_through():
    with pytest.raises(KeyboardInterrupt):
        judge(page.ALIGN, broken(KeyboardInterrupt()))


def test_an_object_that_breaks_when_it_is_read():
    class Odd(float):
        def __float__(self):
            raise RuntimeError("no")

        __index__ = __float__

    class Array(list):
        def __iter__(self):
            raise RuntimeError("no list")

    assert "the result, Array, cannot be read: no list" in told(changed(lambda out: Array([1])))
    assert judge(page.ALIGN, changed(lambda out: Odd(1))).status == "TRY AGAIN"


@pytest.mark.parametrize("thing, words", [
    (torch.zeros(2, 2), "a function is needed, got Tensor. Pass it by its name alone"),
    (None, "got NoneType"),
    (lambda features, box: 0, "as align(features, box, bins, scale), but yours takes "
                              "(features, box)"),
    (lambda: 0, "yours takes ()"),
])
def test_what_cannot_be_called(thing, words):
    assert words in told(thing)


def test_callables_that_are_no_plain_functions():
    class Aligner:
        def __call__(self, *arguments):
            return RIGHT(*arguments)

    assert judge(page.ALIGN, Aligner()).status == "PASS"
    assert judge(page.ALIGN, functools.partial(RIGHT)).status == "PASS"
    assert judge(page.ROUND, round).mistake == "half to even"
    assert "max() of nothing" not in told(max, page.ROUND)  # a built-in that fails inside
    assert "raised TypeError" in told(max, page.ROUND)


def test_what_a_function_does_to_its_arguments_harms_nobody():
    def vandal(features, box, bins, scale):
        out = RIGHT(features, box, bins, scale)
        features.fill_(0)
        return out

    assert judge(page.ALIGN, vandal).status == "PASS"
    assert judge(page.ALIGN, RIGHT).status == "PASS"


def test_a_function_may_print(capsys):
    def chatty(x):
        print("looking at", x)
        return page.round_half_away(x)

    assert judge(page.ROUND, chatty).status == "PASS"
    assert "looking at 2.5" in capsys.readouterr().out


def test_no_mutant_is_seen_where_some_answers_are_missing():
    def half(x):
        if x < 0:
            raise ValueError("negative")
        return round(x)

    verdict = judge(page.ROUND, half)
    assert verdict.status == "TRY AGAIN" and verdict.mistake == ""
