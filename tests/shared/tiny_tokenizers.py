"""Files of tiny tokenizers, as pretrained models bring them."""

from __future__ import annotations

import io
import string
from pathlib import Path

import sentencepiece
import tokenizers
from fuzzed_text import POOLS

BERT = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "green", "blue", "very", "un",
    "##der", "##ing", "straße", "é", "ß", "σ", "一", "😀", "!", "?", ",", ".", "'", "#", "[", "]",
    *string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase), "я", "##я", "1",
    "##1", "ก", "##ก",
)  # fmt: skip
SENTENCES = ("the very red one", "it is rather green", "under the blue sky!", *POOLS)


def write_vocab_txt(folder: Path, *more: str) -> Path:
    """The `vocab.txt` of a BERT, with capital letters where `more` has some."""
    file = folder / "vocab.txt"
    file.write_text("\n".join((*BERT, *more)) + "\n")
    return file


def write_spiece(folder: Path, kind: str = "unigram") -> Path:
    """The `spiece.model` of an ALBERT."""
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20), model_writer=content, vocab_size=160,
        model_type=kind, pad_id=0, unk_id=1, bos_id=2, eos_id=3, pad_piece="<pad>",
        unk_piece="<unk>", bos_piece="[CLS]", eos_piece="[SEP]", user_defined_symbols="[MASK]",
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    file = folder / "spiece.model"
    file.write_bytes(content.getvalue())
    return file


def write_bpe(folder: Path) -> tuple[Path, Path]:
    """The `vocab.json` and `merges.txt` of a RoBERTa."""
    made = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made.train_from_iterator(
        SENTENCES * 20, vocab_size=400, min_frequency=1, special_tokens=special
    )
    made.save_model(str(folder))
    return folder / "vocab.json", folder / "merges.txt"
