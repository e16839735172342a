"""Whether tokens made inside a graph are those of their own libraries, and what they cost."""

import io
import json
import os
import string
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from benchmarks.figures import HELP, json_option, side_by_side, write_figures
from tfx_fusion.modules.spec.tokenizer import Contents, Tokenizer, read_tokenizer
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

BATCH = 64
LENGTH = 128
PIECES = 20_000


class Case(NamedTuple):
    """A tokenizer: its files, and its own library from texts to ids."""

    name: str
    contents: Contents
    library: Callable[[list[str]], list[list[int]]]


@click.command(context_settings=HELP)
@click.option("--strings", default=100_000, show_default=True, help="Fuzzed strings to compare.")
@click.option("--seed", default=1, show_default=True, help="What they are drawn by.")
@click.option("--seconds", default=5.0, show_default=True, help="How long each speed is measured.")
@json_option
def main(strings: int, seed: int, seconds: float, file: Path | None) -> None:
    """Compare tokens on fuzzed strings, and the time of texts of 128 tokens on one core.

    WordPiece and BPE are compared with Hugging Face's `tokenizers`, SentencePiece with its own
    library.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    console = wide_console()
    import_tensorflow_quietly()
    import tensorflow as tf

    from tests.shared.fuzzed_text import fuzzed_texts

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    texts = fuzzed_texts(seed, strings)
    figures: dict[str, Any] = {"strings": len(texts)}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for case in cases(Path(name)):
            console.print(f"comparing {case.name}", highlight=False)
            given = [text for text in texts if case.name != "sentencepiece" or _plain(text)]
            tokens = in_graph(case.contents)
            differing = [
                text
                for batch in _batches(given)
                for text, one, other in zip(
                    batch, tokens(batch).to_list(), case.library(batch), strict=True
                )
                if one != other
            ]
            ours, theirs = speeds(case, seconds)
            ratio = ours / theirs
            rows.append((case.name, len(given), len(differing), ours * 1e6, theirs * 1e6, ratio))
            figures[case.name] = {
                "strings": len(given), "differing": len(differing), "examples": differing[:10],
                "microseconds_per_text": ours * 1e6, "microseconds_library": theirs * 1e6,
                "ratio": ratio,
            }  # fmt: skip
    columns = ("tokenizer", "strings", "differing", "µs a text", "its library, µs", "ratio")
    console.print(side_by_side(f"tokens inside a graph, {LENGTH} a text, 1 core", columns, rows))
    write_figures(file, figures)


def _plain(text: str) -> bool:
    """Without special tokens, which SentencePiece itself knows, and NUL, at which it ends."""
    return "[" not in text and "<" not in text and "\0" not in text


def _batches(texts: list[str]) -> list[list[str]]:
    return [texts[place : place + BATCH] for place in range(0, len(texts), BATCH)]


def in_graph(contents: Contents) -> Callable[[list[str]], Any]:
    """The ids of texts without special tokens, ragged, by a traced function."""
    import tensorflow as tf

    from tfx_fusion.modules.tokens.text_tokens import TextTokens

    tokens = TextTokens(contents, LENGTH)
    spec = [tf.TensorSpec((None,), tf.string)]
    return tf.function(tokens.tokens, spec, autograph=False)


def cases(folder: Path) -> list[Case]:
    """Tokenizers of 20,000 pieces, which are drawn or trained on drawn words."""
    import random

    import sentencepiece
    from tokenizers import ByteLevelBPETokenizer

    draw = random.Random(0)  # noqa: S311
    lengths = [draw.randint(2, 9) for _ in range(9000)]
    words = ["".join(draw.choices(string.ascii_lowercase, k=length)) for length in lengths]
    lines = [" ".join(draw.choices(words, k=12)) for _ in range(4000)]
    letters = [*string.ascii_lowercase, *string.digits, *"!?.,'()яжéß一"]
    pieces = dict.fromkeys([*letters, *(f"##{letter}" for letter in letters), *words])
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *list(pieces)[:PIECES]]) + "\n")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        lines, vocab_size=PIECES, special_tokens=["<s>", "<pad>", "</s>", "<unk>"]
    )
    bpe.save_model(str(folder))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=4000, minloglevel=2,
        pad_id=0, unk_id=1, bos_id=2, eos_id=3, pad_piece="<pad>", bos_piece="[CLS]",
        eos_piece="[SEP]",
    )  # fmt: skip
    (folder / "spiece.model").write_bytes(model.getvalue())
    files = {
        "wordpiece": {"file": folder / "vocab.txt"},
        "bpe": {"file": folder / "vocab.json", "merges": folder / "merges.txt"},
        "sentencepiece": {"file": folder / "spiece.model"},
    }
    found = []
    for kind, given in files.items():
        contents = read_tokenizer(Tokenizer.model_validate({"type": kind, **given}))
        found.append(Case(kind, contents, _library(kind, contents, folder)))
    return found


def _library(kind: str, contents: Contents, folder: Path) -> Callable[[list[str]], Any]:
    if kind == "sentencepiece":
        import sentencepiece

        return sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model")).encode
    from tokenizers import Tokenizer as HuggingFace

    whole = HuggingFace.from_str(json.dumps(contents.content))
    return lambda texts: [
        item.ids for item in whole.encode_batch(texts, add_special_tokens=False)
    ]  # fmt: skip


def speeds(case: Case, seconds: float) -> tuple[float, float]:
    """Seconds of CPU for a text of about 128 tokens, inside a graph and by the library."""
    import random

    import tensorflow as tf

    draw = random.Random(1)  # noqa: S311
    pieces = [p for p in case.contents.vocabulary if p.isalpha() and p.isascii() and len(p) > 1]
    texts = [" ".join(draw.choices(pieces, k=LENGTH)) for _ in range(BATCH)]
    tokens, given = in_graph(case.contents), tf.constant(texts)
    return _measured(lambda: tokens(given), seconds), _measured(
        lambda: case.library(texts), seconds
    )


def _measured(run: Callable[[], Any], seconds: float) -> float:
    run()
    started, cpu, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        run()
        count += 1
    return (time.process_time() - cpu) / count / BATCH


if __name__ == "__main__":
    main()
