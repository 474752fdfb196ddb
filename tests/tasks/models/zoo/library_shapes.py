"""Small shapes of models of transformers, as their configs take them."""

from tests.tasks.models.zoo.contract import CONTEXT, HORIZON

MIXER = {
    "context_length": CONTEXT, "prediction_length": HORIZON, "patch_length": 8, "patch_stride": 8,
    "d_model": 16, "num_layers": 4, "dropout": 0.0, "head_dropout": 0.0, "init_std": 0.2,
    "use_positional_encoding": False, "loss": "mse",
}  # fmt: skip
TRANSFORMER = {
    "context_length": CONTEXT - 2, "prediction_length": HORIZON, "lags_sequence": [1, 2],
    "num_time_features": 1, "d_model": 16, "encoder_layers": 3, "decoder_layers": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0, "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0,
    "init_std": 0.3,
}  # fmt: skip
TEXT = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 32, "vocab_size": 20,
}  # fmt: skip
T5 = {
    "d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 2,
    "vocab_size": 20,
}  # fmt: skip
PATCH = {"context_length": 64, "patch_length": 8, "d_model": 16, "num_hidden_layers": 3}
TIMESFM = {
    "num_hidden_layers": 3, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2,
    "head_dim": 8,
}  # fmt: skip
TWO_STACKS = [
    ("model.encoder.layers", "encoder_layers"),
    ("model.decoder.layers", "decoder_layers"),
]
GPT2 = {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 20}
