"""The course's exercises: `check` an answer, get a `hint`, see a `solution`, look at `progress`.

    from teachseg import exercises
    exercises.check("roi.align", my_align)

The four are found on first use, as `teachseg.load` is, so that nothing is imported before it is
wanted; they live in `desk.py`.
"""


def __getattr__(name: str):
    if name in ("check", "hint", "solution", "progress"):
        from teachseg.exercises import desk

        return getattr(desk, name)
    raise AttributeError(f"module 'teachseg.exercises' has no attribute {name!r}")
