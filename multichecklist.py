"""MultiCheckList: six capability tests of question answering in 50 languages, made from XTREME-R's template table.

    python multichecklist.py --templates checklist_templates.tsv --output_dir data/multichecklist
    python run_xtreme.py --task mcl=question_answering:data/multichecklist --model_name_or_path outputs/xquad \\
        --output_dir outputs/mcl --do_predict
    python multichecklist.py --cases data/multichecklist --predictions outputs/mcl/predictions/clean/mcl

The table is multichecklist/checklist_templates.tsv of google-research/xtreme. The first command writes
test-<lang>.json (SQuAD JSON, questions without answers) and answers-<lang>.json ({id: answer}). The last one prints
the error rate of every test and language: the percent of cases of which some question is answered wrongly.

What differs from the official generator, which needs Python 3.6 and writes pickles: one rule in place of code per
language (a text with placeholders beside it holds where one of them is chosen), so the samples are other ones; names
are a few per script, or those of --names. Copy with it: common/ tasks.py.
"""

import json
import random
import re
from pathlib import Path
from typing import NamedTuple

from common.arguments import Parser
from common.files import InputError, check_output_dir, write_json
from common.text import aligned, nearest, show
from tasks import LANGUAGES

TESTS = {  # name in the table -> in ids and tables
    "A is COMP than B. Who is more / less COMP?": "comparisons",
    "Intensifiers (very, super, extremely) and reducers (somewhat, kinda, etc)?": "intensifiers",
    "size, shape, age, color": "properties",
    "Profession vs nationality": "profession",
    "Animal vs Vehicle": "animal",
    "Animal vs Vehicle v2": "animal2",
}
OFFICIAL = "XTREME-R's checklist_templates.tsv"
BORROWED = {"animal2": "animal"}  # a test whose arguments stand at another one
LETTERS = {"state": "s"}  # an argument -> its name in the templates, where that is another
PLACEHOLDER = re.compile(r"\{(?:(\w):)?(\w+)(?:\[(\d)\])?(?:\.(\w+))?\}")
LISTED = re.compile(r"\s*[,،，၊]\s*")  # the parts of "older, old" in the languages' own spelling

# Names for {first_name}: male ones, because templates that mark gender hold the male form only.
NAMES = {
    "Latn": "Adam Daniel David Martin Simon Thomas", "Cyrl": "Адам Даниил Давид Мартин Симон Томас",
    "Grek": "Αδάμ Δανιήλ Δαβίδ Μαρτίνος Σίμων Θωμάς", "Arab": "آدم دانيال داود مارتن سمعان توماس",
    "Hebr": "אדם דניאל דוד מרטין שמעון תומס", "Geor": "ადამი დანიელი დავითი მარტინი სიმონი თომა",
    "Deva": "एडम डैनियल डेविड मार्टिन साइमन थॉमस", "Beng": "অ্যাডাম ড্যানিয়েল ডেভিড মার্টিন সাইমন টমাস",
    "Gujr": "એડમ ડેનિયલ ડેવિડ માર્ટિન સાયમન થોમસ", "Guru": "ਐਡਮ ਡੈਨੀਅਲ ਡੇਵਿਡ ਮਾਰਟਿਨ ਸਾਈਮਨ ਥਾਮਸ",
    "Taml": "ஆதாம் டேனியல் டேவிட் மார்ட்டின் சைமன் தாமஸ்", "Telu": "ఆడమ్ డేనియల్ డేవిడ్ మార్టిన్ సైమన్ థామస్",
    "Mlym": "ആദം ഡാനിയൽ ഡേവിഡ് മാർട്ടിൻ സൈമൺ തോമസ്", "Mymr": "အာဒံ ဒံယေလ ဒါဝိဒ် မာတင် ရှိမုန် သောမတ်စ်",
    "Thai": "อดัม แดเนียล เดวิด มาร์ติน ไซมอน โทมัส", "Kore": "아담 다니엘 데이비드 마틴 시몬 토머스",
    "Jpan": "アダム ダニエル デイビッド マーティン サイモン トーマス", "Hans": "亚当 丹尼尔 大卫 马丁 西蒙 托马斯",
}  # fmt: skip

