import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_assets.errors import BadInputError, CorruptArtifactError, UnreadableFileError
from ab_assets.models.specification import Pairing
from ab_assets.models.tokenization import ResidueTokenizer, read_vocabulary, vocabulary_of
from ab_assets.models.twins import BERT_TOKENS, ESM_TOKENS, twin_tokens

LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZJ"
FAMILIES = ("bert", "roberta", "esm", "roformer", "esmc")


def tokenizer(family):
    return ResidueTokenizer(vocabulary_of(twin_tokens(family)))


@pytest.mark.parametrize("family", FAMILIES)
@given(
    text=st.lists(st.text(LETTERS, max_size=60), min_size=1, max_size=2).map(tuple),
    max_length=st.integers(1, 80),
    pairing=st.sampled_from([Pairing(), Pairing(order="LH")]),
)
def test_every_seen_residue_has_exactly_one_token_known_or_not(family, text, max_length, pairing):
    made, tokens = tokenizer(family), twin_tokens(family)
    encoded = made.encode(text, max_length, pairing)
    assert (encoded.ids[0], encoded.ids[-1]) == (made.cls, made.eos)
    assert len(encoded.ids) == sum(chain.seen for chain in encoded.chains) + 2 + (len(text) - 1)
    assert sum(chain.seen for chain in encoded.chains) == min(sum(map(len, text)), max_length)
    for sequence, chain in zip(text, encoded.chains, strict=True):
        body = encoded.ids[chain.start : chain.stop]
        assert chain.seen + chain.truncated == len(sequence)
        assert chain.unknown == sum(token == made.unknown for token in body)
        for residue, token in zip(sequence, body, strict=False):
            assert tokens[token] == residue if residue in tokens else token == made.unknown


def test_the_longer_chain_loses_its_c_terminal_end_first_then_both_in_turn():
    made = tokenizer("esm")

    def seen(heavy, light, limit):
        return [chain.seen for chain in made.encode(("A" * heavy, "G" * light), limit).chains]

    assert seen(10, 4, 12) == [8, 4]
    assert seen(4, 10, 12) == [4, 8]
    assert seen(10, 8, 9) == [5, 4]
    assert seen(3, 0, 2) == [2, 0]


def test_a_pair_has_its_separator_order_and_marks_and_spans_in_the_order_given():
    made = tokenizer("roformer")
    tokens = twin_tokens("roformer")

    def shown(pairing):
        encoded = made.encode(("EV", "DIQ"), 100, pairing)
        bodies = ["".join(tokens[token] for token in encoded.ids[c.start : c.stop]) for c in encoded.chains]
        return " ".join(tokens[token] for token in encoded.ids), bodies

    assert shown(Pairing()) == ("[CLS] E V [SEP] D I Q [SEP]", ["EV", "DIQ"])
    assert shown(Pairing(order="LH")) == ("[CLS] D I Q [SEP] E V [SEP]", ["EV", "DIQ"])
    marked = Pairing(separator=("[MASK]", "[MASK]"), marks=("Ḣ", "Ḷ"), order="LH")
    assert shown(marked) == ("[CLS] Ḷ D I Q [MASK] [MASK] Ḣ E V [SEP]", ["EV", "DIQ"])


def test_a_single_chain_is_shown_without_separator_and_mark():
    made = tokenizer("roformer")
    assert made.encode(("EV",), 9, Pairing(marks=("Ḣ", "Ḷ"))) == made.encode(("EV",), 9)


def test_a_separator_that_the_vocabulary_lacks_is_named():
    with pytest.raises(BadInputError, match=r"lacks <cls>, which the model's pairing names"):
        tokenizer("bert").encode(("A", "C"), 10, Pairing(separator=("<cls>",)))


