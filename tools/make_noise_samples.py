"""Write the samples of noise/README.md: one sentence in each of 12 scripts under every operation that applies to it.

    python tools/make_noise_samples.py        # after a change of noise/; then read them

Each line is the first of some draws in which something changed. Operations that need the package uroman keep the
lines that are there where it is not installed.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from noise import Noiser  # noqa: E402
from noise.operations import EDIT, OPERATIONS, not_applicable  # noqa: E402
from noise.tables import SCRIPT_OF  # noqa: E402

README = ROOT / "noise" / "README.md"
BEGIN, END = "<!-- samples: tools/make_noise_samples.py -->\n", "<!-- end of samples -->\n"
SENTENCES = {
    "en": "The two teachers didn't receive their letters, did they?",
    "ru": "Учитель ещё не получил письмо, что делать?",
    "el": "Ο δάσκαλος είναι στο σχολείο, αλλά τα παιδιά όχι.",
    "ar": "ذهب الأطفال إلى المدرسةِ في الصباح، هل رأيتهم؟",
    "he": "הילדים הלכו לבית הספר, האם ראית את הסֵפֶר?",
    "hi": "बच्चे सुबह विद्यालय गए, क्या तुमने उन्हें देखा?",
    "bn": "শিশুরা সকালে বিদ্যালয়ে গেল, তুমি কি তাদের দেখেছ?",
    "ta": "குழந்தைகள் காலையில் பள்ளிக்குச் சென்றனர், நீ பார்த்தாயா?",
    "th": "เด็กไปโรงเรียนตอนเช้า และกลับบ้านก็ค่ำแล้วครับ",
    "zh": "他在学校里读书，得到了老师的帮助。",
    "ja": "こどもたちは学校で、コーヒーということばをならう。",
    "ko": "아이들은 학교에 갔다가 안 돌아왔습니다, 되나요?",
    "vi": "Người dân ở thành phố Hồ Chí Minh đã trở về nhà.",  # Latin again, for Telex
}
TABLES = {  # stand in for a user's
    "profile": {"receive": ["recieve"], "didn't": ["didnt"], "делать": ["зделать"], "学校": ["学效"]},
    "codeswitch": {"teachers": ["Lehrer"], "письмо": ["letter"], "学校": ["school"], "학교": ["school"]},
    "ime": {"得到": ["的到"], "的": ["得", "地"], "在": ["再"]},
}
WORDS, LETTERS = 0.4, 0.06  # rates at which one or two places of a sentence change


def sample(op, lang):
    """The sentence with noise, or None where the operation finds nothing in it."""
    table = TABLES.get(OPERATIONS[op].table)
    if lang == "ja" or not_applicable(op, lang, SCRIPT_OF[lang], table):
        table = None
    rate = LETTERS if OPERATIONS[op].rates is EDIT else WORDS
    if not_applicable(op, lang, SCRIPT_OF[lang], table):
        return None
    noiser = Noiser(op, rate=rate, lang=lang, table=table)
    draws = (noiser(SENTENCES[lang], f"sample {key}")[0] for key in range(20))
    return next((text for text in draws if text != SENTENCES[lang]), None)


def samples(before):
    """The section as text; `before` is the one that is there."""
    lines = []
    for lang in SENTENCES:
        lines += ["", f"**{lang}**: {SENTENCES[lang]}", "", "| operation | noised |", "|---|---|"]
        part = before.partition(f"**{lang}**:")[2].partition("\n**")[0]
        for op in OPERATIONS:
            kept = re.search(rf"^\| `{op}` \|.*$", part, re.M)
            if text := sample(op, lang):
                lines.append(f"| `{op}` | {shown(text)} |")
            elif kept and not_applicable(op, lang, SCRIPT_OF[lang]).startswith("needs the package"):
                lines.append(kept[0])
    return "\n".join(lines) + "\n\n"


def shown(text):
    """The text in a table, with signs that cannot be seen by their numbers."""
    hidden = re.sub("[\u00ad\u200b-\u200f\u202a-\u202e\u2060]", lambda sign: f"<U+{ord(sign[0]):04X}>", text)
    return hidden.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("`", "\\`")


def main():
    text = README.read_text(encoding="utf-8")
    head, before, tail = re.split(f"{re.escape(BEGIN)}|{re.escape(END)}", text)
    README.write_text(head + BEGIN + samples(before) + END + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
