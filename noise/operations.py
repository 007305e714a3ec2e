"""The table of operations: what each does, to which scripts it applies, and how often at each level.

To add one, write its function in noise/proposals.py and its record here.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from noise import input_methods, proposals, retyping, tables
from noise.draws import Choice, Mix
from noise.entries import entries
from noise.marks import SCRIPTS as MARKED_SCRIPTS
from noise.marks import marks
from noise.scripts import Neighbors, everywhere, gaps, sentence_marks, words
from noise.spellings import ORTHOGRAPHY

# Level -> rate. EDIT is the grapheme error rate: edit distance in grapheme clusters over the clean text's clusters.
EDIT = (0, 0.01, 0.02, 0.05, 0.10, 0.15)
LOOKALIKE = (0, 0.01, 0.02, 0.05, 0.10, 0.20)  # share of the places that the operation can change
GAP = (0, 0.02, 0.05, 0.10, 0.20, 0.30)  # share of the gaps between words
WORD = (0, 0.05, 0.10, 0.20, 0.50, 0.80)  # share of the words, or of the rare places, that the operation can change


def every_script(script):
    return True


def every_language(lang, script):
    return True


def needs_table(lang, script):
    return False


def among(scripts):
    return lambda script: script in scripts


def has_ocr(lang, script):
    return script in tables.OCR


def has_kana(lang, script):
    return script == "Jpan"


def is_vietnamese(lang, script):
    return lang == "vi"


def has_spellings(lang, script):
    return bool({lang, script} & ORTHOGRAPHY.keys())


def spaced_script(script):
    return script not in tables.WITHOUT_SPACES


def keyed_script(script):
    return bool(Neighbors("", script).code)


class Operation(NamedTuple):
    make: Callable  # noiser -> propose, see noise/proposals.py
    rates: tuple  # by level
    what: str  # happens
    source: str
    # units, noiser -> candidate places, of which the rate is a share; None: all units, and clusters are counted
    places: Callable | None = None
    scripts: Callable = every_script  # script -> whether it applies
    # Removes or reorders what may carry the meaning: refused for PAWS-X, whose labels turn on word order.
    flips: bool = False
    splits: bool = False  # changes the number of tokens: not for tagging
    table: str = ""  # the flag of the user's table that it takes
    ready: Callable = every_language  # (lang, script) -> whether it has what it needs of its own
    cost: int = 1  # edit distance that an edit usually has


def mixed(noiser):
    """`mixed` of version 1, see noise/draws1.py: draws one of the operations in tables.MIXED_1 for each place."""
    choices = [choice.propose for choice, weight in shares_of(noiser, tables.MIXED_1).items() for _ in range(weight)]
    return lambda units, i, random: choices[random(len(choices))](units, i, random)


def mix_of(noiser, factors):
    """The Mix of a Noiser: its operation, or those of `mixed` in their shares; factors: {operation: factor}."""
    if noiser.op != "mixed":
        return Mix({Choice(noiser.op, noiser.propose, OPERATIONS[noiser.op].cost, None): 1})
    shares = shares_of(noiser, tables.MIXED)
    return Mix({choice: share * factors.get(choice.op, 1) for choice, share in shares.items()})


def shares_of(noiser, mixes):
    """{Choice: share} of the operations of a table of mixes that apply to the noiser's language."""
    wanted = dict(mixes.get(noiser.script, mixes[""]))
    if mixes is tables.MIXED:
        wanted |= {op: share for op, (share, languages) in tables.MIXED_TOO.items() if noiser.lang in languages}
    shares = {}
    for op, share in wanted.items():
        operation = OPERATIONS[op]
        refused = not_applicable(op, noiser.lang, noiser.script, noiser.table)
        if not (refused or (operation.splits and noiser.one_token)):
            places = operation.places and operation.places is not everywhere
            seek = partial(operation.places, noiser=noiser) if places else None
            shares[Choice(op, operation.make(noiser), operation.cost, seek)] = share
    return shares


