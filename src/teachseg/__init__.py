"""teachseg: instance segmentation, taught by building it.

Three papers - Multi-task Network Cascades, Mask R-CNN, and Semantic Instance Segmentation via Deep
Metric Learning - as one small library whose functions are sentences of the papers, and a course of
notebooks that takes the same functions apart.

    import teachseg
    model = teachseg.load("mask_rcnn")
"""

__version__ = "0.1.0"  # the one place: pyproject.toml reads it here


def __getattr__(name: str):
    if name == "load":  # found on first use, so that `import teachseg` alone does not import torch
        from teachseg.checkpoints import load

        return load
    raise AttributeError(f"module 'teachseg' has no attribute {name!r}")
