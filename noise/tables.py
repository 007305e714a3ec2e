"""What noise knows about scripts and languages: tables, no code, no I/O.

Scripts are named by their ISO 15924 codes, languages as in XTREME's files. Substitutions are written `from>to`,
separated by spaces. They are facts of common knowledge about each
orthography, written down for this project, unless the comment above a table names another source.
"""

# ISO 15924 script -> languages. A language that is not here has the script of its text.
LANGUAGES = {
    "Latn": (
        "af aym az bs bzd ca ceb cni cs cy da de en eo es et eu fi fil fr ga gd gl gn ha hch hr ht hu id ig is it jv "
        "la lb lt lv mg ms mt nah nb nl nn no oto pl pt qu quy ro rw sh shp sk sl sn so sq st sv sw tar tl tr uz vi "
        "wo xh yo zu"
    ),
    "Cyrl": "be bg kk ky mk mn ru sr tg uk", "Grek": "el", "Armn": "hy", "Geor": "ka",
    "Arab": "ar ckb fa ps sd ug ur", "Hebr": "he yi", "Thaa": "dv",
    "Deva": "hi mr ne", "Beng": "bn as", "Guru": "pa", "Gujr": "gu", "Orya": "or", "Taml": "ta", "Telu": "te",
    "Knda": "kn", "Mlym": "ml", "Sinh": "si", "Thai": "th", "Laoo": "lo", "Khmr": "km", "Mymr": "my", "Tibt": "bo dz",
    "Ethi": "am ti", "Jpan": "ja", "Kore": "ko", "Hans": "zh yue zh-tw",
}  # fmt: skip
SCRIPT_OF = {code: script for script, codes in LANGUAGES.items() for code in codes.split()}
# ISO 639-3 codes of languages in other scripts, for uroman, which treats some of them in their own way.
ISO_639_3 = dict(
    pair.split(":")
    for pair in (
        "am:amh ar:ara as:asm be:bel bg:bul bn:ben bo:bod dv:div dz:dzo el:ell fa:fas gu:guj he:heb hi:hin hy:hye "
        "ja:jpn ka:kat kk:kaz km:khm kn:kan ko:kor ky:kir lo:lao mk:mkd ml:mal mn:mon mr:mar my:mya ne:nep or:ori "
        "pa:pan ps:pus ru:rus sd:snd si:sin sr:srp ta:tam te:tel "
        "tg:tgk th:tha ti:tir ug:uig uk:ukr ur:urd yi:yid zh:zho zh-tw:zho"
    ).split()
)

# How a text of an unknown language is recognized: the Unicode script (regex's \p{Script=...}) of its first letters.
UNICODE_SCRIPTS = {**{script: script for script in LANGUAGES}, "Jpan": "Hiragana", "Kore": "Hangul", "Hans": "Han"}

