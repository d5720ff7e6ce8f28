"""A model that a user's file alone describes, as docs/models.md says."""

import re
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from ab_assets.errors import BadInputError
from ab_assets.models.catalogue import load_catalogue
from ab_assets.models.loading import load_encoder

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
TOKENS = ("[UNK]", "[PAD]", "[SEP]", "[CLS]", "[MASK]", "X", *"YWVTSRQPNMLKIHGFEDCA")


@pytest.fixture
def models(tmp_path):
    """A models folder with weights that BertForMaskedLM saved, a vocabulary and the file of the documentation."""
    torch.manual_seed(11)
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = BertConfig(vocab_size=len(TOKENS), max_position_embeddings=256, pad_token_id=1, **shape)
    BertForMaskedLM(config).save_pretrained(tmp_path / "my-bert")
    (tmp_path / "my-bert" / "vocab.txt").write_text("\n".join(TOKENS), encoding="utf-8")
    (block,) = re.findall(r"```toml\n(\[my-bert\].*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "mine.toml").write_text(block.replace("<pin>", ""), encoding="utf-8")
    return tmp_path


def pin_told_for(models, name):
    with pytest.raises(BadInputError, match="not pinned") as caught:
        load_encoder(load_catalogue(models)[name])
    (pin,) = set(re.findall(r"[0-9a-f]{64}", str(caught.value)))
    return pin


def test_a_saved_bert_runs_from_a_file_alone_once_its_pin_is_written(models):
    pin = pin_told_for(models, "my-bert")
    file = models / "mine.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('revision = ""', f'revision = "{pin}"'), encoding="utf-8")
    encoder = load_encoder(load_catalogue(models)["my-bert"])
    text = encoder.tokenizer.encode(("EVQLB", "DIQ"), encoder.max_length, encoder.pairing)
    assert [TOKENS[token] for token in text.ids] == ["[CLS]", *"EVQL", "[UNK]", "[SEP]", *"DIQ", "[SEP]"]
    ids = torch.tensor([text.ids])
    mask = torch.ones_like(ids, dtype=torch.bool)
    theirs = BertForMaskedLM.from_pretrained(models / "my-bert").eval().bert
    with torch.inference_mode():
        ours = encoder.run_layers(encoder.embed(ids, mask), mask, start=0, stop=2)
        whole = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(ours, whole, atol=1e-5, rtol=0)


def test_a_pin_of_the_users_own_file_does_the_same(models):
    pin = pin_told_for(models, "my-bert")
    (models / "pins.toml").write_text(f'my-bert = "{pin}"\n', encoding="utf-8")
    assert load_encoder(load_catalogue(models)["my-bert"]).layer_count == 2
