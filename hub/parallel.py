"""Parallel text with English: the sets that download_data.py writes below data/parallel, and their languages' names.

Columns of FLORES-200 and NTREX-128 are `<ISO 639-3>_<script>`; each names some languages in its own way. Chinese is
simplified. OPUS-100 has a configuration per pair, its two languages in order of the alphabet.
"""

from tasks import LANGUAGES, Hub, Task

# AmericasNLI's languages, of which FLORES has aym and gn, and XTREME-R's Quechua, of which it has Ayacucho's, quy
_AMERICAS = set("aym bzd cni gn hch nah oto qu shp tar".split())
_FLORES = tuple(code for code in LANGUAGES if code not in _AMERICAS) + ("aym", "gn")
_NTREX = tuple(code for code in LANGUAGES if code not in _AMERICAS | {"ht", "jv", "quy"})
_OPUS = tuple(code for code in LANGUAGES if code not in _AMERICAS | {"en", "ht", "jv", "quy", "sw", "tl", "wo"})

SETS = {
    task.name: task
    for task in (
        Task(
            "flores200", "columns", {"test": "flores200/{lang}.txt", "dev": "flores200_dev/{lang}.txt"}, (),
            {"test": _FLORES}, "",
            hub=(
                Hub("mteb/FloresBitextMining", "default", "2144d16cc15edd22d4a9237d12bff5f31f5c07fc", "mteb; devtest"),
                Hub("mteb/flores", "default", "main", "not pinned: no revision verified offline; dev, devtest"),
            ),
        ),
        Task(
            "ntrex", "columns", {"test": "ntrex/{lang}.txt"}, (),
            {"test": _NTREX}, "",
            hub=(Hub("mteb/NTREXBitextMining", "default", "66b8b27efc99658903127730575e9fa0cb9f075c", "mteb"),),
        ),
        Task(
            "opus100", "translation",
            {
                f"{split}{side}": f"opus100/{split}.{{lang}}-en.{language}"
                for split in ("train", "dev", "test")
                for side, language in (("", "{lang}"), ("_english", "en"))
            },
            ("translation",),
            {"train": _OPUS}, "",
            hub=(
                Hub(
                    "Helsinki-NLP/opus-100", "{pair}", "805090dc28bf78897da9641cdf08b61287580df9",
                    "mteb, and several public repositories; English with 99 languages, up to a million pairs each",
                ),
            ),
        ),
    )
}  # fmt: skip
HUB_SPLITS = {"train": ("train",), "dev": ("dev", "validation"), "test": ("devtest", "test")}  # ours -> the Hub's

# Codes of ISO 639-3 that a column may have, where they are others than Tatoeba's (in tasks.py).
_ISO3 = {
    "ar": ("arb",), "fa": ("fas",), "sw": ("swa",), "az": ("azj",), "ms": ("msa",), "tl": ("fil",), "zh": ("zho",),
    "et": ("ekk",), "gu": ("guj",), "ht": ("hat",), "my": ("mya",), "pa": ("pan",), "wo": ("wol",), "yo": ("yor",),
    "aym": ("ayr",), "gn": ("grn",),
}  # fmt: skip
_SCRIPTS = {"Kore": "Hang"}


def pair_of(code):
    """How OPUS-100 names a language's pair with English: de-en, en-fr."""
    return "-".join(sorted((code, "en")))


def column_of(code, columns):
    """The column of a language, None where there is none: swh_Latn of FLORES, swa_Latn of NTREX."""
    language = LANGUAGES[code]
    script = _SCRIPTS.get(language.script, language.script)
    names = [f"{iso3}_{script}" for iso3 in (language.tatoeba, *_ISO3.get(code, ()), code)]
    return next((name for name in names if name in columns), None)
