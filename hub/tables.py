"""What download_data.py knows of the Hub's data sets: rows that a file must have, licenses, what cannot be had.

expected_rows("xnli/dev-de.tsv")       (2490, True)
"""

from fnmatch import fnmatch

# File of the layout (first match counts) -> rows that its source must have. Sources: XTREME's table 1, Hub cards.
ROWS = {
    "xnli/train-en.tsv": 392_702, "xnli/dev-*": 2_490, "xnli/test-*": 5_010,
    "pawsx/train-en.tsv": 49_401, "pawsx/dev-*": 2_000, "pawsx/test-*": 2_000,
    "panx/train-en.tsv": 20_000,
    "xquad/*": 1_190,
    "squad/train*": 87_599, "squad/dev*": 10_570, "squad/validation*": 10_570,
    "mlqa/*/test-context-en-*": 11_590, "mlqa/*/test-context-de-*": 4_517, "mlqa/*/test-context-ar-*": 5_335,
    "mlqa/*/test-context-es-*": 5_253, "mlqa/*/test-context-hi-*": 4_918, "mlqa/*/test-context-vi-*": 5_495,
    "mlqa/*/test-context-zh-*": 5_137,
    "tydiqa/*.en.train.json": 3_696,
    "tydiqa/*.en.dev.json": 440, "tydiqa/*.ar.dev.json": 921, "tydiqa/*.bn.dev.json": 113,
    "tydiqa/*.fi.dev.json": 782, "tydiqa/*.id.dev.json": 565, "tydiqa/*.ko.dev.json": 276,
    "tydiqa/*.ru.dev.json": 812, "tydiqa/*.sw.dev.json": 499, "tydiqa/*.te.dev.json": 669,
    "bucc2018/de-*.test.gold": 9_580, "bucc2018/fr-*.test.gold": 9_086,
    "bucc2018/ru-*.test.gold": 14_435, "bucc2018/zh-*.test.gold": 1_899,
    "tatoeba/jv-*": 205, "tatoeba/ka-*": 746, "tatoeba/kk-*": 575, "tatoeba/ml-*": 687, "tatoeba/sw-*": 390,
    "tatoeba/ta-*": 307, "tatoeba/te-*": 234, "tatoeba/th-*": 548, "tatoeba/*": 1_000,
    "xcopa/train-en.jsonl": 400, "xcopa/val-*": 100, "xcopa/test-*": 500,
    "mnli/train.jsonl": 392_702, "mnli/validation_matched.jsonl": 9_815,
    "snli/train.jsonl": 550_152, "snli/validation.jsonl": 10_000,  # with the -1 labels, which are not written
    "anli/train_r1.jsonl": 16_946, "anli/train_r2.jsonl": 45_460, "anli/train_r3.jsonl": 100_459,
    "anli/dev_r1.jsonl": 1_000, "anli/dev_r2.jsonl": 1_000, "anli/dev_r3.jsonl": 1_200,
    "qqp/train.jsonl": 363_846, "qqp/validation.jsonl": 40_430,
    "squad_v2/train.jsonl": 130_319, "squad_v2/validation.jsonl": 11_873,
    "hellaswag/train.jsonl": 39_905, "hellaswag/validation.jsonl": 10_042,
    "cosmos_qa/train.jsonl": 25_262, "cosmos_qa/validation.jsonl": 2_985,
    "commonsense_qa/train.jsonl": 9_741, "commonsense_qa/validation.jsonl": 1_221,
    "siqa/train.jsonl": 33_410, "siqa/validation.jsonl": 1_954,
    "flores200/*": 1_012, "flores200_dev/*": 997, "ntrex/*": 1_997,
}  # fmt: skip
# Remembered, seen nowhere: a difference is noted in the manifest, not refused. Of UD-POS, google/xtreme's English.
REMEMBERED_ROWS = {
    "bucc2018/de-*.test.de": 413_869, "bucc2018/de-*.test.en": 399_337,
    "bucc2018/fr-*.test.fr": 271_874, "bucc2018/fr-*.test.en": 369_810,
    "bucc2018/ru-*.test.ru": 460_853, "bucc2018/ru-*.test.en": 558_401,
    "bucc2018/zh-*.test.zh": 94_637, "bucc2018/zh-*.test.en": 88_860,
    "opus100/dev.*": 2_000, "opus100/test.*": 2_000,
    "udpos/train-en.tsv": 21_253, "udpos/dev-en.tsv": 3_974, "udpos/test-en.tsv": 5_440,
    **{f"panx/*-{code}.tsv": 100 for code in "jv my yo qu pa gu".split()},
    **{f"panx/*-{code}.tsv": 1_000 for code in "af az bn hi kk ml mr ms sw ta te tl ur".split()},
    "panx/*": 10_000,
}  # fmt: skip


