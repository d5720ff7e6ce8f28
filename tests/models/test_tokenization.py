import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_assets.errors import CorruptArtifactError
from ab_assets.models.tokenization import FIRST_RESIDUE, ResidueTokenizer, read_vocabulary, vocabulary_of
from ab_assets.models.twins import BERT_TOKENS, ESM_TOKENS, twin_tokens

LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZJ"
FAMILIES = ("bert", "esm")


def tokenizer(family):
    return ResidueTokenizer(vocabulary_of(twin_tokens(family)))


@pytest.mark.parametrize("family", FAMILIES)
@given(sequence=st.text(LETTERS, max_size=60), max_length=st.integers(1, 50))
def test_every_residue_has_exactly_one_token_known_or_not(family, sequence, max_length):
    made = tokenizer(family)
    tokens = twin_tokens(family)
    chain = made.encode(sequence, max_length)
    body = chain.ids[FIRST_RESIDUE:-1]
    assert len(body) == chain.seen_residues == min(len(sequence), max_length)
    assert chain.seen_residues + chain.truncated_residues == len(sequence)
    assert (chain.ids[0], chain.ids[-1]) == (made.cls, made.eos)
    for residue, token in zip(sequence, body, strict=False):
        assert tokens[token] == residue if residue in tokens else token == made.unknown


@given(sequence=st.text("ACDEFGHIKLMNPQRSTVWY", min_size=1, max_size=60))
def test_known_residues_become_what_transformers_bert_tokenizer_makes(sequence, tmp_path_factory):
    from transformers import BertTokenizer

    theirs = BertTokenizer(vocab=vocabulary_of(BERT_TOKENS), do_lower_case=False)
    assert list(tokenizer("bert").encode(sequence, 100).ids) == theirs(" ".join(sequence))["input_ids"]


def test_known_residues_become_what_transformers_esm_tokenizer_makes(tmp_path):
    from transformers import EsmTokenizer

    file = tmp_path / "vocab.txt"
    file.write_text("\n".join(ESM_TOKENS), encoding="utf-8")
    theirs = EsmTokenizer(str(file))
    for sequence in ("EVQLVESGGGLVQPGGSLRLSCAAS", "X", "DIQMTQXBZUOSPSS"):
        assert list(tokenizer("esm").encode(sequence, 100).ids) == theirs(sequence)["input_ids"]


def test_antiberty_knows_no_x_and_counts_it_as_unknown():
    made = tokenizer("bert")
    chain = made.encode("AXA", 10)
    assert made.residues == frozenset("ACDEFGHIKLMNPQRSTVWY")
    assert chain.unknown_residues == 1
    assert chain.ids[2] == BERT_TOKENS.index("[UNK]")
    assert tokenizer("esm").encode("AXA", 10).unknown_residues == 0


def test_the_vocabulary_counts_lines_from_zero(tmp_path):
    file = tmp_path / "vocab.txt"
    file.write_text("[PAD]\n[UNK]\nA\n", encoding="utf-8")
    assert read_vocabulary(file) == {"[PAD]": 0, "[UNK]": 1, "A": 2}


def test_a_vocabulary_without_special_tokens_is_refused():
    with pytest.raises(CorruptArtifactError, match=r"\[CLS\] or <cls>"):
        ResidueTokenizer({"A": 0})
