"""A task's Settings: what the command line gives, else what the kept head says of itself, else the recipe."""

from common import kept_heads
from common.arguments import dual_encoder, lengths, tag_piece
from heads import Settings


def resolve(args, task, do_train):
    """(Settings, [(name, value, where it comes from)]) of run_xtreme.py's arguments."""
    length, stride, origins = lengths(args, task)
    path, revision, kept, own = args.model_name_or_path, args.model_revision, None, None
    if args.keep_head or not do_train:
        if task.kind == "tagging":
            name = args.keep_head if isinstance(args.keep_head, str) else None
            kept = kept_heads.kept_tag_piece(path, name, revision)
        if task.kind == "dual_encoder":
            own = kept_heads.kept_setting(path, "dual_encoder", None, revision)
    piece, piece_origins = tag_piece(args, task, kept)
    dual, dual_origins = dual_encoder(args, task, own)
    readings = {"tag_piece": piece, "qa_decoding": args.qa_decoding, **dual}
    settings = Settings(length, stride, args.n_best_size, args.max_answer_length, **readings)
    return settings, [*origins, *piece_origins, *dual_origins]


def record(config, task, settings):
    """Write into a model's configuration what `resolve` reads there again."""
    kept_heads.record_tag_piece(config, settings.tag_piece)
    if task.kind == "dual_encoder":
        config.dual_encoder = {"pooling": settings.pooling, "do_lower_case": settings.do_lower_case}