# How answers are compared: XTREME-R's generate_test_utils.py at 838c13b, with its odd rules (case counts, "in" is an
# article of English). These become blanks; then `,. ` and the marks below are stripped from both ends.
ARTICLES = {
    "af": r"(’n)\b", "ar": r"\sال^|ال", "bn": r"\b(একটি|একজন)",
    "de": r"\b(ein|eine|einen)\b",
    "el": r"\b(Ο|ένα|μια)\b",
    "en": r"\b(a|an|the|in|at)\b", "es": r"\b(un|una|unos|unas|el|la|los|las)\b", "eu": r"\b(bat)\b",
    "fa": r"\b(یک)\b", "fr": r"\b(un|une|le|la|en)\b", "hi": r"\b(एक)", "hu": r"\b(egy)\b", "it": r"\b(un|una)\b",
    "ml": r"\b(ഒരു)", "mr": r"\b(एक)", "my": r"\b(တစ်ဦး)", "nl": r"\b(een)\b", "pa": r"\b(ਇੱਕ|ਇਕ)",
    "pt": r"\b(um|uma)\b", "ta": r"\b(ஒரு)", "tl": r"\b(Si)\b", "tr": r"\b(bir)\b", "vi": r"\b(một)\b",
    "wo": r"\b(dafa)\b", "yo": r"\b(kan)\b",
}  # fmt: skip
MARKS = {"bn": "৷", "hi": "৷", "pa": "।", "pl": "„”", "ur": "\u200f"}


# --- The table


class Variant(NamedTuple):
    text: str
    placeholders: str  # English values that it holds for, parted by commas; "" for all


class Template(NamedTuple):
    """One test. A row is {language: [Variant]}: a context, a question, its answer, or a value of an argument."""

    contexts: list
    questions: list
    answers: list
    arguments: dict  # name -> rows


def read_templates(path):
    """({test: Template}, languages) of the table; InputError for a file that is not one."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--templates {path}: cannot be read ({error}); give XTREME-R's checklist_templates.tsv"
        ) from None
    _, *columns = lines[0].split("\t") if lines else [""]
    languages = list(dict.fromkeys(name for name in columns if name and not name.endswith("-placeholders")))
    if "en" not in languages:
        raise InputError(f"--templates {path}, line 1: no column en; give {OFFICIAL}")
    tests, current = {}, None
    for number, line in enumerate(lines[1:], start=2):
        field, *cells = line.split("\t")
        if field == "Name":
            if cells[0] not in TESTS:
                raise InputError(
                    f"--templates {path}, line {number}: unknown test {cells[0]!r}{nearest(cells[0], TESTS)}"
                )
            current = tests[TESTS[cells[0]]] = Template([], [], [], {})
        elif field.strip() and field != "Capability":
            if current is None:
                raise InputError(f"--templates {path}, line {number}: {field!r} before the name of a test; correct it")
            own = {"Context": current.contexts, "Question": current.questions, "Answer": current.answers}
            rows = own[field] if field in own else current.arguments.setdefault(field, [])
            rows.append(variants(columns, cells))
    check_templates(path, tests)
    return tests, languages


def check_templates(path, tests):
    """Give tests the arguments that they borrow; InputError where one lacks what cases are made of."""
    for test, other in BORROWED.items():
        if test in tests and other in tests:
            tests[test] = tests[test]._replace(arguments=tests[other].arguments)
    for test, template in tests.items():
        empty = [name for name, rows in template.arguments.items() if not any(map(english, rows))]
        if empty or not template.arguments:
            raise InputError(
                f"--templates {path}: {test} has no English {empty[0] if empty else 'argument'}; correct it"
            )
        if not template.contexts or len(template.questions) != len(template.answers) or not template.questions:
            raise InputError(f"--templates {path}: {test} has no contexts, or not an answer for each question")
    if not tests:
        raise InputError(f"--templates {path}: no test in it; give {OFFICIAL}")


def variants(columns, cells):
    """{language: [Variant]} of a row: a language's columns that have a text, each with the placeholders after it."""
    row = {}
    for index, (name, cell) in enumerate(zip(columns, cells)):
        if cell.strip() and not name.endswith("-placeholders"):
            beside = columns[index + 1 : index + 2] == [f"{name}-placeholders"]
            more = cells[index + 1] if beside and index + 1 < len(cells) else ""
            row.setdefault(name, []).append(Variant(cell.strip(), more.strip()))
    return row


def fitting(row, language, chosen):
    """The text of a row that holds for the chosen English values: one that names them before one for all; or None."""
    general = None
    for text, placeholders in row.get(language, ()):
        if not placeholders:
            general = general or text
        elif any(value in placeholders if "{" in value else value in LISTED.split(placeholders) for value in chosen):
            return text
    return general


# --- Cases


def english(row):
    return row["en"][0].text if "en" in row else ""


