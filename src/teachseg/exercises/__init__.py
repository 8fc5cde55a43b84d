"""The course's exercises: `check` an answer, look at a `case`, get a `hint`, see a `solution`,
and the `progress` that you made.

    from teachseg import exercises
    exercises.check("roi.align", my_align)

The five are found on first use, as `teachseg.load` is, so that nothing is imported before it is
wanted; they live in `desk.py`.
"""


def __getattr__(name: str):
    if name in ("check", "case", "hint", "solution", "progress"):
        from teachseg.exercises import desk

        return getattr(desk, name)
    raise AttributeError(f"module 'teachseg.exercises' has no attribute {name!r}")