BELINKOV, ZEROE = "Belinkov & Bisk 2018", "Zéroe (Eger & Benz 2020)"
BYT5, MULTYPO, NOISEQA = "ByT5 (Xue et al. 2022)", "MulTypo 2025", "NoiseQA (Ravichander et al. 2021)"
OPERATIONS = {
    "keyboard": Operation(proposals.keyboard, EDIT, "a letter becomes one beside it on the language's keyboard",
                          f"xkb layouts; {BELINKOV}", scripts=keyed_script),
    "swap": Operation(proposals.swap, EDIT, "two letters next to each other change places", BELINKOV, flips=True,
                      cost=2),
    "delete": Operation(proposals.delete, EDIT, "a letter is missing", MULTYPO, flips=True),
    "insert": Operation(proposals.insert, EDIT,
                        "a letter from a key beside comes in; Han, Hangul: another character of the text", MULTYPO),
    "stray": Operation(proposals.stray, EDIT, "another letter of the text comes in", NOISEQA),
    "repeat": Operation(proposals.repeat, EDIT, "a letter stands twice", BYT5),
    "inner_shuffle": Operation(proposals.inner_shuffle, WORD,
                               "letters of a word but the first and last in random order",
                               BELINKOV, words, flips=True),
    "full_shuffle": Operation(proposals.full_shuffle, WORD, "all letters of a word in random order",
                              BELINKOV, words, flips=True),
    "truncate": Operation(proposals.truncate, WORD, "a word of 4 letters or more loses its last",
                          ZEROE, words, flips=True),
    "vowels": Operation(proposals.vowels, WORD, "a word of 3 letters or more loses its vowels",
                        ZEROE, words, among(tables.VOWELS), flips=True),
    "whitespace": Operation(proposals.whitespace, GAP, "a space is missing, or stands within a word",
                            f"{ZEROE}; OpusTrainer", gaps, spaced_script, splits=True),
    "case": Operation(proposals.case, EDIT, "a letter is of the other case", BYT5, scripts=among(tables.BICAMERAL)),
    "punctuation": Operation(proposals.punctuation, WORD,
                             "a mark is replaced by another of its script, doubled, or missing",
                             "KaziText (Náplava et al. 2021)", sentence_marks),
    "diacritics": Operation(proposals.diacritics, WORD, "a letter loses its diacritics, points or nukta",
                            "Unicode decomposition", everywhere, among(tables.DIACRITIC_SCRIPTS)),
    "marks": Operation(marks, EDIT, "a vowel sign, tone, point or nukta is missing or taken for another; Hangul: a "
                       "jamo is missing or doubled", "confusions of vowel length and tone, own tables",
                       scripts=among(MARKED_SCRIPTS)),
    "homoglyph": Operation(proposals.homoglyph, LOOKALIKE, "a letter becomes one that looks like it",
                           "Unicode UTS 39 confusables; VIPER (Eger et al. 2019)", everywhere,
                           among(tables.HOMOGLYPH_SCRIPTS)),
    "invisible": Operation(proposals.invisible, LOOKALIKE, "an invisible sign or a bidi control comes in",
                           "Bad Characters (Boucher et al. 2022)", everywhere),
    "ocr": Operation(proposals.ocr, LOOKALIKE, "a letter is misread by a scanner",
                     "nlpaug's OCR operation, own tables", everywhere, table="ocr_map", ready=has_ocr),
    "orthography": Operation(proposals.orthography, WORD, "a spelling variant or common confusion of the language",
                             "own tables", everywhere, ready=has_spellings),
    "jamo": Operation(proposals.jamo, EDIT, "one jamo of a syllable becomes one beside it on the two-set keyboard",
                      "KS X 5002", scripts=among({"Kore"})),
    "ime": Operation(proposals.ime, EDIT, "ja: voicing or size of a kana; zh: a character of the same reading",
                     "kana input; TextFlint", scripts=among({"Jpan", "Hans"}), table="ime", ready=has_kana),
    "telex": Operation(input_methods.telex, EDIT, "a keystroke of a Vietnamese letter in Telex is missed, doubled or "
                       "beside, or Telex is off", "TCVN's Telex keys", scripts=among({"Latn"}), ready=is_vietnamese),
    "romaji": Operation(input_methods.romaji, EDIT, "a keystroke of a kana typed in Latin letters is missed, doubled "
                        "or beside", "JIS X 4063", scripts=among({"Jpan"})),
    "layout": Operation(retyping.layout, WORD, "a word is typed with the American keyboard layout active",
                        "xkb layouts, KS X 5002", words, ready=retyping.has_other_layout),
    "romanize": Operation(retyping.romanize, WORD, "a word in Latin letters", "uroman (Hermjakob et al. 2018)", words,
                          among(set(tables.LANGUAGES) - {"Latn"}), ready=retyping.has_uroman),
    "codeswitch": Operation(proposals.look_up, WORD, "a word becomes its translation in the user's dictionary",
                            "CoSDA-ML (Qin et al. 2020)", entries, table="codeswitch", ready=needs_table),
    "profile": Operation(proposals.look_up, WORD, "a word becomes an attested misspelling of the user's list",
                         BELINKOV, entries, table="profile", ready=needs_table),
    "mixed": Operation(mixed, EDIT, "the typing errors above in natural shares for the script", NOISEQA, flips=True),
}  # fmt: skip


def not_applicable(op, lang, script, table=None):
    """Why an operation does nothing in a language, or "" where it applies."""
    operation = OPERATIONS[op]
    if not operation.scripts(script):
        return f"does not apply to the script {script}"
    if not operation.ready(lang, script) and not (operation.table and table):
        if op == "romanize":
            return "needs the package uroman; run: pip install uroman"
        return f"needs a table from the user (--{operation.table})" if operation.table else f"does not apply to {lang}"
    return ""