def words_of(cell):
    """English values by which placeholders may name a cell: "the shirt, shirts" -> the parts, and their last words."""
    parts = LISTED.split(cell)
    return [*parts, *(part.split(" ")[-1] for part in parts)]


def draw(template, random):
    """One case: {name in the templates: row}; of two properties p1 and p2 with their values v1 and v2."""
    arguments = {name: [row for row in rows if english(row)] for name, rows in template.arguments.items()}
    case = {}
    if "property" in arguments:
        case["p1"], case["p2"] = first, second = random.sample(arguments.pop("property"), 2)
        for letter, row in (("v1", first), ("v2", second)):
            case[letter] = random.choice(arguments[english(row)])
        arguments = {"obj": arguments["obj"]}
    return {**case, **{LETTERS.get(name, name): random.choice(rows) for name, rows in arguments.items()}}


def said(case, language, chosen, names):
    """{placeholder: text, or its parts} of a case in a language; None where the language lacks one."""
    texts = {name: fitting(row, language, chosen) for name, row in case.items()}
    if None in texts.values():
        return None
    values = dict(texts)
    for name in ("adj", "obj"):
        if name in texts:
            values[name] = LISTED.split(texts[name], maxsplit=1) if LISTED.search(texts[name]) else texts[name].split()
    values["p"] = {letter: texts[letter] for letter in ("p1", "p2", "v1", "v2") if letter in texts}
    for index, name in enumerate(names):
        values[f"first_name{index or ''}"] = values[f"male{index or ''}"] = name
    return values


def filled(text, values):
    """A template with its placeholders filled in; {c:...} begins with a capital, {a:...} has English's article."""

    def fill(match):
        prefix, name, index, field = match.groups()
        try:
            value = values[name]
            value = value[int(index)] if index else value
            value = value[field] if field else value
        except (KeyError, IndexError, TypeError):
            raise InputError(f"--templates: {match[0]} in {text!r} has no value; correct the table") from None
        if prefix == "a":
            return f"{'an' if value[:1].lower() in 'aeiou' else 'a'} {value}"
        return value[:1].upper() + value[1:] if prefix == "c" else value

    return PLACEHOLDER.sub(fill, text)


def paragraphs(test, number, template, case, language, names):
    """[(context, [(id, question, answer)])] of a case: every question on every context that the language has."""
    told = [word for row in case.values() for word in words_of(english(row))]
    written = []
    for place, row in enumerate(template.contexts):
        chosen = [*told, english(row)]
        values, context = said(case, language, chosen, names), fitting(row, language, chosen)
        pairs = [
            (fitting(question, language, chosen), fitting(answer, language, chosen))
            for question, answer in zip(template.questions, template.answers)
        ]
        if values is None or context is None or any(None in pair for pair in pairs):
            continue
        asked = [
            (f"{test}-{number}-{place}-{index}", *(filled(text, values) for text in pair))
            for index, pair in enumerate(pairs)
        ]
        written.append((filled(context, values), asked))
    return written


def write_cases(args):
    """test-<lang>.json and answers-<lang>.json of every language; returns {language: {test: number of cases}}."""
    tests, languages = read_templates(args.templates)
    own, counts = read_names(args.names), {}
    for language in languages:
        script = LANGUAGES[language].script if language in LANGUAGES else "Latn"
        names, document, answers = own.get(language) or NAMES[script].split(), [], {}
        for test, template in tests.items():
            choice, seen, made = random.Random(f"{args.seed}-{test}"), set(), []  # the same cases in all languages
            for _ in range(20 * args.samples):
                case, first, beside = draw(template, choice), choice.randrange(2**30), choice.randrange(2**30)
                called = first % len(names), (first + 1 + beside % (len(names) - 1)) % len(names)
                key = (*(english(row) for row in case.values()), *called)
                if key not in seen and len(made) < args.samples:
                    seen.add(key)
                    of_case = paragraphs(test, len(made), template, case, language, [names[index] for index in called])
                    made += [of_case] if of_case else []
            for context, asked in (paragraph for of_case in made for paragraph in of_case):
                qas = [{"id": name, "question": question, "answers": []} for name, question, _ in asked]
                document.append({"title": test, "paragraphs": [{"context": context, "qas": qas}]})
                answers |= {name: answer for name, _, answer in asked}
            counts.setdefault(language, {})[test] = len(made)
        if answers:
            write_json(args.output_dir / f"test-{language}.json", {"version": "1.1", "data": document})
            write_json(args.output_dir / f"answers-{language}.json", answers)
    return counts


