"""Fewer pieces in a tokenizer.json, Unigram or WordPiece."""


def keep_pieces(content, kept):
    """Leave only the pieces numbered `kept`, ascending, in `content`, a tokenizer.json's; {old number: new number}."""
    place = {old: new for new, old in enumerate(kept)}
    model, pieces = content["model"], content["model"]["vocab"]
    if isinstance(pieces, dict):
        model["vocab"] = {name: place[old] for name, old in pieces.items() if old in place}
    else:
        added = {token["id"]: [token["content"], 0.0] for token in content["added_tokens"]}  # behind the vocabulary
        model["vocab"] = [pieces[old] if old < len(pieces) else added[old] for old in kept]
        model["unk_id"] = place[model["unk_id"]]
    content["added_tokens"] = [
        {**token, "id": place[token["id"]]} for token in content["added_tokens"] if token["id"] in place
    ]
    _renumber(content.get("post_processor") or {}, place)
    return place


def _renumber(post_processor, place):
    """The ids of special tokens in a template; one of RoBERTa's kind names them as pairs (token, id)."""
    for token in post_processor.get("special_tokens", {}).values():
        token["ids"] = [place[index] for index in token["ids"]]
    for side in ("sep", "cls"):
        if isinstance(post_processor.get(side), list):
            post_processor[side][1] = place[post_processor[side][1]]
