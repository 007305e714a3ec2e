"""Compare noise/ with other noise tools: speed, rate, tokens kept, sequences that no script allows.

    python benchmarks/noise.py --text_dir TEXT --peers nlpaug=ENV1/bin/python textnoisr=ENV2/bin/python

TEXT holds <lang>.txt, one sentence a line, for en, hi, th, ar, zh, ta, ko. Each peer (nlpaug, textnoisr,
textnoisr_swap, glitchlings) runs in an environment of its own, where pip installed it, at about 2 % of characters, in
one process, with every sentence as one call, or all in one where the tool has a call for many (glitchlings).
Speed: 10,000 English sentences of at most 85 characters, processor time, best of --rounds. The rest: the first 300
sentences of each language. Errors are counted in grapheme clusters by the same code for all tools.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("en", "hi", "th", "ar", "zh", "ta", "ko")
OURS = ("keyboard", "swap", "delete", "insert", "mixed")


MARKS = (  # of tests/noise_checks.py
    "mark without a letter",
    "mark of another script on a Latin letter",
    "two tone marks",
    "two vowel signs",
    "virama before a vowel sign",
    "lead vowel before no consonant",
)

# ---------------------------------------------------------------------------------------------------------------------
# The tools, each a function that noises texts. It imports its package itself: no environment has them all


def ours(op):
    sys.path.insert(0, str(ROOT))
    from noise import NoiseError, Noiser

    def noise_all(texts, lang):
        try:
            noiser = Noiser(op, 2, lang)
        except NoiseError:
            return None
        return [noiser(text, str(index))[0] for index, text in enumerate(texts)]

    return noise_all


def nlpaug():
    import nlpaug.augmenter.char as character

    augmenter = character.KeyboardAug(
        aug_char_p=0.05, aug_word_p=0.1, include_special_char=False, include_numeric=False
    )
    return lambda texts, lang: [(augmenter.augment(text) or [text])[0] for text in texts]


def textnoisr(**options):
    from textnoisr import noise

    augmenter = noise.CharNoiseAugmenter(noise_level=0.02, seed=0, **options)
    return lambda texts, lang: [augmenter.add_noise(text) for text in texts]


def glitchlings():
    from glitchlings import Gaggle, Typogre

    gaggle = Gaggle([Typogre(rate=0.02)], seed=0)
    return lambda texts, lang: gaggle.corrupt_batch(texts)


PEERS = {
    "nlpaug": nlpaug,
    "textnoisr": textnoisr,
    "textnoisr_swap": lambda: textnoisr(actions=["swap"]),
    "glitchlings": glitchlings,
}


def work(name, rounds):
    """In a peer's environment: read {lang: texts} from stdin, write {"seconds", "texts": {lang: noised}}."""
    asked = json.load(sys.stdin)
    noise_all = PEERS[name]() if name in PEERS else ours(name)
    noise_all(asked["speed"][:200], "en")  # warm up
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        noise_all(asked["speed"], "en")
        seconds.append(time.process_time() - started)
    json.dump(
        {"seconds": min(seconds), "texts": {lang: noise_all(texts, lang) for lang, texts in asked["texts"].items()}},
        sys.stdout,
    )


# ---------------------------------------------------------------------------------------------------------------------
# The table


def read_texts(folder):
    """({lang: 300 sentences}, 10,000 English sentences of at most 85 characters)"""
    lines = {lang: (folder / f"{lang}.txt").read_text(encoding="utf-8").split("\n") for lang in LANGUAGES}
    long = [line for line in lines["en"] if len(line) > 60]
    cut = [line[: line.rfind(" ", 0, 85)] if len(line) > 85 else line for line in long]
    return {lang: lines[lang][:300] for lang in LANGUAGES}, (cut * (10_000 // len(cut) + 1))[:10_000]


def table_line(title, texts, speed, result):
    from noise_checks import error_rate, faults

    rates, illegal = [], []
    for lang in LANGUAGES:
        noised = result["texts"][lang]
        pairs = list(zip(texts[lang], noised)) if noised else []
        rates.append(f"{error_rate(pairs[:100]):.3f}" if pairs else "n/a")
        added = [faults(after) - faults(before) for before, after in pairs]
        illegal.append(str(sum(faults[name] for faults in added for name in MARKS)) if pairs else "n/a")
    english = list(zip(texts["en"], result["texts"]["en"]))
    kept = sum(len(before.split()) == len(after.split()) for before, after in english) / len(english)
    return (
        f"| {title} | {len(speed) / result['seconds']:,.0f} | {rates[0]} | {kept:.3f} | {' / '.join(rates[1:])} "
        f"| {' / '.join(illegal[1:])} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text_dir", type=Path)
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args.worker, args.rounds)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    texts, speed = read_texts(args.text_dir)
    print(f"{len(speed)} sentences of {sum(map(len, speed)) / len(speed):.0f} characters")
    names = " / ".join(LANGUAGES[1:])
    print(f"| tool | sentences/s | rate en | tokens kept | rate {names} | new illegal sequences {names} |")
    print("|---|---|---|---|---|---|")
    tools = [(f"**ours, {op}**", op, sys.executable) for op in OURS]
    tools += [(name, name, python) for name, _, python in (peer.partition("=") for peer in args.peers)]
    for title, name, python in tools:
        command = [python, __file__, "--worker", name, "--rounds", str(args.rounds)]
        asked = json.dumps({"speed": speed, "texts": texts})
        done = subprocess.run(command, input=asked, capture_output=True, text=True)
        if done.returncode:
            print(f"| {title} | failed: {done.stderr.strip().splitlines()[-1]} |")
            continue
        result = json.loads(done.stdout[done.stdout.index('{"seconds"') :])
        print(table_line(title, texts, speed, result), flush=True)


if __name__ == "__main__":
    main()