def read_names(path):
    """{language: [name]} of a file with a language and a name a line, parted by a tab."""
    names = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path else [], start=1):
        language, tab, name = line.partition("\t")
        if not tab or not name.strip():
            raise InputError(
                f"--names {path}, line {number}: {line!r} is no language and name with a tab between them"
            )
        names.setdefault(language, []).append(name.strip())
    few = next((language for language, own in names.items() if len(set(own)) < 2), None)
    if few:
        raise InputError(f"--names {path}: a single name in {few}; cases are about two people, give more")
    return names


# --- Scores


def cleaned(answer, language):
    return re.sub(ARTICLES.get(language, r"(?!)"), " ", answer).strip(",. " + MARKS.get(language, ""))


def error_rates(cases, predictions):
    """{language: {test: percent of cases with a wrong answer}} of the languages that have predictions."""
    rates = {}
    for path in sorted(Path(predictions).glob("test-*.json")):
        language = path.stem.removeprefix("test-")
        gold = read_object(Path(cases, f"answers-{language}.json"), "make it with --templates")
        given = read_object(path, "predict it again")
        failed = {}  # (test, number of the case) -> whether an answer is wrong
        for name, answer in gold.items():
            case = tuple(name.split("-")[:2])
            wrong = cleaned(str(given.get(name, "")), language) != cleaned(answer, language)
            failed[case] = failed.get(case, False) or wrong
        tests = dict.fromkeys(test for test, _ in failed)
        of_test = {test: [wrong for (other, _), wrong in failed.items() if other == test] for test in tests}
        rates[language] = {test: 100 * sum(wrong) / len(wrong) for test, wrong in of_test.items()}
    if not rates:
        raise InputError(f"--predictions {predictions}: no test-<lang>.json in it; name the folder of the task itself")
    return rates


def read_object(path, step):
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {step}") from None


def table(rates):
    """Error rates as text: a line per language, a column per test, means on both sides."""
    tests = [test for test in TESTS.values() if any(test in own for own in rates.values())]
    lines = [["error rate, percent", *tests, "mean"]]
    for language, own in rates.items():
        values = [f"{own[test]:.1f}" if test in own else "-" for test in tests]
        lines.append([language, *values, f"{sum(own.values()) / len(own):.1f}"])
    columns = [[own[test] for own in rates.values() if test in own] for test in tests]
    means = [sum(column) / len(column) for column in columns]
    lines.append(["mean", *(f"{mean:.1f}" for mean in means), f"{sum(means) / len(means):.1f}"])
    return "\n".join(aligned(lines))


# --- The command line


def build_parser():
    parser = Parser(prog="multichecklist.py", description=__doc__)
    add = parser.add_argument
    add("--templates", type=Path, help="XTREME-R's checklist_templates.tsv, to make cases from")
    add("--output_dir", type=Path, help="folder for the cases")
    add("--samples", type=int, default=200, help="cases of every test and language (default: 200)")
    add("--seed", type=int, default=42, help="of the draws (default: 42)")
    add("--names", type=Path, help="names for {first_name}: a language and a name a line, parted by a tab")
    add("--cases", type=Path, help="folder of the cases, to score predictions")
    add("--predictions", type=Path, help="folder with the predictions, test-<lang>.json")
    add("--output_file", type=Path, help="JSON file for the error rates")
    return parser


def check(args):
    """InputError unless all flags of one of the two uses are there, with folders and files that are there."""
    uses = ("templates", "output_dir"), ("cases", "predictions")
    given = [[flag for flag in use if getattr(args, flag)] for use in uses]
    if sorted(map(len, given)) != [0, 2]:
        raise InputError("give --templates and --output_dir to make cases, or --cases and --predictions to score them")
    if args.samples < 1:
        raise InputError(f"--samples {args.samples}: must be at least 1; leave it out for 200")
    for flag in ("cases", "predictions", "names"):
        path = getattr(args, flag)
        if path and not path.exists():
            raise InputError(f"--{flag} {path}: no such file or folder; correct the path")
    if args.output_dir:
        check_output_dir(args.output_dir, "test-en.json")


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    with parser.one_line("free space or correct permissions, then run again"):
        check(args)
        if args.templates:
            counts = write_cases(args)
            fewest = min(min(own.values()) for own in counts.values())
            show(f"{len(counts)} languages in {args.output_dir}; {fewest} to {args.samples} cases of each test")
            return
        rates = error_rates(args.cases, args.predictions)
        show(table(rates))
        if args.output_file:
            write_json(args.output_file, rates)


if __name__ == "__main__":
    main()