@given(sequence=st.text("ACDEFGHIKLMNPQRSTVWY", min_size=1, max_size=60))
def test_known_residues_become_what_transformers_bert_tokenizer_makes(sequence):
    from transformers import BertTokenizer

    theirs = BertTokenizer(vocab=vocabulary_of(BERT_TOKENS), do_lower_case=False)
    assert list(tokenizer("bert").encode((sequence,), 100).ids) == theirs(" ".join(sequence))["input_ids"]
    pair = f"{' '.join(sequence)} [SEP] {' '.join(sequence)}"
    assert list(tokenizer("bert").encode((sequence, sequence), 200).ids) == theirs(pair)["input_ids"]


def test_known_residues_become_what_transformers_esm_tokenizer_makes(tmp_path):
    from transformers import EsmTokenizer

    file = tmp_path / "vocab.txt"
    file.write_text("\n".join(ESM_TOKENS), encoding="utf-8")
    theirs = EsmTokenizer(str(file))
    for sequence in ("EVQLVESGGGLVQPGGSLRLSCAAS", "X", "DIQMTQXBZUOSPSS"):
        assert list(tokenizer("esm").encode((sequence,), 100).ids) == theirs(sequence)["input_ids"]
    pair = tokenizer("esm").encode(("EVQ", "DIQ"), 100, Pairing(separator=("<cls>", "<cls>")))
    assert list(pair.ids) == theirs("EVQ<cls><cls>DIQ")["input_ids"]


def test_known_residues_become_what_transformers_esmc_tokenizer_makes():
    from transformers import EsmcTokenizer

    pair = tokenizer("esmc").encode(("EVQX", "DIQ"), 100, Pairing(separator=("|",)))
    assert list(pair.ids) == EsmcTokenizer()("EVQX|DIQ")["input_ids"]


def test_antiberty_knows_no_x_and_counts_it_as_unknown():
    made = tokenizer("bert")
    encoded = made.encode(("AXA",), 10)
    assert made.residues == frozenset("ACDEFGHIKLMNPQRSTVWY")
    assert encoded.chains[0].unknown == 1
    assert encoded.ids[2] == BERT_TOKENS.index("[UNK]")
    assert tokenizer("esm").encode(("AXA",), 10).chains[0].unknown == 0


def as_text(tokens):
    return "\n".join(tokens)


def as_mapping(tokens):
    return json.dumps(vocabulary_of(tokens))


def as_tokenizer(tokens):
    special = {token: index for index, token in enumerate(tokens) if len(token) > 1}
    plain = {token: index for index, token in enumerate(tokens) if len(token) == 1}
    added = [{"id": index, "content": token, "special": True} for token, index in special.items()]
    return json.dumps({"version": "1.0", "added_tokens": added, "model": {"type": "BPE", "vocab": plain}})


def as_unigrams(tokens):
    return json.dumps({"model": {"type": "Unigram", "vocab": [[token, -1.0] for token in tokens]}})


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("vocab.txt", as_text),
        ("vocab.json", as_mapping),
        ("tokenizer.json", as_tokenizer),
        ("tokenizer.json", as_unigrams),
    ],
)
def test_every_form_of_vocabulary_gives_the_same_ids(tmp_path, name, written):
    file = tmp_path / name
    file.write_text(written(ESM_TOKENS), encoding="utf-8")
    assert read_vocabulary(file) == vocabulary_of(ESM_TOKENS)


@pytest.mark.parametrize("content", ["{", "[]", '{"model": 3}', '{"A": "x"}', '{"model": {"type": "BPE"}}'])
def test_what_is_no_vocabulary_is_refused_by_file(tmp_path, content):
    (tmp_path / "vocab.json").write_text(content, encoding="utf-8")
    with pytest.raises(UnreadableFileError, match=r"vocab\.json"):
        read_vocabulary(tmp_path / "vocab.json")


def test_a_vocabulary_without_a_token_per_amino_acid_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nAC\nDE\n", encoding="utf-8")
    with pytest.raises(CorruptArtifactError, match="no token for every amino acid"):
        read_vocabulary(tmp_path / "vocab.txt")


def test_a_vocabulary_without_special_tokens_is_refused():
    with pytest.raises(CorruptArtifactError, match=r"\[CLS\] or <cls>"):
        ResidueTokenizer({"A": 0})
