"""The same training in plain Python: ``python experiments/minimal.py STORE RUN_FOLDER``."""

import argparse
from pathlib import Path

import pytorch_lightning as pl

from graphnets.callbacks import Media, RunRecord
from graphnets.cli import last_checkpoint
from graphnets.data import MotionDataModule
from graphnets.encoders import STGCN
from graphnets.tasks import Classification, Task
from graphnets.transforms import Center, RandomRotate, Resample, Scale, Streams

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("store", help="made by datasets/synthetic/prepare.py")
parser.add_argument("folder", help="of the run")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=1)
arguments = parser.parse_args()

pl.seed_everything(arguments.seed)
data = MotionDataModule(arguments.store, protocol="by_subject", batch_size=32, modalities=["pose"])
encoder = STGCN("kinect20", in_channels=6, widths=(32, 64, 64), strides=(2, 2, 1), kernel=5)
classes = data.store.labels["exercise"]
task = Task(
    encoder,
    objectives={"exercise": Classification("exercise", num_classes=len(classes))},
    transforms={
        "resample": Resample(32),
        "center": Center(),
        "scale": Scale(),
        "rotate": RandomRotate(20),
        "streams": Streams(["joint", "velocity"]),
    },
)
record = RunRecord(arguments.folder, variant="minimal")
trainer = pl.Trainer(
    max_epochs=arguments.epochs,
    callbacks=[record, Media(arguments.folder), last_checkpoint(Path(arguments.folder) / "checkpoints")],
    logger=False,
)
trainer.fit(task, datamodule=data)
trainer.test(task, datamodule=data)
print(f"wrote {record.folder / 'metrics.json'}")