def expected_rows(path):
    """(rows that the source of a file of the layout has, or None; whether another number is an error)."""
    for table, firm in ((ROWS, True), (REMEMBERED_ROWS, False)):
        for pattern, rows in table.items():
            if fnmatch(path, pattern):
                return rows, firm
    return None, False


LICENSES = {  # by folder of the layout
    "xnli": "CC BY-NC 4.0; the English training text is MNLI (OANC and others)",
    "pawsx": "free for any use, please credit Google",
    "udpos": "each treebank's own: most CC BY-SA, some with NC",
    "panx": "ODC-By 1.0",
    "squad": "CC BY-SA 4.0",
    "squad_v2": "CC BY-SA 4.0",
    "xquad": "CC BY-SA 4.0",
    "mlqa": "CC BY-SA 3.0",
    "tydiqa": "Apache-2.0",
    "bucc2018": "CC BY-SA 4.0 on the Hub's card; Wikipedia and news text",
    "tatoeba": "CC BY 2.0 FR",
    "xcopa": "CC BY 4.0; English COPA: BSD 2-Clause",
    "mnli": "OANC, CC BY-SA 3.0 and CC BY 3.0, by source of the text",
    "snli": "CC BY-SA 4.0",
    "anli": "CC BY-NC 4.0",
    "qqp": "Quora's terms: non-commercial",
    "hellaswag": "MIT",
    "cosmos_qa": "CC BY 4.0",
    "commonsense_qa": "MIT",
    "siqa": "CC BY 4.0",
    "flores200": "CC BY-SA 4.0",
    "flores200_dev": "CC BY-SA 4.0",
    "ntrex": "CC BY-SA 4.0",
    "opus100": "none of its own: each corpus of OPUS has its own (opus.nlpl.eu)",
}

# Not on the Hub -> how to supply it
BY_HAND = {
    "ccg": "CCGbank is licensed: order LDC2005T13 from the LDC (catalog.ldc.upenn.edu), then write "
    "intermediate/ccg/train.jsonl (sections 2-21) and validation.jsonl (section 0), a line "
    '{"tokens": [...], "tags": [...]} per sentence',
    "lareqa": "XQuAD-R is not on the Hub: copy dataset/xquad-r/*.json of the repository "
    "google-research-datasets/lareqa to xtreme/lareqa/xquad-r",
    "mewslix": "Mewsli-X is built by XTREME-R's scripts/download_data.sh: copy its mewslix folder to xtreme/mewslix",
}
# What the Hub's copies cannot give back, by task; goes to the manifest
NOTES = {
    "bucc2018": "dev (BUCC's sample, on which the threshold is tuned) is not on the Hub: copy bucc2018-sample's "
    "files, e.g. de-en.sample.de to bucc2018/de-en.dev.de; ids are line numbers, as BUCC's are",
    "udpos": "google/xtreme's rows hold syntactic words: multi-word tokens and their spelling are gone and nothing "
    "brings them back, so ar es he it pt ta tr and others differ from XTREME's test sets; de el fr ru zh come from "
    "UD 2.7 (izhx/xtreme-r-udpos), because google/xtreme mixes Swiss German, Ancient Greek, Old French, Old Russian "
    "and Classical Chinese into them; to rebuild XTREME's own files, clone the UD repositories at tag r2.5 into "
    "HUB_ROOT/UniversalDependencies/UD_* (lt pl ro uk wo: r2.7, UniversalDependencies-2.7): they are preferred, and "
    "converted by XTREME's rules",
}
