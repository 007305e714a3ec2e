"""noise/ on what text really holds: pointed and decomposed text, joiners, emoji, addresses, placeholders, in every
language of the tables. What is wrong is counted by noise_checks.py, which shares no code with noise/.
"""

import unicodedata

import pytest
from noise_checks import kept, levenshtein, new_faults
from test_noise import SENTENCES, USER, noiser, replay

from noise import tables
from noise.operations import OPERATIONS, not_applicable

SCRIPT_TEXTS = {
    tables.SCRIPT_OF[lang]: text for lang, text in SENTENCES.items() if lang not in ("tr", "vi", "pl", "yo")
}
SCRIPT_TEXTS |= {
    "Guru": "ਬੱਚੇ ਸਵੇਰੇ ਖ਼ਾਸ ਸ਼ਹਿਰ ਦੇ ਸਕੂਲ ਗਏ ਅਤੇ ਜ਼ਮੀਨ ਉੱਤੇ ਫ਼ਸਲ ਵੇਖੀ।",
    "Gujr": "બાળકો સવારે શાળાએ ગયા અને સાંજે નવાં પુસ્તકો સાથે ઘરે પાછા આવ્યા.",
    "Orya": "ପିଲାମାନେ ସକାଳେ ବିଦ୍ୟାଳୟକୁ ଗଲେ ଏବଂ ସନ୍ଧ୍ୟାରେ ଘରକୁ ଫେରିଲେ।",
    "Knda": "ಮಕ್ಕಳು ಬೆಳಿಗ್ಗೆ ಶಾಲೆಗೆ ಹೋದರು ಮತ್ತು ಸಂಜೆ ಹೊಸ ಪುಸ್ತಕಗಳೊಂದಿಗೆ ಮನೆಗೆ ಬಂದರು.",
    "Sinh": "ළමයි උදේ පාසලට ගොස් සවස අලුත් පොත් සමඟ ගෙදර ආවෝය.",
    "Laoo": "ເດັກນ້ອຍໄປໂຮງຮຽນໃນຕອນເຊົ້າ ແລະ ກັບບ້ານພ້ອມປຶ້ມໃໝ່",
    "Tibt": "བྱིས་པ་ཚོ་སྔ་དྲོ་སློབ་གྲྭར་སོང་བ་རེད།",
    "Ethi": "ልጆቹ ጠዋት ወደ ትምህርት ቤት ሄዱ፣ ማታም ከአዲስ መጻሕፍት ጋር ተመለሱ።",
    "Thaa": "ކުޑަކުދިން ހެނދުނު ސްކޫލަށް ގޮސް ހަވީރު އެނބުރި އައެވެ.",
}
OWN_TEXTS = {  # points, tones and joiners in full
    "ar": "بِسْمِ اللَّهِ الرَّحْمَٰنِ الرَّحِيمِ، كَتَبَ مُعَلِّمٌ جَدِيدٌ إِلَى المُدَرِّسَةِ",
    "ur": "بِچّے صُبْح اِسکول گَئے، کتاب‌خانہ بھی دیکھا",
    "fa": "می‌خواهم کتاب‌ها را به خانه‌ام ببرم و نمی‌دانم",
    "ug": "بالىلار ئەتىگەن مەكتەپ‌كە باردى، كەچ‌تە قايتىپ كەلدى",
    "he": "בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם וְאֵת הָאָרֶץ, שָׂרָה קָרְאָה סֵפֶר",
    "yi": "דער לערער האָט געשריבן אַ בריוו צו זײַן שװעסטער",
    "ml": "അവന്‍ പറഞ്ഞ കാര്യങ്ങള്‍ എല്ലാവരും കേട്ടു, ക്ഷമിക്കണം",
    "hi": "क़लम और फ़िल्म ज़रूरी हैं, वाकई पढ़ाई में मेहनत करो, क्ष‌त्र",
    "bn": "ড়ঢ়য় বাড়ি আষাঢ় পড়া, খণ্ড ৎ ও র‍্যাব দুঃখ",
    "vi": "Người Việt Nam rất thích uống trà và đọc sách mỗi buổi sáng ở Huế",
    "yo": "Ọ̀rẹ́ mi ń jẹ ẹ̀wà ní ọjà, ó sì ń rẹ́rìn-ín músẹ́",
    "lt": "Žąsų būrys ėjo į ūkį, ą̃žuolas augo prie ė́žero",
    "tr": "İstanbul'da ılık bir akşamdı; çocuklar ışıkları söndürdü",
    "pl": "Zażółć gęślą jaźń, powiedział Łukasz",
    "ru": "Ещё за́мок стоял, а замо́к упал; ёлка, йод",
    "el": "Ο άνθρωπος ΰφαινε, ϊ και ΐ στο πολυτονικό ᾧ ἦν",
}
SIGNS = "👩‍👩‍👧 ℹ️ Ⓜ️ Ⅷ 🇩🇪 👍🏽 1️⃣ Louis ⅩⅣ https://example.org/a?b=c www.example.com anna@example.com 12.5"
LANGUAGES = sorted(tables.SCRIPT_OF)


def texts_of(lang):
    """NFC, NFD and with signs that no operation may touch."""
    text = unicodedata.normalize(
        "NFC", OWN_TEXTS.get(lang) or SENTENCES.get(lang) or SCRIPT_TEXTS[tables.SCRIPT_OF[lang]]
    )
    return (
        text,
        unicodedata.normalize("NFD", text),
        f"{text} {SIGNS} {text}",
        unicodedata.normalize("NFD", f"{SIGNS} {text}"),
    )


def check(noise, text, key):
    noised, _, edits = noise(text, key)
    faults = new_faults(text, noised, noise.op)
    assert replay(text, edits) == noised and kept(noised) == kept(text) and not faults, (
        noise.op,
        noise.lang,
        faults,
        edits,
    )
    assert all(edit.old != edit.new for edit in edits)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_operation_breaks_what_text_holds(lang):
    """One level of each operation; the full form below takes all, four times."""
    texts = texts_of(lang)
    for number, op in enumerate(OPERATIONS):
        if not not_applicable(op, lang, tables.SCRIPT_OF[lang], USER):
            noise = noiser(op, 5 - number % 2, lang)
            check(noise, texts[number % 4], "a")
            check(noise, texts[(number + 1) % 4], "b")


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_operation_breaks_what_text_holds_at_any_level(lang):
    for op in OPERATIONS:
        if not not_applicable(op, lang, tables.SCRIPT_OF[lang], USER):
            for level in range(1, 6):
                noise = noiser(op, level, lang)
                for text in texts_of(lang):
                    for key in range(4):
                        check(noise, text, str(key))


def test_the_edit_distance_of_the_checks_is_levenshteins():
    cases = (("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("abcd", "badc", 3), ("ab" * 40, "ba" * 40, 2))
    assert all(levenshtein(a, b) == levenshtein(b, a) == distance for a, b, distance in cases)
