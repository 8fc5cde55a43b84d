"""Write data/results/real.json: what trainings on real photographs reached, with their commands.

    python scripts/real_results.py RUN ...

Each RUN is the folder of a `teachseg train --data ...` that was evaluated. The pictures and the
weights stay where they are; what is written are the figures, the commands, and how they were
measured. Where a photograph came from is named by the data set's folder alone.
"""

import argparse
import json
import platform
import re
from pathlib import Path

from teachseg.storage import load_json, save_json

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ("APr50", "APr60", "APr70", "APr80", "APr90", "AP", "AP50", "AP75", "AR100")


def row(run: Path) -> dict:
    """One training's line."""
    facts = load_json(run / "checkpoint.json")
    metrics, how = facts["metrics"], facts["train"]
    command = re.sub(r"(?<=\s)(?:\.\./|/)\S*/", "", facts["command"])  # names, not folders
    images = how["batch_size"] * how["accumulate"] * how["devices"] * how["nodes"]
    return {
        "name": run.name, "paper": facts["paper"], "classes": facts["classes"],
        "command": command, "steps": facts["steps"], "images_a_step": images,
        "train_images": facts["data"]["images"],
        "val_images": metrics["images"], "objects": metrics["objects"],
        **{name: metrics[name] for name in NUMBERS},
        "seconds": facts["seconds"], "seconds_per_image": metrics["seconds_per_image"],
        "device": facts["device"], "threads": facts["threads"], "torch": facts["torch"],
        "precision": how["precision"], "parameters": facts["parameters"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    options = parser.parse_args()
    rows = [row(run) for run in options.runs]
    save_json(ROOT / "data" / "results" / "real.json", {
        "what": "trainings on real photographs, evaluated on the fifth that their names hold out",
        "machine": platform.machine(), "rows": rows})
    for one in rows:
        print(json.dumps({name: one[name] for name in ("name", "steps", "AP", "AP50", "APr50")}))


if __name__ == "__main__":
    main()
