"""Spellings that are confused, or replaced by what a keyboard or an old encoding offers: tables, no code.

Rules are written `from>to`, separated by spaces. `^` before a rule: at the beginning of a word only; `_`: not there;
`$` behind it: at the end only; `~`: not there; so `^hay>ay$` is a whole word. `ου!` stays as it is,
and so does the end of any longer source (no rule for ι meets that of αι). Cased letters are also capitalized. They are
facts of common knowledge about each orthography, written down for this project. An entry stands for one language,
or for a script (ISO 15924) whose other languages share it; a language without one is not noised.
"""

# The same sounds with seven vowels each: ሀ ሐ ኀ, ሰ ሠ, አ ዐ, ጸ ፀ.
_ETHIOPIC = ((0x1200, 0x1210), (0x1200, 0x1280), (0x1230, 0x1220), (0x12A0, 0x12D0), (0x1338, 0x1340))

ORTHOGRAPHY = {
    # Hamza is left out at the beginning of a word, or comes in where a verb of form VII, VIII or X has none.
    "ar": (
        "^أ>ا ^إ>ا ^آ>ا ^الأ>الا ^الإ>الا ^وأ>وا ^وإ>وا ^بأ>با ^لأ>لا ^فأ>فا ^است>إست ^انت>إنت ^اجت>إجت ^اخت>إخت "
        "^اقت>إقت ^اعت>إعت ^اشت>إشت ^احت>إحت ^ارت>إرت ^افت>إفت ^انف>إنف ^الاست>الإست ^الاجت>الإجت ^الاقت>الإقت "
        "^الانت>الإنت ى>ي$ ي>ى$ ة>ه$ ه>ة$ ؤ>و ض>ظ ظ>ض"
    ),
    "fa": "ی>ي ک>ك ^آ>ا ۀ>ه ی\u200c>ی خوا>خا غ>ق ق>غ ذ>ز ص>س ط>ت ظ>ز ح>ه",
    "ur": "ی>ي ک>ك ہ>ه ے>ی$ ھ>ہ ذ>ز ز>ذ ض>ز ظ>ز ص>س ط>ت ح>ہ ق>ک ^آ>ا",
    "ckb": "ی>ي ک>ك ە>ه ڕ>ر ڵ>ل ێ>ی ۆ>و ھ>ه",
    "ps": "ې>ی ی>ي ۍ>ی$ ګ>گ ک>ك",
    "sd": "ڪ>ک ک>ك ھ>ه",
    "he": "ט>ת ת>ט ק>כ~ כ>ק _ח>כ~ ע>א א>ע ה>א$ א>ה$ וו>ו יי>י",
    # Latin script
    "af": "y>ei~ ei>y ë>e ê>e ô>o",
    "az": "ə>e q>k$",
    "de": (
        "ß>ss ss>ß$ ä>ae ö>oe ü>ue Ä>Ae Ö>Oe Ü>Ue ^das>dass$ ^dass>das$ ^seit>seid$ ^seid>seit$ ^wieder>wider$ "
        "^endgültig>entgültig$ ^Standard>Standart$"
    ),
    "en": (
        "ie>ei ei>ie ll>l ss>s tt>t nn>n mm>m pp>p rr>r cc>c ff>f able>ible$ ible>able$ ance>ence$ ence>ance$ "
        "ant>ent$ ent>ant$ ^their>there$ ^there>their$ ^its>it's$ ^it's>its$ ^than>then$ ^then>than$ ^to>too$ "
        "^too>to$ ^your>you're$ ^you're>your$ ^whose>who's$ ^of>off$ ^lose>loose$ ^definitely>definately$ "
        "^separate>seperate$"
    ),
    "es": (
        "b>v v>b ll>y ya>lla yo>llo ye>lle ce>se ci>si z>s ge>je gi>ji je>ge ji>gi ^ha>a ^he>e ^ho>o ^hi>i "
        "^hay>ay$ que>ke qui>ki"
    ),
    "et": "^ha>a ^he>e ^hi>i ^ho>o ^hu>u nud>nd$ š>s ž>z",
    "eu": "^ha>a ^he>e ^hi>i ^ho>o ^hu>u tz>ts ts>tz z>s",
    "fi": "aa>a ää>ä ii>i uu>u kk>k tt>t pp>p ss>s ll>l",
    "fr": (
        "œ>oe é>er$ er>é$ ée>é$ ais>ait$ ait>ais$ ss>s nn>n mm>m ^à>a$ ^a>à$ ^ou>où$ ^où>ou$ ^et>est$ ^est>et$ "
        "^ces>ses$ ^ses>ces$ ^ça>sa$ ^sa>ça$ ^son>sont$ ^sont>son$"
    ),
    "ht": "è>é wo>ro wou>rou won>ron",
    "hu": "aj>aly áj>ály ej>ely éj>ély ij>ily oj>oly ój>óly uj>uly új>úly öj>öly ly>j",
    "id": (
        "ai>e$ au>o$ f>p v>p z>j sy>s kh>h ^yang>yg$ ^dengan>dgn$ ^tidak>tdk$ ^sudah>sdh$ ^untuk>utk$ ^orang>org$ "
        "^karena>krn$"
    ),
    "it": "à>a'$ è>e'$ é>e'$ ì>i'$ ò>o'$ ù>u'$ ché>chè$ ^po'>pò$ ^qual>qual'$ cqu>qu",
    "jv": "a>o$ dh>d th>t",
    "lt": "y>i~ ū>u~ į>y į>i ė>e ų>u~ ą>a",
    "ms": "a>e$ au>o$ ai>e$ ^ha>a ^hu>u ^yang>yg$ ^dengan>dgn$ ^tidak>tak$ ^untuk>utk$",
    "nl": (
        "ij>ei ei>ij ^wordt>word$ ^word>wordt$ ^vindt>vind$ ^vind>vindt$ ^houdt>houd$ ^biedt>bied$ ^leidt>leid$ "
        "^rijdt>rijd$ ^gebeurt>gebeurd$ ^gebeurd>gebeurt$ ^betekent>betekend$ ^hun>hen$ ^hen>hun$ ^dan>als$ "
        "^als>dan$ ^jou>jouw$ ^jouw>jou$ ^zei>zij$ ^enige>enigste$"
    ),
    "pl": "au! eu! ó>u _u>ó~ rz>ż ż>rz ch>h ^h>ch",
    "pt": (
        "ss>ç ç>ss isar>izar$ izar>isar$ eza>esa$ esa>eza$ ch>x x>ch ção>são$ são>ção$ ^mas>mais$ ^mais>mas$ "
        "^mal>mau$ ^mau>mal$ ^há>a$ ^à>a$ ram>rão$"
    ),
    "qu": "i>e u>o e>i o>u w>hu k>c",
    "ro": "ș>ş ț>ţ ş>ș ţ>ţ _â>î~ ii>i$ i>ii$ ă>a$",
    "sw": "dh>z th>s gh>g kh>h l>r r>l",
    "tl": (
        "^nang>ng$ ^ng>nang$ ^din>rin$ ^rin>din$ ^daw>raw$ ^raw>daw$ ^doon>roon$ iya>ya iyo>yo o>u$ ^mga>manga$ "
        "^mayroon>meron$ ^siya>sya$"
    ),
    "tr": (
        "â>a î>i û>u yor>yo$ ecek>icek acak>ıcak eceğ>iceğ acağ>ıcağ ^bir>bi$ ^değil>diil$ ^herkes>herkez$ "
        "^yalnız>yanlız$ ^yanlış>yalnış$ ^şey>şe$ ^birşey>bişey$"
    ),
    "vi": (
        "òa>oà oà>òa óa>oá oá>óa ỏa>oả oả>ỏa ọa>oạ oạ>ọa úy>uý uý>úy ùy>uỳ uỳ>ùy ụy>uỵ uỵ>ụy ả>ã ã>ả ẩ>ẫ ẫ>ẩ ẳ>ẵ "
        "ẵ>ẳ ẻ>ẽ ẽ>ẻ ể>ễ ễ>ể ỉ>ĩ ĩ>ỉ ỏ>õ õ>ỏ ổ>ỗ ỗ>ổ ở>ỡ ỡ>ở ủ>ũ ũ>ủ ử>ữ ữ>ử ^tr>ch ^ch>tr ^s>x ^x>s ^gi>d "
        "^nói>lói ^năm>lăm ^nước>lước ^này>lày ^nào>lào ^nên>lên ^lên>nên ^làm>nàm ^là>nà ^lại>nại ^lớn>nớn n>ng$ "
        "ng>n$ t>c$ c>t$"
    ),
    "wo": "uu>ou u>ou x>kh j>dj ñ>gn c>ty",
    "yo": "ṣ>sh Ṣ>Sh",
    # Cyrillic script: ё is left out anywhere, but comes in only where it belongs.
    "ru": (
        "ё>е тся>ться$ ться>тся$ нн>н его>ево$ ого>ово$ жи>жы ши>шы чу>чю ^что>што$ дцать>цать ешь>еш$ ^ни>не$ "
        "^не>ни$ ^еще>ещё$ ^ее>её$ ^нее>неё$ ^мое>моё$ ^твое>твоё$ ^свое>своё$ ^идет>идёт$ ^придет>придёт$ "
        "^найдет>найдёт$ ^пойдет>пойдёт$ ^дает>даёт$ ^живет>живёт$ ^берет>берёт$ ^ждет>ждёт$ ^начнет>начнёт$ "
        "^пошел>пошёл$ ^пришел>пришёл$ ^нашел>нашёл$ ^ушел>ушёл$ ^вышел>вышёл$ ^шел>шёл$ ^счет>счёт$ ^учет>учёт$ "
        "^расчет>расчёт$ ^отчет>отчёт$ ^причем>причём$ ^вдвоем>вдвоём$ ^зеленый>зелёный$ ^черный>чёрный$ "
        "^желтый>жёлтый$ ^ребенок>ребёнок$ ^самолет>самолёт$"
    ),
    "uk": "ґ>г _е>и~ _и>е~ м'я>мя п'я>пя б'я>бя в'я>вя м’я>мя п’я>пя б’я>бя в’я>вя ^що>шо",
    "be": "ў>у ё>е цца>ца$",
    "bg": "ът>а$ ят>я$ ъ>а~ щ>шт",
    "sr": "ћ>ч ч>ћ ђ>џ џ>ђ",
    "kk": "ә>а ғ>г қ>к ң>н ө>о ұ>у ү>у һ>х і>и",
    "mn": "ө>о ү>у",
    "ky": "ң>н ө>о ү>у",
    "tg": "ӣ>и ӯ>у қ>к ғ>г ҳ>х ҷ>ч",
    "el": (
        "ου! ού! αυ! αύ! ευ! εύ! αι>ε ει>ι οι>ι αί>έ εί>ί οί>ί η>ι ι>η υ>ι _ω>ο _ο>ω ή>ί ί>ή ύ>ί _ώ>ό _ό>ώ "
        "ται>τε$ τε>ται$"
    ),
    # Letters on Shift of the Georgian keyboard, typed without it
    "ka": "თ>ტ შ>ს ღ>რ ჟ>ჯ ძ>ზ ჩ>ც ჭ>წ",
    # Indic scripts: length of vowels, sounds that have merged; not where no word has them
    "Deva": "ँ>ं ि>ी ी>ि ु>ू ू>ु श>ष ष>श श>स व>ब ब>व",
    "hi": "ँ>ं ि>ी ी>ि ु>ू ू>ु ष>श श>स व>ब ब>व यी>ई$ ई>यी$ ये>ए$ ए>ये$",
    "mr": "ि>ी ी>ि ु>ू ू>ु श>ष ष>श ण>न _न>ण ळ>ल",
    "Beng": "ি>ী ী>ি ু>ূ ূ>ু _ন>ণ ণ>ন শ>ষ ষ>শ শ>স স>শ ^জ>য ^য>জ",
    "Gujr": "િ>ી ી>િ ુ>ૂ ૂ>ુ ષ>શ શ>સ સ>શ ણ>ન",
    "Guru": "ੰ>ਂ ਿ>ੀ ੀ>ਿ ੁ>ੂ ੂ>ੁ ਣ>ਨ",
    "Orya": "ି>ୀ ୀ>ି ୁ>ୂ ୂ>ୁ ଶ>ସ ଷ>ସ ଣ>ନ",
    "Taml": "ல்ல>ள்ள ள்ள>ல்ல ன்ன>ண்ண ண்ண>ன்ன _ன>ண~ ண>ன _ர>ற~ ற>ர _ல>ள ள>ல ள>ழ ழ>ள",
    "Telu": "ి>ీ ీ>ి ు>ూ ూ>ు శ>ష ష>శ శ>స స>శ _న>ణ~ ణ>న ళ>ల _ల>ళ",
    "Mlym": "ര>റ റ>ര _ന>ണ ണ>ന _ല>ള ള>ല ി>ീ ീ>ി",
    "Knda": "ಿ>ೀ ೀ>ಿ ು>ೂ ೂ>ು ಶ>ಷ ಷ>ಶ _ನ>ಣ ಣ>ನ ಳ>ಲ _ಲ>ಳ",
    "Sinh": "_න>ණ ණ>න _ල>ළ ළ>ල ශ>ෂ ෂ>ශ",
    "th": "ร>ล ล>ร ใ>ไ ก็>ก้ ครับ>คับ ประ>ปะ คะ>ค่ะ ค่ะ>คะ ไหม>มั้ย ศ>ส ษ>ส ณ>น ญ>ย",
    "lo": "ຣ>ລ ໃ>ໄ ໄ>ໃ",
    "my": "ျ>ြ ြ>ျ ဏ>န",
    "Ethi": " ".join(
        f"{chr(a + order)}>{chr(b + order)} {chr(b + order)}>{chr(a + order)}"
        for a, b in _ETHIOPIC
        for order in range(7)
    ),
    "ko": (
        "_에>의$ _의>에$ 돼>되 되>돼 ^안>않 않>안 _대>데 _데>대 웬>왠 왠>웬 낳>낫 낫>낳 _던>든 _든>던 로서>로써$ "
        "로써>로서$ 할게>할께 을게>을께 며칠>몇일 계>게 제>재 재>제 ^내>네$ ^네>내$ 역할>역활 오랜만>오랫만 "
        "어떡해>어떻해 바람>바램"
    ),
    # Characters that an input method offers for one reading; 的 得 地 in particular
    "Hans": (
        "的>得 的>地 地>的 得>的 在>再 再>在 做>作 作>做 他>她 她>他 那>哪 哪>那 像>象 象>像 以>已 已>以 到>道 "
        "坐>座 座>坐 带>戴 戴>带 帐>账 账>帐 即>既 既>即 分>份 份>分 吗>嘛 嘛>吗 近>进 进>近 须>需 需>须 原>源 "
        "源>原 决>绝 其他>其它 其它>其他"
    ),
    "zh-tw": (
        "的>得 的>地 地>的 在>再 再>在 做>作 作>做 他>她 她>他 那>哪 哪>那 裡>裏 裏>裡 台>臺 臺>台 著>着 週>周 "
        "像>象 以>已 已>以"
    ),
    "yue": "嘅>既 係>系 喺>係 咗>左 啲>D 嗰>個 佢>渠 咁>甘 冇>無 裡>裏",
    # Okurigana that the cabinet's rules of 1973 allow, kana for characters, sounds written alike, words of one reading
    "ja": (
        "行う>行なう 行い>行ない 行わ>行なわ 表す>表わす 表し>表わし 現れ>現われ 断る>断わる 断っ>断わっ "
        "生まれ>生れ 押さえ>押え 捕らえ>捕え 聞こえ>聞え 起こ>起 落と>落 暮らし>暮し 当た>当 終わ>終 変わ>変 "
        "浮かぶ>浮ぶ 積も>積 向かう>向う 申し込み>申込み 取り扱い>取扱い 引っ越し>引越し 打ち合わせ>打合せ "
        "問い合わせ>問合せ 話し合い>話合い 組み合わせ>組合せ 受け付け>受付け ことが>事が ことを>事を ことは>事は "
        "ことに>事に ことで>事で ときに>時に ときは>時は ものを>物を ものが>物が 事が>ことが 事を>ことを "
        "時に>ときに でき>出来 出来>でき ため>為 ください>下さい 下さい>ください いただ>頂 頂>いただ ところ>所 "
        "さらに>更に 更に>さらに すべて>全て 全て>すべて ともに>共に 共に>ともに すでに>既に 既に>すでに "
        "ほとんど>殆ど たくさん>沢山 沢山>たくさん 子供>子ども 子ども>子供 友達>友だち 私たち>私達 私達>私たち "
        "人々>人びと ずつ>づつ づらい>ずらい 近づ>近ず 気づ>気ず 基づ>基ず という>とゆう どおり>どうり "
        "おおき>おうき とおい>とうい こんにちは>こんにちわ すみません>すいません ヴァ>バ ヴィ>ビ ヴェ>ベ ヴォ>ボ "
        "ター>タ$ ザー>ザ$ バー>バ$ ラー>ラ$ サー>サ$ リー>リ$ ジー>ジ$ ダー>ダ$ ナー>ナ$ 以外>意外 意外>以外 "
        "保証>保障 保障>保証 対象>対照 追及>追求 追求>追及 解放>開放 開放>解放 制作>製作 製作>制作 関心>感心 "
        "早い>速い 速い>早い 会う>合う 合う>会う 聞く>聴く 見る>観る 作る>創る 代わ>変わ 越え>超え 超え>越え "
        "収め>納め 務め>勤め 努め>務め 回答>解答 解答>回答 機会>機械 自身>自信 特徴>特長 初め>始め 始め>初め "
        "体制>態勢 体制>体勢"
    ),
}  # fmt: skip
ORTHOGRAPHY["quy"] = ORTHOGRAPHY["qu"]
ORTHOGRAPHY["fil"] = ORTHOGRAPHY["tl"]
