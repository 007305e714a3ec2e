"""Groups of languages that a report averages over: by script, family, and XLM-R's pretraining text (CC-100)."""

from tasks import LANGUAGES


def headline_groups(codes):
    """{title: codes} of the groups that the main comparisons are about."""
    foreign = broad_groups([code for code in codes if code != "en"])
    groups = {
        "English": [code for code in codes if code == "en"],
        "all but English": foreign.get("all languages", []),
        "Latin but English": foreign.get("Latin script", []),
        "non-Latin scripts": foreign.get("non-Latin scripts", []),
    }
    return {title: members for title, members in groups.items() if members}


def broad_groups(codes):
    """{title: codes} of the few groups that every table averages over."""
    known = [code for code in codes if code in LANGUAGES]
    latin = [code for code in known if LANGUAGES[code].script == "Latn"]
    groups = {"all languages": codes}
    if "en" in codes:
        groups["all but English"] = [code for code in codes if code != "en"]
    groups["Latin script"] = latin
    if "en" in codes:
        groups["Latin but English"] = [code for code in latin if code != "en"]
    groups["non-Latin scripts"] = [code for code in known if code not in latin]
    return {title: members for title, members in groups.items() if members}


def language_groups(codes):
    """{title: codes}: the broad groups, then scripts, families, and classes by XLM-R's pretraining text."""
    known, groups = [code for code in codes if code in LANGUAGES], broad_groups(codes)
    for code in known:
        groups.setdefault(f"script {LANGUAGES[code].script}", []).append(code)
    for code in known:
        groups.setdefault(f"family {LANGUAGES[code].family}", []).append(code)
    for code in sorted(known, key=lambda code: -LANGUAGES[code].cc100_gib):
        groups.setdefault(f"pretraining text {resource_class(code)}", []).append(code)
    for code in known:
        seen = "seen" if LANGUAGES[code].in_xlmr else "unseen"
        groups.setdefault(f"{seen} in pretraining", []).append(code)
    return groups


def resource_class(code):
    """By the size of the pretraining text in the language."""
    size = LANGUAGES[code].cc100_gib
    return "≥ 20 GiB" if size >= 20 else "5 to 20 GiB" if size >= 5 else "< 5 GiB" if size > 0 else "none"