WITHOUT_SPACES = {"Hans", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"}  # words run together
BICAMERAL = {"Latn", "Cyrl", "Grek", "Armn"}

# Letters that no decomposition leads to their base: Latin ones, and Malayalam's vowelless letters.
BASES = dict(
    pair.split(">")
    for pair in (
        "ß>ss ẞ>SS ı>i ł>l Ł>L đ>d Đ>D ð>d Ð>D ø>o Ø>O æ>ae Æ>AE œ>oe Œ>OE þ>th Þ>Th ħ>h Ħ>H ŋ>n Ŋ>N ɓ>b Ɓ>B ɗ>d Ɗ>D "
        "ƙ>k Ƙ>K ƴ>y Ƴ>Y ə>e Ə>E ɛ>e Ɛ>E ɔ>o Ɔ>O ё>е Ё>Е ൺ>ണ ൻ>ന ർ>ര ൽ>ല ൾ>ള ൿ>ക"
    ).split()
)
# Marks that people leave out: accents, tones and hooks of Latin and Greek, stress of Cyrillic, Hebrew points, Arabic
# vowel signs, the Indic nukta.
DIACRITICS = r"[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c2\u05c4\u05c5\u05c7\u064b-\u0652\u0670\u093c\u09bc\u0a3c\u0abc]"
KEPT_WHOLE = set("йЙїЇўЎќЌѓЃ")  # letters of their own, which nobody reduces to и, і, у, к, г
DIACRITIC_SCRIPTS = {"Latn", "Grek", "Cyrl", "Arab", "Hebr", "Deva", "Beng", "Guru", "Gujr"}

# Languages in which an apostrophe stands within a word (don't, м'яч); in others it parts words (l'école, Ankara'da).
APOSTROPHE_JOINS = set("en uk be uz qu quy aym gn ha so br".split())

# Base letters that spell vowels, where vowels are letters.
VOWELS = {"Latn": "aeiou", "Cyrl": "аеиоуыэюяёіїєәөұү", "Grek": "αεηιουω", "Geor": "აეიოუ", "Armn": "աեէըիոօ"}

# Sentence marks that are taken for each other, per script; other scripts use Latin's.
PUNCTUATION = {
    "Latn": ",.;:!?", "Grek": ",.·;!", "Armn": "՝։՞՜,", "Arab": "،.؛:!؟۔", "Deva": ",।;:!?.", "Beng": ",।;:!?",
    "Guru": ",।;:!?", "Gujr": ",.;:!?।", "Jpan": "、。，．！？", "Hans": "，。；：！？、",
    "Mymr": "၊။", "Ethi": "፣።፤፥", "Khmr": "។៖,!?", "Tibt": "།༎",
}  # fmt: skip

# Number words of Chinese and Japanese: as digits, they stay as they are and never come in.
NUMERALS = "〇零一二三四五六七八九十百千万萬亿億兆两兩廿卅壱弐参"

# What a scanner reads for what was printed, per script. No digits and numerals: they are protected, so they must not
# appear either.
OCR = {
    "Latn": (
        "rn>m m>rn cl>d d>cl vv>w w>vv li>h h>b b>h h>li e>c c>e f>t t>f i>l l>i l>I I>l o>c u>v v>y n>u u>n a>o y>v "
        "ii>u nn>m D>O O>Q E>F F>P G>C"
    ),
    "Cyrl": "и>н н>и п>н л>п ш>щ щ>ш ь>ъ е>с с>е о>с з>э э>з й>и г>т т>г в>з ц>п м>и а>з Н>И И>Н О>С Ш>Щ",
    "Grek": "ν>υ υ>ν ο>σ σ>ο α>σ η>π ι>ί ί>ι ε>ς κ>χ χ>κ ρ>ο ω>ο ό>ο τ>ι",
    "Arab": (
        "ب>ت ت>ب ت>ث ث>ت ن>ت ج>ح ح>ج خ>ح ح>خ د>ذ ذ>د ر>ز ز>ر س>ش ش>س ص>ض ض>ص ط>ظ ظ>ط ع>غ غ>ع ف>ق ق>ف ه>ة پ>ب چ>ج ژ>ز "
        "گ>ک ک>گ ٹ>ت ڈ>د ڑ>ر ی>ب ل>ا م>ه"
    ),
    "Hebr": "ד>ר ר>ד ה>ח ח>ה ת>ח ו>ז ז>ו ו>ן ן>ו כ>ב ב>כ ג>נ נ>ג ס>ם ם>ס ט>מ מ>ט י>ו ע>צ צ>ע",
    "Deva": "ब>व व>ब भ>म म>भ घ>ध ध>घ प>ष ष>प य>थ थ>य ङ>ड ड>ङ द>ढ ढ>द त>न न>त र>स स>र ए>ऐ",
    "Beng": "ব>র র>ব য>ষ ষ>য ন>ল ল>ন ক>ফ ফ>ক ত>ভ ভ>ত থ>খ খ>থ ম>স স>ম",
    "Guru": "ਸ>ਮ ਮ>ਸ ਪ>ਧ ਧ>ਪ ਬ>ਥ ਥ>ਖ ਨ>ਠ ਰ>ਹ ਵ>ਦ ਦ>ਵ ਗ>ਰ ਕ>ਫ",
    "Gujr": "ઘ>ધ ધ>ઘ પ>ષ ષ>પ ય>થ થ>ય મ>ભ ભ>મ દ>ઢ ઢ>દ ર>સ ન>ત ત>ન ક>ફ",
    "Taml": "ன>ண ண>ன ந>த த>ந ப>ய ய>ப ல>வ வ>ல ள>ன க>த ம>ழ",
    "Telu": "ప>ష ష>ప వ>మ మ>వ న>స స>న చ>ఛ ద>ధ ధ>ద ఖ>భ య>మ ల>ట",
    "Mlym": "ര>റ റ>ര ണ>ന ന>ണ ത>ന പ>ഫ ഫ>പ ഴ>ഷ ക>ഭ യ>ഡ",
    "Knda": "ಪ>ಷ ಷ>ಪ ವ>ಮ ಮ>ವ ನ>ಸ ಸ>ನ ದ>ಧ ಧ>ದ ರ>ಠ",
    "Thai": "ก>ถ ถ>ภ ภ>ถ ด>ต ต>ด ค>ด ผ>พ พ>ผ ฝ>ฟ ฟ>ฝ บ>ป ป>บ ช>ซ ซ>ช น>ม ม>น ข>ช ท>ห ห>ท ล>ส ส>ล อ>ฮ ฮ>อ ร>ธ",
    "Mymr": "ပ>ဖ ဖ>ပ ဘ>တ တ>ဘ ယ>ဃ ဃ>ယ ဂ>င င>ဂ က>ဂ သ>ထ မ>ပ",
    "Geor": "ბ>ზ ზ>ბ ე>ვ ვ>ე გ>კ კ>გ ს>ა ა>ს ძ>მ მ>ძ ი>რ რ>ი უ>ჟ დ>ლ ლ>დ ნ>ს",
    "Jpan": (
        "ソ>ン ン>ソ シ>ツ ツ>シ ク>タ タ>ク ワ>ク フ>ワ ヌ>ス ス>ヌ は>ほ ほ>は わ>れ れ>わ ね>れ ぬ>め め>ぬ る>ろ "
        "ろ>る さ>き き>さ ち>ら ら>ち い>り り>い け>は ま>も 日>曰 未>末 土>士 人>入 大>太"
    ),
    "Hans": (
        "己>已 已>己 日>曰 未>末 末>未 土>士 士>土 人>入 入>人 大>太 太>大 侯>候 今>令 令>今 刀>力 力>刀 "
        "王>玉 玉>王 目>自 自>目 木>本 本>木 田>由 由>田 申>甲 甲>申 鸟>乌 折>拆 买>卖 卖>买 拔>拨 免>兔 问>间 间>问 "
        "白>自 午>牛 住>往 往>住 特>持 持>特 第>弟 师>帅 休>体 体>休 清>请 请>清 情>清 晴>睛 了>子 子>了 天>夫 夫>天 "
        "中>申 上>土 不>小 的>旳 有>冇 是>昰 国>囯"
    ),
}

# The first letter of each group looks like the others. Source: Unicode 17's confusables (UTS 39), those single letters
# that NFKC leaves as they are, between scripts that are set in one typeface style: Latin, Cyrillic, Greek, Armenian;
# Devanagari, Gurmukhi; Telugu, Kannada; Tamil, Malayalam; Thai, Lao.
HOMOGLYPHS = """
    AΑА BΒВ CС EΕЕ FϜ GԌ HΗН IΙІӀӏ JͿЈ KΚК MΜϺМ NΝ OΟОՕ PΡР RƦ SЅՏ TΤТ UՍ VѴ WԜ XΧХ YΥУҮ ZΖ aαаɑ bЬƄ cс dԁ eеҽ fքƒẝ
    gցƍɡᶃ hһհ iιіւı jϳј lΙІӀӏ nոռ oοσоօ pρϸрþ qԛգզ rг sѕƽ uυսʋ vνѵ wшѡԝա xх yγуүɣ ÖŐ ßβẞ ăǎ ğǧ ıιіւi ƏӘ ȚŢ țţƫ əәǝ
    ΑAА ΒBВ ΓГ ΕEЕ ΖZ ΗHН ΙIlƖǀ ΚKК ΛɅЛ ΜMМϺ ΝN ΟOОՕ ΠП ΡPР ΣƩ ΤTТ ΥYУҮ ΦФՓ ΧXХ ΨѰ αaɑа βßẞ γyɣуү δծẟ εɛєԑ ιiıɩі κĸк
    νvѵ οoоօᴑ πп ρpþƿр ςϛ σoоօᴑ τт υuʋս φɸф ψѱ ІIlƖǀ АAΑ ВBΒ ГΓ ЕEΕ ЗƷȜӠ ИͶ ЙЍ КKΚ ЛɅΛ МMΜϺ НHΗ ОOΟՕ ПΠ РPΡ СC ТTΤ
    УYΥҮ ФΦՓ ХXΧ ЬbƄ аaɑα гr еeҽ зɜᴈ иͷ йѝ кĸκ мʍ оoοσօ пπ рpþƿρ сc тτ уyɣγᶌ фɸφ хx шwɯաѡ ьƅ єɛεԑ іiıɩι ҮYΥУ үyɣγᶌ
    һhհ ӘƏ әǝə ՍU ՏSЅ ՓΦФ ՕOΟО աwɯшѡ գqԛզ զqԛգ ծδẟ հhһ յȷ ոnռ պɰ ռnո սuʋυ ցgƍɡᶃ ւiıɩι քfƒẝ օoοσо ון ןו ةۃ تٺ فڧ كکڪ
    هھہە وࢱ ىيٮںی يىٮںی کكڪ گࢰ ںىيٮی ھهہە ۀۂ ہهھە یىيٮں ےىيٮں उਤ टਟ ठਠ ढਫ पਧ भਮ मਸ वਕ हਵ ਕव ਟट ਠठ ਤउ ਧप ਫढ ਮभ ਵह ਸम
    ஈர உഉ ஐജஜ ஜജஐ ணണ மഥ ரஈ ழഴ வഖ ஸശஶ ഉஉ ഖவ ജஐஜ ഞൡ ണண ഥம രറ റര ഴழ ശஶஸ అಅ ఆಆ ఇಇ ఐಐ ఒಒ గಗ జಜ ఞಞ టಟ ణಣ దದ నನ యಯ రರ లಲ ళಳ
    ಅఅ ಆఆ ಇఇ ಐఐ ಒఒ ಗగ ಜజ ಝఝ ಞఞ ಟట ಣణ ದద ನన ಯయ ರర ಱఱ ಲల ಳళ ขฃ คดต ฆม จຈ ชซ ซช ฎฏ ฏฎ ฑท ดคต ตคด ทฑ บບ ปປ ฝຝ พພ ฟຟ ภฦ
    มฆ ยຍ าๅ ຈจ ຍย ບบ ປป ຝฝ ພพ ຟฟ へヘ イ亻 エ工 カ力 タ夕 ト卜 ノ丿 ヘへ ロ口囗 値值 值値 力カ
    口ロ囗 土士 填塡 士土 夕タ 工エ 晚晩 晩晚 研硏 絶絕 黑黒 黒黑
"""
HOMOGLYPH_SCRIPTS = set("Latn Cyrl Grek Armn Arab Deva Guru Taml Mlym Telu Knda Thai Laoo Jpan".split())

# Zero-width space, word joiner, soft hyphen, marks of direction; joiners only where they change no letter's shape.
INVISIBLE = {"": "\u200b\u2060\u00ad\u200e\u200f", "joiners": "\u200c\u200d"}
JOINING = set("Arab Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh Khmr Mymr Tibt".split())
# Right-to-left override: the swapped pair is shown in its old order (Boucher et al. 2022, "Bad Characters").
REORDER = "\u202e{}\u202c"

# Korean two-set keyboard (KS X 5002): where a row begins, in key widths, and its letters; below, those on
# Shift, each beside its plain key.
JAMO_ROWS = {0: "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ", 0.25: "ㅁㄴㅇㄹㅎㅗㅓㅏㅣ", 0.75: "ㅋㅌㅊㅍㅠㅜㅡ"}
JAMO_SHIFT = "ㅂㅃ ㅈㅉ ㄷㄸ ㄱㄲ ㅅㅆ ㅐㅒ ㅔㅖ"
JAMO_PAIRS = (  # that take two keys
    "ㅘㅗㅏ ㅙㅗㅐ ㅚㅗㅣ ㅝㅜㅓ ㅞㅜㅔ ㅟㅜㅣ ㅢㅡㅣ "
    "ㄳㄱㅅ ㄵㄴㅈ ㄶㄴㅎ ㄺㄹㄱ ㄻㄹㅁ ㄼㄹㅂ ㄽㄹㅅ ㄾㄹㅌ ㄿㄹㅍ ㅀㄹㅎ ㅄㅂㅅ"
)
JAMO_LEAD, JAMO_VOWEL = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ", "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
JAMO_TAIL = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"  # " ": none
JAMO = JAMO_LEAD, JAMO_VOWEL, JAMO_TAIL

# Kana that a kana or flick keyboard confuses: plain, voiced, half-voiced, small.
KANA = (
    "かが きぎ くぐ けげ こご さざ しじ すず せぜ そぞ ただ ちぢ つづっ てで とど "
    "はばぱ ひびぴ ふぶぷ へべぺ ほぼぽ やゃ ゆゅ よょ あぁ いぃ うぅ えぇ おぉ わゎ "
    "カガ キギ クグ ケゲ コゴ サザ シジ スズ セゼ ソゾ タダ チヂ ツヅッ テデ トド "
    "ハバパ ヒビピ フブプ ヘベペ ホボポ ヤャ ユュ ヨョ アァ イィ ウゥヴ エェ オォ ワヮ"
)

# Vietnamese Telex: what a letter is typed with after its base; a tone is typed after both.
TELEX_LETTERS = {"â": "aa", "ă": "aw", "ê": "ee", "ô": "oo", "ơ": "ow", "ư": "uw", "đ": "dd"}
TELEX_TONES = {"\u0301": "s", "\u0300": "f", "\u0309": "r", "\u0303": "x", "\u0323": "j"}

# How kana are typed in Latin letters (JIS X 4063, shortest spelling): vowel by vowel; "-": no kana.
ROMAJI = {
    "": "あいうえお", "k": "かきくけこ", "g": "がぎぐげご", "s": "さしすせそ", "z": "ざじずぜぞ", "t": "たちつてと",
    "d": "だぢづでど", "n": "なにぬねの", "h": "はひふへほ", "b": "ばびぶべぼ", "p": "ぱぴぷぺぽ", "m": "まみむめも",
    "y": "や-ゆ-よ", "r": "らりるれろ", "w": "わ---を", "x": "ぁぃぅぇぉ", "l": "ぁぃぅぇぉ", "xy": "ゃ-ゅ-ょ",
}  # fmt: skip

# What `mixed` is made of: operation -> share of the edits, per script; README.md names the source of each. Those of
# the alphabets are of 1,335 edits of NoiseQA's natural keyboard set (English): neighbor keys 10, spaces 11,
# punctuation 9, other insertions 13, swaps 4; how the rest is divided, and what other scripts have, is assumed.
ALPHABET = {"delete": 34, "stray": 13, "whitespace": 11, "keyboard": 10, "punctuation": 9, "insert": 7, "repeat": 6,
            "swap": 4}  # fmt: skip
CASED = {**ALPHABET, "case": 6}
INDIC = {**ALPHABET, "delete": 20, "marks": 14, "orthography": 5}  # a third of the keystrokes are marks
CONTINUOUS = {op: share for op, share in INDIC.items() if op != "whitespace"}
MIXED = {
    "": ALPHABET,
    **dict.fromkeys(("Latn", "Cyrl", "Grek", "Armn"), CASED),
    **dict.fromkeys("Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh Thaa".split(), INDIC),
    **dict.fromkeys(("Khmr", "Mymr", "Tibt"), CONTINUOUS),
    **dict.fromkeys(("Thai", "Laoo"), {op: share for op, share in CONTINUOUS.items() if op != "punctuation"}),
    "Arab": {**ALPHABET, "delete": 24, "orthography": 16},
    "Hebr": {**ALPHABET, "delete": 33, "orthography": 7},
    "Kore": {"jamo": 24, "whitespace": 20, "marks": 14, "delete": 12, "punctuation": 9, "stray": 6, "orthography": 6,
             "repeat": 5, "swap": 4},
    "Jpan": {"romaji": 24, "delete": 20, "ime": 14, "stray": 13, "punctuation": 9, "repeat": 7, "swap": 4},
    "Hans": {"ime": 40, "orthography": 16, "delete": 15, "stray": 9, "punctuation": 9, "repeat": 7, "swap": 4},
}  # fmt: skip
# And in these languages, in whose text there are places enough for it.
MIXED_TOO = {
    "diacritics": (
        6,
        "az ca cs da de el eo es et fi fr ga gl hr hu is lt lv mt nb nn no pl pt ro sk sl sq sv tr vi wo yo".split(),
    ),
    "orthography": (5, "az el es id kk ky mn pl pt".split()),
    "telex": (10, ["vi"]),
}

# The same for the draws of version 1: weights of proposals, of which those that do not apply are dropped.
MIXED_1 = {
    "": {"keyboard": 32, "delete": 26, "insert": 15, "swap": 15, "repeat": 12},
    "Latn": {"keyboard": 28, "delete": 22, "insert": 13, "swap": 13, "repeat": 8, "case": 6, "diacritics": 6,
             "orthography": 4},
    "Cyrl": {"keyboard": 30, "delete": 24, "insert": 14, "swap": 14, "repeat": 8, "case": 6, "orthography": 4},
    "Grek": {"keyboard": 28, "delete": 22, "insert": 13, "swap": 13, "repeat": 8, "case": 6, "diacritics": 10},
    "Arab": {"keyboard": 26, "delete": 22, "insert": 13, "swap": 13, "repeat": 8, "orthography": 18},
    "Kore": {"jamo": 45, "delete": 20, "swap": 10, "repeat": 10, "orthography": 15},
    "Jpan": {"keyboard": 25, "ime": 25, "delete": 20, "swap": 10, "repeat": 10, "insert": 10},
    "Hans": {"ime": 40, "orthography": 10, "delete": 20, "swap": 10, "repeat": 10, "insert": 10},
}  # fmt: skip
