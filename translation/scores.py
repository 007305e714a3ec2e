"""What translations are worth: BLEU and chrF++ with statistics per line, and what noise did to them.

Definitions, sources and row formats: docs/translation.md.
"""

import re
import unicodedata

import numpy as np

import metrics
from common.files import InputError, write_json_lines
from common.task_records import RATIO_FLOOR

FAULTS = ("empty", "repeated", "copied", "wrong_length", "wrong_script")


def signatures():
    """{metric: sacreBLEU's signature}, for run.json."""
    from sacrebleu.metrics import BLEU, CHRF

    scorers = {"bleu": BLEU(), "chrf++": CHRF(word_order=2)}
    for scorer in scorers.values():
        scorer.corpus_score(["a"], [["a"]])  # which fixes the number of references
    return {name: str(scorer.get_signature()) for name, scorer in scorers.items()}


def score(sources, outputs, references):
    """({metric: percent}, additive counts per line) of translations of `sources`, the text that was read."""
    counts = metrics.count("translation", references, outputs)
    shifted = references[1:] + references[:1]
    floor = metrics.score("translation", shifted, outputs)
    for row, *texts in zip(counts, sources, outputs, references):
        row.update(faults(*texts))
    scores = metrics.aggregate("translation", counts) | {"chrf++_other_lines": floor["chrf++"]}
    return scores | {name: 100 * sum(row[name] for row in counts) / len(counts) for name in FAULTS}, counts


# --- Faults: what a reader sees at once -----------------------------------------------------------------------------


def faults(source, output, reference):
    """{fault: 0 or 1} of an English output, as FAULTS names them."""
    words, expected = output.split(), reference.split()
    own = {word for word in letters_of(source) if len(word) > 1} - set(letters_of(reference))
    copied = own & set(letters_of(output))
    letters = [character for character in output if character.isalpha()]
    latin = sum(unicodedata.name(character, "").startswith("LATIN") for character in letters)
    told = {
        "empty": not words,
        "repeated": repeats(words) and not repeats(expected),
        "copied": len(own) > 0 and 2 * len(copied) >= len(own),
        "wrong_length": bool(words) and not 0.5 <= (len(words) + 1) / (len(expected) + 1) <= 2,
        "wrong_script": bool(letters) and 2 * latin < len(letters),
    }
    return {name: int(told[name]) for name in FAULTS}


def letters_of(text):
    """Words of letters, in lower case."""
    return re.findall(r"[^\W\d_]+", text.lower())


def repeats(words):
    """Whether a word stands four times in a row, or four words in order twice."""
    fours = [tuple(words[begin : begin + 4]) for begin in range(len(words) - 3)]
    return len(set(fours)) < len(fours) or any(len(set(four)) == 1 for four in fours)


# --- What noise did -------------------------------------------------------------------------------------------------


def consistency(clean, noised):
    """CONSIS (Niu et al. 2020), percent: harmonic mean of chrF++ of the noised outputs against the clean ones and the
    other way round.
    """
    both = [metrics.score("translation", *pair)["chrf++"] for pair in ((clean, noised), (noised, clean))]
    return 2 * both[0] * both[1] / sum(both) if sum(both) else 0.0


def robustness(outputs, scores, conditions):
    """Rows of robustness.jsonl: per language and noised condition, then per language and operation.

    `outputs` {(condition, language): [text]}, `scores` {(condition, language): {metric: percent}}, `conditions` {name:
    what perturb.py's manifest says}.
    """
    rows, points = [], {}
    for (condition, code), values in scores.items():
        if condition == "clean" or ("clean", code) not in scores:
            continue
        about, clean = conditions.get(condition, {}), scores["clean", code]["chrf++"]
        rate, value = about.get("realised", {}).get(code), values["chrf++"]
        rows.append(
            {
                "language": code,
                "condition": condition,
                "op": about.get("op"),
                "level": about.get("level"),
                "rate": rate,
                "clean": clean,
                "value": value,
                "gap": clean - value,
                "robust": value / clean if clean > RATIO_FLOOR else None,
                "consis": consistency(outputs["clean", code], outputs[condition, code]),
            }
        )
        if rate:
            points.setdefault((code, about["op"]), []).append((rate, value - clean))
    for (code, op), own in points.items():
        x, y = np.array([(0.0, 0.0), *own]).T  # the first is clean text
        slope = float(np.polyfit(100 * x, y, 1)[0])  # points per percentage point of realised errors, as report.py's
        rows.append({"language": code, "op": op, "slope": slope, "levels": len(own)})
    return rows


# --- COMET, whose own environment scores what we write and writes what we read --------------------------------------


def write_comet_inputs(path, cells):
    """A line {"src", "mt", "ref", "condition", "language"} per translation; COMET reads the clean source.

    `cells` {(condition, language): (clean sources, outputs, references)}.
    """
    rows = [
        {"src": source, "mt": output, "ref": reference, "condition": condition, "language": code}
        for (condition, code), texts in cells.items()
        for source, output, reference in zip(*texts, strict=True)
    ]
    write_json_lines(path, rows)


def read_comet_scores(path, cells):
    """{(condition, language): [score per line]} of a file of one number per line of comet_inputs.jsonl."""
    try:
        numbers = [float(line) for line in path.read_text(encoding="utf-8").split()]
    except (OSError, ValueError) as error:
        raise InputError(f"--comet_scores {path}: {error}; write one number per line of comet_inputs.jsonl") from None
    sizes = {key: len(texts[1]) for key, texts in cells.items()}
    if len(numbers) != sum(sizes.values()):
        raise InputError(
            f"--comet_scores {path}: {len(numbers)} numbers for {sum(sizes.values())} translations; score the "
            "comet_inputs.jsonl of this very command"
        )
    scores, begin = {}, 0
    for key, size in sizes.items():
        scores[key] = numbers[begin : begin + size]
        begin += size
    return scores
