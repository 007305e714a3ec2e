"""One invocation of a run script on its output folder: opening it, closing it, and what run.json says of it."""

import contextlib
import logging
import time
from pathlib import Path

from common import launching
from common.arguments import DECISIVE
from common.files import InputError, sha256, write_json
from common.recovery import begin, take_folder
from common.results import Results
from common.run_record import (
    ancestry,
    check_folder,
    check_same_model,
    checkpoint_hash,
    data_manifest,
    invocation,
    now,
    plain,
    without_secrets,
    write_card,
)
from common.training_arguments import log_settings
from common.zero import zero_stage

logger = logging.getLogger("xtreme")


def training_identity(args, training_args, parent_hash, files, own):
    """All that decides what a training computes, as a flat dict: a folder holds one such training.

    `files` are what it reads; `own` {name: value} is what matters of the script's own arguments.
    """
    if args.model_name_or_path and Path(training_args.output_dir).resolve() == Path(args.model_name_or_path).resolve():
        raise InputError(
            f"--output_dir {training_args.output_dir} is also --model_name_or_path; train into a new folder"
        )
    return {
        "parent": parent_hash,
        "data": sha256(*files),
        "processes": training_args.world_size,
        "zero_stage": zero_stage(training_args),
        "autocast": launching.autocasts(training_args),
        **own,
        **{name: plain(getattr(training_args, name)) for name in DECISIVE},
    }


class Session:
    """What this invocation may do in --output_dir, and its part of run.json.

    run.json tells of the training: the command, seed, arguments, environment and seconds of the session that finished
    it (of the first session, where nothing is trained). They are frozen then; every later session only appends to
    `later` and adds its `conditions`. Sessions that were stopped before are in `history`.

    `identity` is that of the training that is asked for (training_identity), None when none is; `trained` says that
    the folder holds it already, finished. `source` and `parent_hash` are the model that the run is given.
    """

    def __init__(self, training_args, task, identity, source, parent_hash):
        self.folder, self.is_main = Path(training_args.output_dir), training_args.process_index == 0
        self.task, self.identity, self.training_args = task, identity, training_args
        self.parent_hash = parent_hash
        self.previous = check_folder(self.folder, task, identity)
        self.trained = identity is not None and bool(self.previous.get("training", {}).get("finished"))
        self.trains = identity is not None and not self.trained
        self.frozen = bool(self.previous) and not self.trains
        if self.frozen and not self.trained:
            check_same_model(self.folder, self.previous, source, parent_hash)
        self.record, self.current, self.results = {}, {}, None  # of run.json: all, this session's part
        launching.barrier()  # nobody writes before all have looked

    def open(self, script, argv, args, origins, conditions=None):
        """Take the folder, log the resolved settings `origins`, and write run.json.

        `conditions` {name: what is known of it} are the evaluation folders of this session.
        """
        origins = sorted(origins, key=lambda origin: origin[0])
        launching.barrier()  # nobody takes the folder before all have read their files
        launching.on_main(lambda: take_folder(self.folder, self.previous))
        begin()
        self.results = Results(self.folder)
        log_settings(self.training_args, origins)
        self.current = invocation(script, argv, args, self.training_args)
        if self.frozen:
            self.record = {**self.previous, "later": [*self.previous.get("later", []), self.current]}
        else:
            self.record = self._first(args, origins)
        self.record["conditions"] = {**self.previous.get("conditions", {}), **(conditions or {})}
        self.write()

    def _first(self, args, origins):
        """run.json of a folder that is new, or whose training goes on."""
        source = args.model_name_or_path or args.config_name
        parent = ancestry(source, self.parent_hash)
        made = parent["seed"] if not self.trains and parent["seed"] is not None else self.training_args.seed
        earlier = [{name: self.previous[name] for name in ("command", "started_at")}] if self.previous else []
        return {
            **self.current,
            "task": self.task,
            "seed": made,
            "model_name_or_path": source,
            "parent": parent,
            "checkpoint": None,
            "resolved": origins,
            "data_manifest": data_manifest(args.data_dir),
            "training": {**self.identity, "finished": False} if self.identity else None,
            "history": [*self.previous.get("history", []), *earlier],
        }

    @property
    def provenance(self):
        """What every line of results.jsonl says of its model; the seed is its training's, whatever --seed is given."""
        return {"seed": self.record["seed"], "model": str(self.folder), "parent": self.record["parent"]["path"]}

    def note(self, **facts):
        """Set top-level facts of run.json that belong to the training, and write it."""
        self.record.update(facts)
        self.write()

    @contextlib.contextmanager
    def timed(self, stage):
        """Record the seconds that the block takes."""
        start = time.time()
        yield
        self.current["seconds"][stage] = round(time.time() - start, 3)

    def finish_training(self):
        """Freeze what belongs to the training; returns the hash of the model that is in the folder now."""
        content = launching.on_main(lambda: checkpoint_hash(self.folder))
        if self.trains:
            self.record["training"]["finished"] = True
            self.note(checkpoint=content)
        return content

    def write(self):
        if self.is_main:
            write_json(self.folder / "run.json", without_secrets(self.record))

    def close(self, description="", table=""):
        """Say in run.json that all is done; with a `table`, write the model card."""
        (self.current if self.frozen else self.record)["finished_at"] = now()
        self.write()
        if self.is_main and table:
            write_card(self.folder, description, self.record, table)
        launching.finish_distributed()
