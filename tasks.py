"""What the tasks and languages are: tables, no I/O, standard library only.

    from tasks import TARGETS, INTERMEDIATE, LANGUAGES, BENCHMARKS
    TARGETS["xnli"].languages["xtreme"]        ("ar", "bg", "de", ...)
    TARGETS["xnli"].defaults.learning_rate     1e-05
    INTERMEDIATE["squad"].files["train"]       "squad/train.jsonl"

Adding a task is adding a record here. Reads and writes nothing. To reuse it, copy this file alone.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Defaults:
    """What a run uses where no flag is given. `source` says where the numbers come from."""

    learning_rate: float
    num_train_epochs: float
    train_batch_size: int  # effective: per device x devices x accumulation steps
    max_seq_length: int  # in sub-tokens
    doc_stride: int = 0  # step from window to window, in sub-tokens; question answering only
    warmup_steps: float = 0.1  # below 1: fraction of all steps, as in transformers 5
    weight_decay: float = 0.01
    source: str = ""
    recipe: str = "task default"  # whose numbers they are: the task's, or those of common/recipes.py
    micro_batch: int = 0  # examples that a device looks at together, where that matters: in-batch negatives

    @property
    def origin(self):
        """What the log and run.json say of a value."""
        return f"{self.recipe}, {self.source}"


@dataclass(frozen=True)
class Hub:
    """One data set of the Hub."""

    id: str
    config: str  # may hold {lang}: a code, {english_name}: Language.hub, {tatoeba}: Language.tatoeba
    revision: str  # 40 hexadecimal digits, or "main" where no commit could be verified
    note: str = ""  # where the commit was seen, and what to know before using the data


@dataclass(frozen=True)
class Task:
    """What a task is: where its files lie, what they hold, how it is scored and trained on."""

    name: str
    kind: str  # the file in heads/: classification | tagging | ... | retrieval | dual_encoder
    files: dict  # split -> path or tuple of paths below the data folder; {lang} is a language code
    columns: tuple  # names in the order of the file (tsv), or the JSON keys that are read
    languages: dict  # benchmark version -> codes, () where it lacks the task; {"train": ("en",)} if intermediate
    metric: str  # selects the checkpoint: accuracy | f1 | map@20
    labels: tuple = ()  # names in the Hub's ClassLabel order; () if there are none or they come from the data (CCG)
    hub: tuple = ()  # preferred source first
    defaults: Defaults | None = None
    layer: int = 0  # retrieval: hidden_states index of the protocol, for 24 layers
    parts: tuple = ()  # a union of other tasks on one shared head
    dev_is_test: bool = False  # no dev set of its own: nothing may be selected on it
    scored_as: str = ""  # the task whose metric it has, where that is not its own name


@dataclass(frozen=True)
class Language:
    """What is known of a language, and its names in data sets."""

    code: str  # as in file names
    name: str  # English
    script: str  # ISO 15924
    family: str
    genus: str
    hub: str  # {english_name} of Hub configs
    ud: str  # Universal Dependencies; "" without a treebank
    tatoeba: str  # ISO 639-3 as in Tatoeba and LASER; "" without a test set
    in_xlmr: bool  # in XLM-R's pretraining
    cc100_gib: float  # size of that pretraining text in GiB, 0.0 if not in it


# --- Languages of the benchmarks: lists and order are those of google-research/xtreme's evaluate.py at 838c13b

_XNLI = tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split())
_PAWSX = tuple("de en es fr ja ko zh".split())
_UDPOS = tuple(
    "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh".split()
)
_PANX = tuple(
    "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur "
    "fa fr it pt es bg ru ja ka ko th sw yo my zh kk tr et fi hu".split()
)
_TATOEBA = tuple(
    "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr "
    "it pt es bg ru ja ka ko th sw zh kk tr et fi hu".split()
)
_XQUAD = tuple("en es de el ru tr ar vi th zh hi".split())
_MLQA = tuple("en es de ar hi vi zh".split())
_TYDIQA = tuple("en ar bn fi id ko ru sw te".split())
_BUCC = tuple("de fr ru zh".split())
_XCOPA = tuple("et ht id it qu sw ta th tr vi zh".split())
_LAREQA = tuple("ar de el en es hi ru th tr vi zh".split())  # XQuAD-R's files; evaluate.py leaves this list empty
_MEWSLIX = tuple("ar de en es fa ja pl ro ta tr uk".split())


def _versions(xtreme=(), xtreme_r=()):
    return {"xtreme": xtreme, "xtreme-r": xtreme_r}


# Task groups. The overall score is the mean over a version's tasks, a group's score the mean over its own.
# XTREME-R as in the official script, which lists xcopa in two groups, with LAReQA added from the paper: the script
# has no reader, languages or metric for it, so it can never compute that version's overall score.
BENCHMARKS = {
    "xtreme": {
        "classification": ("pawsx", "xnli"),
        "tagging": ("udpos", "panx"),
        "qa": ("xquad", "mlqa", "tydiqa"),
        "retrieval": ("bucc2018", "tatoeba"),
    },
    "xtreme-r": {
        "classification": ("xnli", "xcopa"),
        "tagging": ("udpos", "panx"),
        "qa": ("xquad", "mlqa", "tydiqa"),
        "retrieval": ("tatoeba", "lareqa", "mewslix"),
        "multi_choice": ("xcopa",),
    },
}

# --- Hub repository -> (commit, where that commit was seen in public). The Hub itself was not asked.

_REVISIONS = {
    "allenai/cosmos_qa": (
        "ed50fe83db62b355759053b1cd5eef344ee371e0",
        "refs/convert/parquet, in one public script; main is a loading script",
    ),
    "allenai/social_i_qa": (
        "537a2ec8ec565adc0b70b70752893e59e024df26",
        "refs/convert/parquet, in one public script; main is a loading script",
    ),
    "aps/super_glue": ("3de24cf8022e94f4ee4b9d55a6f539891524d646", "in a public script, under the old id super_glue"),
    "cambridgeltl/xcopa": ("042f78955ba48e6404616762fa6e05e839c3907a", "in several public repositories"),
    "facebook/anli": ("8e4813d81f46d313dac7892e1c28076917cfcdf9", "in several public repositories"),
    "facebook/mlqa": ("397ed406c1a7902140303e7faf60fff35b58d285", "mteb, lighteval"),
    "facebook/xnli": ("b8dd5d7af51114dbda02c0e3f6133f332186418e", "mteb XNLI.py"),
    "google-research-datasets/paws-x": (
        "4cd8187c404bda33cb1f62b49b001115862acf37",
        "in several public repositories, with its Parquet files",
    ),
    "google-research-datasets/tydiqa": ("da78f23f9119363459acbaf46bf89426ff26c259", "in several public repositories"),
    "google/xquad": ("51adfef1c1287aab1d2d91b5bead9bcfb9c68583", "mteb XQuADRetrieval.py"),
    "google/xtreme": (
        "main",
        "not pinned: no revision could be verified offline; Hub pages show its conversion to Parquet as ec5f1f4",
    ),
    "izhx/xtreme-r-udpos": ("d0863a53a290c35d469310234e97461ea025287a", "the repository's Hub pages"),
    "mteb/BUCC": ("414572247440f0ccacf7eb0bb70a31533a0e5443", "mteb bucc_bitext_mining.py"),
    "mteb/tatoeba-bitext-mining": ("69e8f12da6e31d59addadda9a9c8a2e601a0e282", "mteb TatoebaBitextMining.py"),
    "nyu-mll/glue": ("bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c", "zenml, and several public repositories"),
    "rajpurkar/squad": ("7b6d24c440a36b6815f21b70d25016731768db1f", "in several public repositories"),
    "rajpurkar/squad_v2": ("3ffb306f725f7d2ce8394bc1873b24868140c412", "in several public repositories"),
    "Rowan/hellaswag": ("218ec52e09a7e7462a5400043bb9a69a41d06b76", "in several public repositories"),
    "stanfordnlp/snli": ("cdb5c3d5eed6ead6e5a341c8e56e669bb666725b", "in several public repositories"),
    "tau/commonsense_qa": ("94630fe30dad47192a8546eb75f094926d47e155", "in several public repositories"),
    "unimelb-nlp/wikiann": ("f0a3be6dc5564c0cc4150bb660144800a1f539d4", "in several public repositories"),
}


def _hub(repository, config, note=""):
    revision, seen = _REVISIONS[repository]
    return Hub(repository, config, revision, f"{seen}; {note}" if note else seen)


_SQUAD_HUB = _hub("rajpurkar/squad", "plain_text", "train and dev")

# --- Defaults, and where they come from

_GUIDE = "jiant xstilts guide: d_write_configs.sh, c_tokenize_and_cache.sh"
_APPENDIX = "X-STILTs Appendix A (from memory): rate, batch, epochs; jiant: length, stride"
_XCOPA_SCRIPT = "XTREME-R train_xcopa.sh, whose first phase is the intermediate task siqa"
_MLM_SOURCES = "X-STILTs Appendix A (from memory): learning rate, batch; jiant: max length; one pass over the text"


def _jiant(epochs, batch, length, stride=0):
    """jiant 2's X-STILTs guide as shipped. The paper's Appendix A has 3e-6 (from memory) where jiant has 1e-5."""
    return Defaults(1e-5, epochs, batch, length, stride, source=_GUIDE)


def _appendix(epochs, batch, length=256, stride=0):
    """X-STILTs, phase 2. Only the lengths were found in public code."""
    return Defaults(1e-5, epochs, batch, length, stride, source=_APPENDIX)


_NO_TRAINING = Defaults(0.0, 0.0, 8, 512, source="jiant xstilts guide: no training, max length 512")
_XCOPA_DEFAULTS = Defaults(3e-5, 5, 32, 128, warmup_steps=0, weight_decay=0.0, source=_XCOPA_SCRIPT)
_LAREQA_DEFAULTS = Defaults(
    2e-5, 3, 16, 256, warmup_steps=0, weight_decay=0.0, micro_batch=4,
    source="XTREME-R train_lareqa.sh (256 of an answer, 96 of a question)",
)  # fmt: skip
_MEWSLIX_DEFAULTS = Defaults(
    1e-5, 2, 32, 64, warmup_steps=0, weight_decay=0.0, micro_batch=8, source="XTREME-R train_mewslix.sh"
)
_MLM = Defaults(5e-6, 1, 8, 256, source=_MLM_SOURCES)  # its lower learning rate holds for all tasks it is mixed with
_TLM = Defaults(5e-6, 1, 8, 256, source="as mlm, whose loss it has")

# --- Target tasks (phase 3), below data/xtreme: name, kind, files, columns; languages, metric, labels; the rest

_NLI = ("entailment", "neutral", "contradiction")
_UPOS = tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
_IOB2 = tuple("O B-PER I-PER B-ORG I-ORG B-LOC I-LOC".split())
_PAIR = ("sentence1", "sentence2", "label")
_WORDS = ("word", "tag")
_QUESTIONS = ("id", "context", "question", "answers")
_CHOICES = ("premise", "choice1", "choice2", "question", "label")
_NLI_COLUMNS = ("premise", "hypothesis", "label")
_SQUAD_FILES = {"train": "squad/train-v1.1.json", "dev": "squad/dev-v1.1.json"}  # of XQuAD and MLQA, too
_MLQA_TEST = "mlqa/MLQA_V1/test/test-context-{lang}-question-{lang}.json"
_TYDIQA_DEV = "tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.{}.dev.json"


def _tsv(task):
    return {"train": f"{task}/train-en.tsv", "dev": f"{task}/dev-{{lang}}.tsv", "test": f"{task}/test-{{lang}}.tsv"}


_TARGETS = (
    Task(
        "xnli", "classification", _tsv("xnli"), _PAIR,
        _versions(_XNLI, _XNLI), "accuracy", _NLI,
        hub=(_hub("facebook/xnli", "{lang}", "the train split of en is MNLI"),),
        defaults=_jiant(2, 32, 256),
    ),
    Task(
        "pawsx", "classification", _tsv("pawsx"), _PAIR,
        _versions(_PAWSX), "accuracy", ("0", "1"),
        hub=(_hub("google-research-datasets/paws-x", "{lang}", "google/xtreme lost rows of it to CSV quoting"),),
        defaults=_jiant(5, 32, 256),
    ),
    Task(
        "udpos", "tagging", _tsv("udpos"), _WORDS,
        _versions(_UDPOS, _UDPOS + ("lt", "pl", "uk", "wo", "ro")), "f1", _UPOS,
        hub=(
            _hub(
                "google/xtreme", "udpos.{english_name}",
                "de, el, fr, ru, zh hold other treebanks too; multi-word tokens are not fused",
            ),
            _hub("izhx/xtreme-r-udpos", "{lang}", "UD 2.7, XTREME-R's languages"),
        ),
        defaults=_jiant(10, 32, 256),
    ),
    Task(
        "panx", "tagging", _tsv("panx"), _WORDS,
        _versions(_PANX, _PANX + ("qu", "pl", "uk", "az", "lt", "pa", "gu", "ro")), "f1", _IOB2,
        hub=(
            _hub("unimelb-nlp/wikiann", "{lang}"),
            _hub("google/xtreme", "PAN-X.{lang}", "XTREME's 40 languages only"),
        ),
        defaults=_jiant(10, 32, 256),
    ),
    Task(
        "xquad", "question_answering", {**_SQUAD_FILES, "test": "xquad/xquad.{lang}.json"}, _QUESTIONS,
        _versions(_XQUAD, _XQUAD + ("ro",)), "f1",
        hub=(_hub("google/xquad", "xquad.{lang}", "test, in its validation split"), _SQUAD_HUB),
        defaults=_jiant(2, 16, 384, 128),
    ),
    Task(
        "mlqa", "question_answering", {**_SQUAD_FILES, "test": _MLQA_TEST}, _QUESTIONS,
        _versions(_MLQA, _MLQA), "f1",
        hub=(
            _hub("google/xtreme", "MLQA.{lang}.{lang}"),
            _hub("facebook/mlqa", "mlqa.{lang}.{lang}", "a loading script, which datasets 5 does not run"),
            _SQUAD_HUB,
        ),
        defaults=_jiant(2, 16, 384, 128),
    ),
    Task(
        "tydiqa", "question_answering",
        {
            "train": "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.en.train.json",
            "dev": _TYDIQA_DEV.format("en"),
            "test": _TYDIQA_DEV.format("{lang}"),
        },
        _QUESTIONS,
        _versions(_TYDIQA, _TYDIQA), "f1",
        hub=(
            _hub(
                "google-research-datasets/tydiqa", "secondary_task",
                "all 9 languages in one: keep ids that start with the language's name; check answer_start, a user "
                "found train rows where it is off",
            ),
            _hub("google/xtreme", "tydiqa", "all 9 languages in one"),
        ),
        defaults=_jiant(2, 16, 384, 128), dev_is_test=True,
    ),
    Task(
        "bucc2018", "retrieval",
        {
            "dev": "bucc2018/{lang}-en.dev.{lang}",
            "dev_english": "bucc2018/{lang}-en.dev.en",
            "dev_gold": "bucc2018/{lang}-en.dev.gold",
            "test": "bucc2018/{lang}-en.test.{lang}",
            "test_english": "bucc2018/{lang}-en.test.en",
            "test_gold": "bucc2018/{lang}-en.test.gold",
        },
        ("id", "sentence"),
        _versions(_BUCC), "f1",
        hub=(
            _hub(
                "mteb/BUCC", "{lang}-en",
                "test (BUCC's training split); dev (its sample) is not on the Hub, google/xtreme has gold pairs only",
            ),
        ),
        defaults=_NO_TRAINING, layer=14,
    ),
    Task(
        "tatoeba", "retrieval", {"test": "tatoeba/{lang}-en.{lang}", "test_english": "tatoeba/{lang}-en.en"},
        ("sentence",),
        _versions(_TATOEBA, _TATOEBA + ("az", "lt", "pl", "uk", "ro")), "accuracy",
        hub=(
            _hub("mteb/tatoeba-bitext-mining", "{tatoeba}-eng"),
            _hub("google/xtreme", "tatoeba.{tatoeba}", "XTREME's 36 languages only"),
        ),
        defaults=_NO_TRAINING, layer=14,
    ),
    Task(
        "xcopa", "multiple_choice",
        {"train": "xcopa/train-en.jsonl", "dev": "xcopa/val-{lang}.jsonl", "test": "xcopa/test-{lang}.jsonl"},
        _CHOICES,
        _versions((), _XCOPA), "accuracy",
        hub=(
            _hub("cambridgeltl/xcopa", "{lang}", "dev and test"),
            _hub("aps/super_glue", "copa", "English train and dev"),
        ),
        defaults=_XCOPA_DEFAULTS,
    ),
    Task(
        "lareqa", "dual_encoder", {**_SQUAD_FILES, "test": "lareqa/xquad-r/{lang}.json"}, _QUESTIONS,
        _versions((), _LAREQA), "map@20",
        defaults=_LAREQA_DEFAULTS,
    ),
    Task(
        "mewslix", "dual_encoder",
        {
            "train": "mewslix/wikipedia_pairs-train.jsonl",
            "dev": "mewslix/wikipedia_pairs-dev.jsonl",
            "test": "mewslix/wikinews_mentions/test-{lang}.jsonl",
            "test_gold": "mewslix/wikinews_labels/test-{lang}.json",
            "candidates": "mewslix/candidate_set_entities.jsonl",
        },
        ("context", "mentions"),
        _versions((), _MEWSLIX), "map@20",
        defaults=_MEWSLIX_DEFAULTS,
    ),
)  # fmt: skip
TARGETS = {task.name: task for task in _TARGETS}

# --- Intermediate tasks (phase 2), below data/intermediate: the Hub's columns, one JSON object per line

_ENGLISH = {"train": ("en",)}
_MNLI_FILES = {"train": "mnli/train.jsonl", "dev": "mnli/validation_matched.jsonl"}
_ANLI_FILES = {split: tuple(f"anli/{split}_r{number}.jsonl" for number in (1, 2, 3)) for split in ("train", "dev")}
_COSMOS_COLUMNS = ("context", "question", "answer0", "answer1", "answer2", "answer3", "label")
_MNLI_HUB, _SNLI_HUB = _hub("nyu-mll/glue", "mnli"), _hub("stanfordnlp/snli", "plain_text", "label -1 is dropped")
_ANLI_HUB = _hub("facebook/anli", "plain_text", "splits train_r1 ... test_r3")


def _jsonl(task):
    return {"train": f"{task}/train.jsonl", "dev": f"{task}/validation.jsonl"}


_INTERMEDIATE = (
    Task(
        "mnli", "classification", _MNLI_FILES, _NLI_COLUMNS,
        _ENGLISH, "accuracy", _NLI, (_MNLI_HUB,), _appendix(2, 24),
    ),
    Task(
        "snli", "classification", _jsonl("snli"), _NLI_COLUMNS,
        _ENGLISH, "accuracy", _NLI, (_SNLI_HUB,), _appendix(2, 24),
    ),
    Task(
        "anli", "classification", _ANLI_FILES, _NLI_COLUMNS,
        _ENGLISH, "accuracy", _NLI, (_ANLI_HUB,), _appendix(2, 24),
    ),
    Task(
        # the paper's ANLI+: one shared head; proportional sampling of the parts is their concatenation
        "anli_plus", "classification",
        {split: (_MNLI_FILES[split], _jsonl("snli")[split], *_ANLI_FILES[split]) for split in ("train", "dev")},
        _NLI_COLUMNS,
        _ENGLISH, "accuracy", _NLI, (_MNLI_HUB, _SNLI_HUB, _ANLI_HUB), _appendix(2, 24),
        parts=("mnli", "snli", "anli"),
    ),
    Task(
        "qqp", "classification", _jsonl("qqp"), ("question1", "question2", "label"),
        _ENGLISH, "accuracy", ("not_duplicate", "duplicate"), (_hub("nyu-mll/glue", "qqp"),), _appendix(3, 24),
    ),
    Task(
        "squad", "question_answering", _jsonl("squad"), _QUESTIONS,
        _ENGLISH, "f1", (), (_SQUAD_HUB,), _appendix(3, 8, 384, 128),
    ),
    Task(
        "squad_v2", "question_answering", _jsonl("squad_v2"), _QUESTIONS,
        _ENGLISH, "f1", (), (_hub("rajpurkar/squad_v2", "squad_v2"),), _appendix(3, 8, 384, 128),
    ),
    Task(
        "hellaswag", "multiple_choice", _jsonl("hellaswag"), ("ctx_a", "ctx_b", "endings", "label"),
        _ENGLISH, "accuracy", (), (_hub("Rowan/hellaswag", "default"),), _appendix(7, 24),
    ),
    Task(
        "cosmos_qa", "multiple_choice", _jsonl("cosmos_qa"), _COSMOS_COLUMNS,
        _ENGLISH, "accuracy", (), (_hub("allenai/cosmos_qa", "default"),), _appendix(15, 4),
    ),
    Task(
        "commonsense_qa", "multiple_choice", _jsonl("commonsense_qa"), ("question", "choices", "answerKey"),
        _ENGLISH, "accuracy", (), (_hub("tau/commonsense_qa", "default"),), _appendix(10, 4),
    ),
    Task(
        # not of the paper's nine: the first phase of XTREME-R's XCOPA, whose head goes on to COPA (--keep_head siqa)
        "siqa", "multiple_choice", _jsonl("siqa"), ("context", "question", "answerA", "answerB", "answerC", "label"),
        _ENGLISH, "accuracy", (), (_hub("allenai/social_i_qa", "default", "label 1 to 3, as text"),), _XCOPA_DEFAULTS,
    ),
    Task(
        # CCGbank (LDC2005T13) is licensed and not on the Hub: bring your own files. Its 1,363 tags come from the data.
        "ccg", "tagging", _jsonl("ccg"), ("tokens", "tags"),
        _ENGLISH, "accuracy", (), (), _appendix(15, 24),
    ),
)  # fmt: skip
INTERMEDIATE = {task.name: task for task in _INTERMEDIATE}
NINE = tuple("anli_plus mnli qqp squad_v2 squad hellaswag ccg cosmos_qa commonsense_qa".split())  # of the paper
MASKED_LM = Task("mlm", "masked_lm", {}, (), {"train": ()}, "perplexity", defaults=_MLM)  # reads text files
TRANSLATION_LM = Task("tlm", "translation_lm", {}, (), {"train": ()}, "perplexity", defaults=_TLM)  # parallel lines

# --- The 50 languages of XTREME-R, then AmericasNLI's ten (whose Quechua is quy; qu is XTREME-R's).
# CC-100 sizes: XLM-R paper, Table 6, from memory. zh is simplified Chinese (traditional: 16.6 more), my the larger of
# two rows. Latn rows of hi, ta, te, ur, bn are not counted. Family and genus follow Glottolog and WALS, from memory.

_IE, _AN = "Indo-European", "Austronesian"
_LANGUAGE_ROWS = (
    # code   name                 script  family           genus                        ud     tatoeba  CC-100 GiB
    ("af",  "Afrikaans",         "Latn", _IE,             "Germanic",                  "af",  "afr",    1.3),
    ("ar",  "Arabic",            "Arab", "Afro-Asiatic",  "Semitic",                   "ar",  "ara",   28.0),
    ("az",  "Azerbaijani",       "Latn", "Turkic",        "Turkic",                    "az",  "aze",    6.5),
    ("bg",  "Bulgarian",         "Cyrl", _IE,             "Slavic",                    "bg",  "bul",   57.5),
    ("bn",  "Bengali",           "Beng", _IE,             "Indic",                     "bn",  "ben",    8.4),
    ("de",  "German",            "Latn", _IE,             "Germanic",                  "de",  "deu",   66.6),
    ("el",  "Greek",             "Grek", _IE,             "Greek",                     "el",  "ell",   46.9),
    ("en",  "English",           "Latn", _IE,             "Germanic",                  "en",  "eng",  300.8),
    ("es",  "Spanish",           "Latn", _IE,             "Romance",                   "es",  "spa",   53.3),
    ("et",  "Estonian",          "Latn", "Uralic",        "Finnic",                    "et",  "est",    6.1),
    ("eu",  "Basque",            "Latn", "Basque",        "Basque",                    "eu",  "eus",    2.0),
    ("fa",  "Persian",           "Arab", _IE,             "Iranian",                   "fa",  "pes",  111.6),
    ("fi",  "Finnish",           "Latn", "Uralic",        "Finnic",                    "fi",  "fin",   54.3),
    ("fr",  "French",            "Latn", _IE,             "Romance",                   "fr",  "fra",   56.8),
    ("gu",  "Gujarati",          "Gujr", _IE,             "Indic",                     "gu",  "",       1.9),
    ("he",  "Hebrew",            "Hebr", "Afro-Asiatic",  "Semitic",                   "he",  "heb",   31.6),
    ("hi",  "Hindi",             "Deva", _IE,             "Indic",                     "hi",  "hin",   20.2),
    ("ht",  "Haitian Creole",    "Latn", "Creole",        "French-based",              "ht",  "",       0.0),
    ("hu",  "Hungarian",         "Latn", "Uralic",        "Ugric",                     "hu",  "hun",   58.4),
    ("id",  "Indonesian",        "Latn", _AN,             "Malayo-Sumbawan",           "id",  "ind",  148.3),
    ("it",  "Italian",           "Latn", _IE,             "Romance",                   "it",  "ita",   30.2),
    ("ja",  "Japanese",          "Jpan", "Japonic",       "Japanese",                  "ja",  "jpn",   69.3),
    ("jv",  "Javanese",          "Latn", _AN,             "Javanese",                  "jv",  "jav",    0.2),
    ("ka",  "Georgian",          "Geor", "Kartvelian",    "Kartvelian",                "ka",  "kat",    9.1),
    ("kk",  "Kazakh",            "Cyrl", "Turkic",        "Turkic",                    "kk",  "kaz",    6.4),
    ("ko",  "Korean",            "Kore", "Koreanic",      "Korean",                    "ko",  "kor",   54.2),
    ("lt",  "Lithuanian",        "Latn", _IE,             "Baltic",                    "lt",  "lit",   13.7),
    ("ml",  "Malayalam",         "Mlym", "Dravidian",     "Southern Dravidian",        "ml",  "mal",    7.6),
    ("mr",  "Marathi",           "Deva", _IE,             "Indic",                     "mr",  "mar",    2.8),
    ("ms",  "Malay",             "Latn", _AN,             "Malayo-Sumbawan",           "",    "zsm",    8.5),
    ("my",  "Burmese",           "Mymr", "Sino-Tibetan",  "Burmese-Lolo",              "",    "",       1.6),
    ("nl",  "Dutch",             "Latn", _IE,             "Germanic",                  "nl",  "nld",   29.3),
    ("pa",  "Punjabi",           "Guru", _IE,             "Indic",                     "",    "",       0.8),
    ("pl",  "Polish",            "Latn", _IE,             "Slavic",                    "pl",  "pol",   44.6),
    ("pt",  "Portuguese",        "Latn", _IE,             "Romance",                   "pt",  "por",   49.1),
    ("qu",  "Quechua",           "Latn", "Quechuan",      "Quechuan",                  "",    "",       0.0),
    ("ro",  "Romanian",          "Latn", _IE,             "Romance",                   "ro",  "ron",   61.4),
    ("ru",  "Russian",           "Cyrl", _IE,             "Slavic",                    "ru",  "rus",  278.0),
    ("sw",  "Swahili",           "Latn", "Niger-Congo",   "Bantu",                     "",    "swh",    1.6),
    ("ta",  "Tamil",             "Taml", "Dravidian",     "Southern Dravidian",        "ta",  "tam",   12.2),
    ("te",  "Telugu",            "Telu", "Dravidian",     "South-Central Dravidian",   "te",  "tel",    4.7),
    ("th",  "Thai",              "Thai", "Tai-Kadai",     "Kam-Tai",                   "th",  "tha",   71.7),
    ("tl",  "Tagalog",           "Latn", _AN,             "Greater Central Philippine", "tl", "tgl",    3.1),
    ("tr",  "Turkish",           "Latn", "Turkic",        "Turkic",                    "tr",  "tur",   20.9),
    ("uk",  "Ukrainian",         "Cyrl", _IE,             "Slavic",                    "uk",  "ukr",   84.6),
    ("ur",  "Urdu",              "Arab", _IE,             "Indic",                     "ur",  "urd",    5.7),
    ("vi",  "Vietnamese",        "Latn", "Austro-Asiatic", "Viet-Muong",               "vi",  "vie",  137.3),
    ("wo",  "Wolof",             "Latn", "Niger-Congo",   "Northern Atlantic",         "wo",  "",       0.0),
    ("yo",  "Yoruba",            "Latn", "Niger-Congo",   "Defoid",                    "yo",  "",       0.0),
    ("zh",  "Chinese",           "Hans", "Sino-Tibetan",  "Chinese",                   "zh",  "cmn",   46.9),
    ("aym", "Aymara",            "Latn", "Aymaran",       "Aymaran",                   "",    "",       0.0),
    ("bzd", "Bribri",            "Latn", "Chibchan",      "Talamanca",                 "bzd", "",       0.0),
    ("cni", "Asháninka",         "Latn", "Arawakan",      "Pre-Andine Arawakan",       "",    "",       0.0),
    ("gn",  "Guaraní",           "Latn", "Tupian",        "Tupi-Guaraní",              "gn",  "",       0.0),
    ("hch", "Wixarika",          "Latn", "Uto-Aztecan",   "Corachol",                  "",    "",       0.0),
    ("nah", "Nahuatl",           "Latn", "Uto-Aztecan",   "Aztecan",                   "",    "",       0.0),
    ("oto", "Otomí",             "Latn", "Oto-Manguean",  "Otomian",                   "",    "",       0.0),
    ("quy", "Ayacucho Quechua",  "Latn", "Quechuan",      "Quechuan",                  "",    "",       0.0),
    ("shp", "Shipibo-Konibo",    "Latn", "Panoan",        "Panoan",                    "",    "",       0.0),
    ("tar", "Rarámuri",          "Latn", "Uto-Aztecan",   "Tarahumaran",               "",    "",       0.0),
)  # fmt: skip
LANGUAGES = {
    code: Language(code, name, script, family, genus, name, ud, tatoeba, gib > 0, gib)
    for code, name, script, family, genus, ud, tatoeba, gib in _LANGUAGE_ROWS
}
