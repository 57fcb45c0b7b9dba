"""What names of arguments mean in constructors, and the values that are tried for them."""

from __future__ import annotations

import re
from typing import Any

CONFIGURATION = r"(.*_)?(config|cfg|conf|args|hparams|hps|hp|opts?|params|configs|configuration)"
"""Names of arguments that hold many settings at once."""

WIDTH = 32
"""Of hidden layers; heads and groups divide it."""
Table = tuple[tuple[str, tuple[Any, ...]], ...]
"""(patterns between spaces, values to try, the likeliest first); the first entry that matches a name counts."""

WHOLE: Table = (
    (
        "(in|input|img|image|n|num)_?(channels?|ch|chans?|planes) c_?in inc colou?rs? nc n_input_channels channels_in",
        (3, WIDTH, 1),
    ),
    ("(out|output)_?(channels?|ch|chans?|planes) c_?out outc channels_out", (WIDTH, 3, 8)),
    (
        (
            "(num|n|nb|no)?_?(of_)?(class(es)?|labels?|outputs?|categories|tags|targets) nclass(es)?"
            " out(put)?_?(dim|size|features|feats)? d_?out n_?out dim_?out"
        ),
        (10, WIDTH, 1),
    ),
    ("(num_?|n_?)?spatial_?dim(ension)?s? ndims? (num|n)_dimensions", (2, 3, 1)),
    ("(.*_)?(beta|lambda|lambd|coeff?|coefficient|penalty)", (1,)),
    (
        (
            "(in|input)_?(dims?|size|features|feats|shape)? n_?(in|features|feats|inputs) d_?in dim_?in num_(features|inputs)"
            " feature_?(dim|size) (obs|state|observation)_?(dim|size|space)"
        ),
        (16, WIDTH, 3),
    ),
    ("n?_?(act|actions?)_?(dim|size|space)? n_actions num_actions", (4,)),
    (
        "(num|n|nb)?_?(attention_?)?heads? n_?head heads num_(kv|key_value|query)_heads groups? (num|n)_groups",
        (4, 1, 2),
    ),
    (
        (
            "(.*_)?(hidden|embed(ding)?|emb|model)_?(dim|size|channels|features|units|nodes)? d_?model n_?embd dim width"
            " (base|mid|inner)_?(channels?|ch|dim|planes|width) channels? features planes inplanes in_planes d n?[fg]+ n[dgf]f"
        ),
        (WIDTH,),
    ),
    ("dim_?head head_?dim d_?k d_?v d_?head head_?size", (8,)),
    (
        "d_?ff mlp_?dim ff(n)?_?(dim|size|hidden|inner)? dim_feedforward intermediate_?(dim|size) inner_?dim hidden_?features",
        (2 * WIDTH,),
    ),
    (
        "(.*_)?vocab(_?size|ulary)? n_?vocab num_embeddings (n|num)_?tokens? ntokens? (src|tgt|trg|input|output)_vocab(_size)?",
        (100,),
    ),
    (
        "(num|n)_?(users?|items?|entities|relations|nodes|embeddings|objects|words|chars|symbols|types|bins|points|genres)",
        (20, WIDTH),
    ),
    # a list of layers is one of widths to a perceptron, and one of depths to a ResNet: narrow layers would die
    ("layers", (2, [WIDTH, WIDTH], [2, 2, 2, 2], 1)),
    (
        "(num|n|nb)?_?(layers?|blocks?|depths?|stages?|stacks?|levels?|hidden_layers|res(idual)?_?blocks|repeats?)",
        (2, [2, 2, 2, 2], [WIDTH, WIDTH], 1),
    ),
    (
        (
            "(max_?)?(seq|context|ctx|block|sequence|src|tgt|window|horizon|input|output|pred|history|chunk)_?(len(gth)?|size)"
            " max_?(len(gth)?|positions?|position_embeddings|tokens|steps) lookback n_?ctx n_?positions seqlen window horizon"
            " (num|n)_?(steps|frames|patches) timesteps"
        ),
        (16, WIDTH),
    ),
    ("(img|image|input|crop)_?(size|dim|resolution|res|side) resolution side", (32, (32, 32))),
    ("patch(_?size)? patch_?dim", (8, (8, 8), 4)),
    ("kernels?(_?size)? ks ksize filter_?size", (3, (3, 3), 1)),
    ("strides? s dilation rate step pad(ding)?", (1, 2)),
    (
        "(latent|z|code|noise|bottleneck|style|context|cond|time|t|text|emb)_?(dim|size|channels|features) nz latent",
        (16, WIDTH),
    ),
    ("reduction ratio expansion expand .*_?(factor|mult(iplier)?) scale upscale downsample", (2, 4, 1)),
    ("(num|n)_?experts", (4,)),
    ("(top_?)?k capacity rank r lora_?(r|rank|alpha)", (2, 4)),
)
DROPPING: Table = (
    ("(.*_)?drop(out|_?path)?(_?(p|rate|prob))? p", (0.1, 0.0)),
    ("(.*_)?eps(ilon)?", (1e-5,)),
    ("momentum", (0.1,)),
)
REAL: Table = (*DROPPING, ("(.*_)?(lr|learning_rate)", (1e-3,)), (".*decay beta\\d?", (0.9,)))
LISTS: Table = (
    (
        ".*(dims?|sizes|channels|chs|features|widths|units|hidden|planes|filters|neurons|nodes)",
        ([WIDTH, WIDTH], [16, WIDTH, 10], [3, 16, WIDTH]),
    ),
    (".*(layers?|blocks?|depths?|repeats|stages)", ([2, 2, 2, 2], [2, 2], [WIDTH, WIDTH])),
    (".*(kernels?|kernel_sizes|ks)", ([3, 3], [3, 3, 3])),
    (".*(strides|dilations|paddings)", ([1, 1], [1, 1, 1])),
    (".*(cards?|cardinalit(y|ies)|vocab_sizes|num_embeddings|categories)", ([10, 10],)),
    (".*(shape|size|resolution|grid)", ([3, 32, 32], [32, 32])),
)
WORDS: Table = (
    ("(.*_)?(act(ivation)?(_?(fn|func|function|layer|type))?|nonlinearity)", ("relu",)),
    ("(.*_)?norm(alization|_?layer|_?type)?", ("batch", "layer")),
    ("padding_mode", ("zeros",)),
    ("pool(ing)?(_?type)? aggr(egation)?", ("mean", "max")),
    ("device", ("cpu",)),
    ("rnn_?type cell(_?type)? rnn mode", ("LSTM", "GRU")),
)


def matching(table: Table, name: str) -> tuple[Any, ...]:
    """The values of the first entry one of whose patterns is the whole name."""
    return next((values for patterns, values in table if any(re.fullmatch(p, name) for p in patterns.split())), ())
