"""Can every system memorise eight clips? One that cannot has a fault. Prints Markdown with hardware and commit.

python benchmarks/recognisers/overfit.py --systems multiview,tscnn --out overfit.json
"""

from __future__ import annotations

import time

from benchmarks.common import Report, command_line, run_script
from mvgen.evaluation.tables import Rows
from recognizer.evaluation.overfit import CLASSES, SMALL, learn
from recognizer.evaluation.synthetic_samples import synthetic_sample
from recognizer.systems import SYSTEMS, get_system

_CLIPS = 8


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="names between commas")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--paper", action="store_true", help="the papers' sizes")
    given = parser.parse_args()
    samples = [synthetic_sample(label=seed % CLASSES, seed=seed) for seed in range(_CLIPS)]
    rows: Rows = []
    for name in given.systems.split(","):
        start = time.perf_counter()
        system = get_system(name, **({} if given.paper else SMALL.get(name, {})))
        accuracy, epochs = learn(system, samples, given.epochs, given.rate)
        rows.append([name, accuracy, epochs, time.perf_counter() - start])
    Report(__file__, given).table(("system", "accuracy", "epochs", "seconds"), rows)


if __name__ == "__main__":
    run_script(main)
